"""No packet leaves from any code under the guard, and each of these ways out is open without it."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")

PROGRAM = Path(__file__).with_name("guard_probes.py")
PROBES = (
    "tcp4-python",
    "tcp6-python",
    "udp-python",
    "unix-python",
    "tcp-native",
    "udp-syscall",
    "dns-python",
    "dns-native",
    "http-pysam-alignment",
    "http-pysam-variant",
    "http-polars-scan",
    "http-polars-read",
    "child-python",
    "child-curl",
    "child-bash",
    "worker-spawned",
    "thread-early",
)
# Only these meet Python's audit hook; the kernel alone stops the others.
READABLE = ("tcp4-python", "tcp6-python", "udp-python", "dns-python")
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listener:
    """Takes and keeps every byte sent to it over TCP, UDP and AF_UNIX, and answers HTTP and DNS with "no"."""

    def __init__(self, folder: Path) -> None:
        self.heard = b""
        self.callers = 0
        self.targets: dict[str, int | str] = {"unix": str(folder / "listener")}
        self._open = ExitStack()
        self._selector = self._open.enter_context(selectors.DefaultSelector())
        self._stop, self._wake = socket.socketpair()
        for end in (self._stop, self._wake):
            self._open.enter_context(end)
        self._selector.register(self._stop, selectors.EVENT_READ, None)
        self._listen("tcp4", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._listen("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._listen("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "listener"))
        if has_ipv6():
            self._listen("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join()
        self._open.close()

    def _listen(self, name: str, family: int, kind: int, address: tuple[str, int] | str) -> None:
        listener = self._open.enter_context(socket.socket(family, kind))
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen()
        if family != socket.AF_UNIX:
            self.targets[name] = listener.getsockname()[1]
        handler = self._accept if kind == socket.SOCK_STREAM else self._datagram
        self._selector.register(listener, selectors.EVENT_READ, handler)

    def _run(self) -> None:
        while True:
            ready = [key for key, _ in self._selector.select()]
            callers = [key for key in ready if key.data is not None]
            for key in callers:
                key.data(key.fileobj)
            if not callers:
                return

    def _accept(self, listener: socket.socket) -> None:
        self.callers += 1
        connection, _ = listener.accept()
        with connection, suppress(TimeoutError):
            connection.settimeout(5)
            while chunk := connection.recv(65536):
                self.heard += chunk
                if b"HTTP/1" in chunk:
                    connection.sendall(NOT_FOUND)
                    return

    def _datagram(self, receiver: socket.socket) -> None:
        self.callers += 1
        data, sender = receiver.recvfrom(65536)
        self.heard += data
        no_such_name = data[:2] + b"\x81\x83" + data[4:]
        receiver.sendto(no_such_name, sender)


@dataclass(frozen=True)
class Outcome:
    said: dict[str, str]
    heard: bytes
    callers: int


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def run(mode: str, folder: Path) -> Outcome:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.lower().endswith("_proxy")
    }
    environment["HTS_RETRY_MAX"] = "0"
    with Listener(folder) as listener:
        result = subprocess.run(
            [sys.executable, str(PROGRAM), mode, json.dumps(listener.targets)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
        )
    assert result.returncode == 0, result.stderr
    return Outcome(json.loads(result.stdout.splitlines()[-1]), listener.heard, listener.callers)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run("on", tmp_path_factory.mktemp("on"))


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run("off", tmp_path_factory.mktemp("off"))


def missing(probe: str) -> str | None:
    """Why a probe cannot work here even with an open network."""
    if probe == "tcp6-python" and not has_ipv6():
        return "no IPv6 loopback here"
    if probe.startswith("child-") and not shutil.which(probe.removeprefix("child-")):
        return f"no {probe.removeprefix('child-')} here" if probe != "child-python" else None
    if probe.startswith("dns-"):
        hosts = next(
            (line.split() for line in resolver_lines() if line.startswith("hosts:")), ["hosts:", "dns"]
        )
        before_dns = hosts[1 : hosts.index("dns")] if "dns" in hosts else ["resolve"]
        if any(service.startswith(("resolve", "mdns")) for service in before_dns):
            return "another resolver answers before DNS here (nsswitch.conf)"
    return None


def resolver_lines() -> list[str]:
    path = Path("/etc/nsswitch.conf")
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("probe", PROBES)
def test_without_the_guard_the_probe_arrives(unguarded: Outcome, probe: str) -> None:
    if reason := missing(probe):
        pytest.skip(reason)
    assert probe.encode() in unguarded.heard, unguarded.said[probe]


@pytest.mark.parametrize("probe", PROBES)
def test_under_the_guard_the_probe_fails(guarded: Outcome, probe: str) -> None:
    assert guarded.said[probe] != "done"
    assert probe.encode() not in guarded.heard


def test_every_probe_was_tried(guarded: Outcome, unguarded: Outcome) -> None:
    assert set(guarded.said) == set(unguarded.said) == set(PROBES)


def test_under_the_guard_nobody_calls_and_nothing_is_heard(guarded: Outcome) -> None:
    assert (guarded.callers, guarded.heard) == (0, b"")


@pytest.mark.parametrize("probe", READABLE)
def test_python_code_gets_a_readable_error_without_addresses(guarded: Outcome, probe: str) -> None:
    said = guarded.said[probe]
    assert said.startswith("DeploymentError: ")
    assert "[network-blocked]" in said
    assert not any(address in said for address in ("127.0.0.1", "::1", "example"))
