"""Runs as a program: tries every way to a listener, with the guard on or off, and prints what came of each.

    python guard_probes.py on|off TARGETS

TARGETS is a JSON object: the listener's ports `tcp4`, `tcp6` and `udp`, and the path `unix` of its socket.
Each probe sends its own name, so the listener can tell whose bytes arrived. The last line printed is a JSON
object: probe -> "done" or the error.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import json
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable

from genolewm_runtime import guard

TARGETS = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
SYS_SOCKET, SYS_SENDTO = {"x86_64": (41, 44), "aarch64": (198, 206)}[os.uname().machine]


def sockaddr_in(port: int) -> bytes:
    return struct.pack("=HHI8x", socket.AF_INET, socket.htons(port), socket.htonl(0x7F000001) & 0xFFFFFFFF)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def native_tcp(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = checked(libc.socket(2, 1, 0))
    try:
        address = sockaddr_in(TARGETS["tcp4"])
        checked(libc.connect(descriptor, address, len(address)))
        checked(libc.send(descriptor, name.encode(), len(name), 0))
    finally:
        os.close(descriptor)


def python_tcp4(name: str) -> None:
    with socket.create_connection(("127.0.0.1", TARGETS["tcp4"]), timeout=5) as connection:
        connection.sendall(name.encode())


def python_tcp6(name: str) -> None:
    with socket.socket(socket.AF_INET6) as connection:
        connection.connect(("::1", TARGETS["tcp6"]))
        connection.sendall(name.encode())


def python_udp(name: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(name.encode(), ("127.0.0.1", TARGETS["udp"]))


def python_unix(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(TARGETS["unix"])
        connection.sendall(name.encode())


def syscall_udp(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = checked(libc.syscall(SYS_SOCKET, 2, 2, 0))
    try:
        address, data = sockaddr_in(TARGETS["udp"]), name.encode()
        checked(libc.syscall(SYS_SENDTO, descriptor, data, len(data), 0, address, len(address)))
    finally:
        os.close(descriptor)


def point_resolver_at_listener() -> None:
    # <resolv.h>, struct __res_state: retrans, retry, options, nscount, nsaddr_list[3]. Per thread.
    libc = ctypes.CDLL(None)
    getattr(libc, "__res_init")()
    state = getattr(libc, "__res_state")
    state.restype = ctypes.c_void_p
    base = state()
    for offset, value in ((0, 1), (4, 1), (16, 1)):
        ctypes.c_int.from_address(base + offset).value = value
    ctypes.memmove(base + 20, sockaddr_in(TARGETS["udp"]), 16)


def python_dns(name: str) -> None:
    point_resolver_at_listener()
    try:
        socket.getaddrinfo(f"{name}.example", 80)
    except socket.gaierror:
        return  # the listener answers that there is no such name


def libc_dns(name: str) -> None:
    point_resolver_at_listener()
    libc = ctypes.CDLL(None)
    result = ctypes.c_void_p()
    code = libc.getaddrinfo(f"{name}.example".encode(), None, None, ctypes.byref(result))
    if code == 0:
        libc.freeaddrinfo(result)
    elif code != socket.EAI_NONAME:
        raise OSError(f"getaddrinfo: {code}")


def url(name: str, ending: str) -> str:
    return f"http://127.0.0.1:{TARGETS['tcp4']}/{name}.{ending}"


def pysam_alignment(name: str) -> None:
    import pysam

    pysam.AlignmentFile(url(name, "bam")).close()


def pysam_variant(name: str) -> None:
    import pysam

    pysam.VariantFile(url(name, "vcf.gz")).close()


def polars_scan(name: str) -> None:
    import polars

    polars.scan_csv(url(name, "csv")).collect()


def polars_read(name: str) -> None:
    import polars

    polars.read_csv(url(name, "csv"))


# The child has no audit hook: what stops it is the kernel.
PYTHON_CHILD = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as connection:
    connection.sendall(sys.argv[2].encode())
"""


def child(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if result.returncode:
        raise OSError(f"exit code {result.returncode}: {result.stderr[-300:]}")


def child_python(name: str) -> None:
    child(sys.executable, "-I", "-c", PYTHON_CHILD, str(TARGETS["tcp4"]), name)


def child_curl(name: str) -> None:
    child("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "5", url(name, "txt"))


def child_bash(name: str) -> None:
    child("bash", "-c", f"printf %s {name} > /dev/tcp/127.0.0.1/{TARGETS['tcp4']}")


def spawned_worker(name: str) -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, start_worker, (TARGETS,)) as pool:
        pool.submit(native_tcp, name).result(timeout=30)


def start_worker(targets: dict[str, object]) -> None:
    TARGETS.update(targets)


class Attempt:
    """A probe in a thread of its own, which starts at once and tries when told to."""

    def __init__(self, probe: Callable[[str], None], name: str) -> None:
        self._go = threading.Event()
        self._result = "no end to its attempts"
        self._thread = threading.Thread(target=self._run, args=(probe, name), daemon=True)
        self._thread.start()

    def _run(self, probe: Callable[[str], None], name: str) -> None:
        self._go.wait()
        self._result = outcome(probe, name)

    def go(self) -> Attempt:
        self._go.set()
        return self

    def result(self, seconds: float) -> str:
        self._thread.join(seconds)
        return self._result


def outcome(probe: Callable[[str], None], name: str) -> str:
    try:
        probe(name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def main() -> None:
    early = Attempt(native_tcp, "thread-early")
    guarded = sys.argv[1] == "on"
    if guarded:
        guard.install()
    import polars  # noqa: F401 (the time it takes is no part of an attempt)

    probes = {
        "tcp4-python": python_tcp4,
        "tcp6-python": python_tcp6,
        "udp-python": python_udp,
        "unix-python": python_unix,
        "tcp-native": native_tcp,
        "udp-syscall": syscall_udp,
        "dns-python": python_dns,
        "dns-native": libc_dns,
        "http-pysam-alignment": pysam_alignment,
        "http-pysam-variant": pysam_variant,
        "child-python": child_python,
        "child-curl": child_curl,
        "child-bash": child_bash,
        "worker-spawned": spawned_worker,
    }
    # polars tries ten times with growing pauses, whatever its options say: not waited for to the end.
    attempts = {
        "http-polars-scan": Attempt(polars_scan, "http-polars-scan").go(),
        "http-polars-read": Attempt(polars_read, "http-polars-read").go(),
        "thread-early": early.go(),
    }
    said = {name: outcome(probe, name) for name, probe in probes.items()}
    said |= {name: attempt.result(seconds=1 if guarded else 30) for name, attempt in attempts.items()}
    print(json.dumps(said), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
