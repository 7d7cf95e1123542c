"""Installing the guard, each time in a process of its own: what it turns away, what it leaves working."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genolewm_runtime.guard import bpf
from genolewm_runtime.guard.environment import SILENCING

pytestmark = pytest.mark.skipif(
    bpf.find(platform.system(), platform.machine()) is None, reason="the kernel guard is for Linux"
)

PRELUDE = """
import ctypes, json, os, platform, socket, sys, threading
from genolewm_core.errors import DeploymentError
from genolewm_runtime import guard
from genolewm_runtime.guard import bpf, seccomp
from genolewm_runtime.guard.bpf import Instruction

architecture = bpf.find(platform.system(), platform.machine())

def attempt(action, *arguments, **options):
    try:
        return repr(action(*arguments, **options))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def refused(**options):
    "The refusal's fields, or None where the guard was installed."
    try:
        guard.install(**options)
    except DeploymentError as error:
        return {"code": error.code, "exit": int(error.exit_code), "found": error.found, "text": str(error)}

def answer(name, errno):
    "A filter under which one system call does nothing and returns an errno."
    return [
        Instruction(0x20, 0, 0, 0),
        Instruction(0x15, 0, 1, architecture.number(name)),
        Instruction(0x06, 0, 0, 0x00050000 | errno),
        Instruction(0x06, 0, 0, 0x7FFF0000),
    ]

def native_socket(family=2, kind=2):
    "An errno, or 0 where the kernel opens the socket."
    result = seccomp.call(architecture.number("socket"), family, kind)
    if result >= 0:
        os.close(result)
    return -min(result, 0)
"""


def run(code: str, *, fds: tuple[int, ...] = (), fails: bool = False, **environment: str) -> Any:
    """Run code in a fresh interpreter; the value that it hands to `out`, by way of JSON."""
    program = PRELUDE + "def out(value): print(json.dumps(value))\n" + textwrap.dedent(code)
    inherited = {name: value for name, value in os.environ.items() if name not in {"CI", *SILENCING}}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        pass_fds=fds,
        env=inherited | environment,
    )
    if fails:
        assert result.returncode != 0
        return result
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_importing_does_nothing() -> None:
    code = """
    import sys
    before = set(sys.modules)
    import genolewm_runtime.guard as guard
    foreign = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
    kernel = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("Seccomp:", "NoNew"))]
    import json, os
    print(json.dumps([sorted(foreign), kernel, guard.status(), "DO_NOT_TRACK" in os.environ]))
    """
    environment = {name: value for name, value in os.environ.items() if name not in SILENCING}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True, env=environment
    )
    foreign, kernel, status, silenced = json.loads(result.stdout)
    assert foreign == ["genolewm_core", "genolewm_runtime"]
    own = Path("/proc/self/status").read_text().splitlines()
    assert kernel == [line.split()[1] for line in own if line.startswith(("Seccomp:", "NoNew"))]
    assert status is None
    assert not silenced


def test_install_says_what_enforces_it_and_is_idempotent() -> None:
    before, first, same = run("""
        before = guard.status()
        first, again = guard.install(), guard.install(allow_unenforced=True)
        guard.verify()
        out([before, [first.enforced_by, first.platform], guard.status() is again is first])
    """)
    assert before is None
    assert first == ["seccomp", f"linux-{platform.machine()}"]
    assert same


def test_verify_raises_without_the_guard() -> None:
    code, found = run("""
        try:
            guard.verify()
        except DeploymentError as error:
            out([error.code, error.found])
    """)
    assert code == "guard-unavailable"
    for name in ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", *(row.syscall for row in bpf.REFUSALS)):
        assert name in found


def test_no_family_of_sockets_can_be_opened() -> None:
    answers = run("""
        guard.install()
        out([native_socket(family, kind) for family in range(64) for kind in range(8)])
    """)
    assert set(answers) == {1}


def test_a_pair_of_streams_is_all_that_remains() -> None:
    said = run("""
        guard.install()
        left, right = socket.socketpair()
        with left, right:
            left.sendall(b"ping")
            pong = right.recv(4).decode()
            renamed = attempt(left.sendto, b"x", "/tmp/other")
        out([pong, renamed,
            attempt(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
            attempt(socket.socketpair, socket.AF_UNIX, socket.SOCK_SEQPACKET)])
    """)
    assert said[0] == "ping"
    assert said[1].startswith("DeploymentError")
    assert said[2:] == ["PermissionError: [Errno 1] Operation not permitted"] * 2


WORKING = {
    "numpy": "import numpy; out(float((numpy.ones((64, 64)) @ numpy.ones((64, 64)))[0, 0]))",
    "pysam": """
        import pysam
        path = os.path.join(folder, "a.fa")
        open(path, "w").write(">c\\nACGT\\n")
        pysam.faidx(path)
        with pysam.FastaFile(path) as fasta:
            out(fasta.fetch("c", 1, 3))
    """,
    "polars": """
        import polars
        path = os.path.join(folder, "a.parquet")
        polars.DataFrame({"pos": [1, 2, 3]}).write_parquet(path)
        out(polars.scan_parquet(path).select(polars.col("pos").sum()).collect().item())
    """,
    "spawned workers": """
        import concurrent.futures, multiprocessing
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            asked = [pool.submit(guard.verify), pool.submit(guard.status), pool.submit(abs, -1)]
            out([each.result() for each in asked])
    """,
    "spawned pool": """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            out(pool.map(abs, [-1, -2]))
    """,
    "forked worker": """
        import multiprocessing
        context = multiprocessing.get_context("fork")
        mine, theirs = context.Pipe(duplex=True)
        worker = context.Process(target=lambda: (guard.verify(), theirs.send(guard.status().enforced_by)))
        worker.start()
        out(mine.recv())
        worker.join()
    """,
    "asyncio": """
        import asyncio
        async def shout():
            process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
            return (await process.communicate())[0].decode()
        out(asyncio.run(shout()))
    """,
    "a worker that installs": """
        import subprocess
        code = "from genolewm_runtime import guard; guard.verify(); print(guard.install().enforced_by)"
        out(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    """,
}
RESULTS = {
    "numpy": 64.0,
    "pysam": "CG",
    "polars": 6,
    "spawned workers": [None, None, 1],
    "spawned pool": [1, 2],
    "forked worker": "seccomp",
    "asyncio": "hello\n",
    "a worker that installs": "seccomp\n",
}


@pytest.mark.parametrize("what", WORKING)
def test_this_works_under_the_guard(what: str, tmp_path: Path) -> None:
    code = f"folder = {str(tmp_path)!r}\nguard.install()\n" + textwrap.dedent(WORKING[what])
    assert run(code) == RESULTS[what]


@contextlib.contextmanager
def inherited_sockets(folder: Path) -> Iterator[dict[str, socket.socket]]:
    """AF_UNIX sockets as a parent could leave them open, and the ends that they could reach."""
    with contextlib.ExitStack() as open_:
        sockets = {
            "target": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
            "datagrams": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
            "server": socket.socket(socket.AF_UNIX),
            "stream": socket.socket(socket.AF_UNIX),
            "listener": socket.socket(socket.AF_UNIX),
            "caller": socket.socket(socket.AF_UNIX),
            "cargo": socket.socket(socket.AF_INET),
        }
        sockets["ours"], sockets["theirs"] = socket.socketpair()
        for each in sockets.values():
            open_.enter_context(each)
        for name in ("target", "server", "listener"):
            sockets[name].bind(str(folder / name))
        for name in ("server", "listener"):
            sockets[name].listen()
        sockets["caller"].connect(str(folder / "listener"))
        socket.send_fds(sockets["ours"], [b"x"], [sockets["cargo"].fileno()])
        yield sockets


INHERITED = """
import array
datagrams, stream, listener, theirs = (socket.socket(fileno=int(fd)) for fd in os.environ["FDS"].split())
folder = os.environ["FOLDER"]
if os.environ["MODE"] == "on":
    # Without the hook: what is asked here is what the kernel does.
    seccomp.load(bpf.build(architecture), architecture)
    guard.verify()
def told(action, *arguments):
    try:
        result = action(*arguments)
        if isinstance(result, tuple) and isinstance(result[0], socket.socket):
            result[0].close()
        return "done"
    except OSError as error:
        return error.errno
def receive():
    data, ancillary, *_ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
    os.close(array.array("i", ancillary[0][2])[0])
def bind_elsewhere():
    datagrams.bind(folder + "/elsewhere")
out({
    "sendto": told(datagrams.sendto, b"x", folder + "/target"),
    "sendmsg": told(datagrams.sendmsg, [b"x"], [], 0, folder + "/target"),
    "bind": told(bind_elsewhere),
    "connect": told(stream.connect, folder + "/server"),
    "accept": told(listener.accept),
    "listen": told(listener.listen),
    "recvmsg": told(receive),
    "write": told(os.write, theirs.fileno(), b"hello"),
    "send": told(theirs.send, b"again"),
})
for each in (datagrams, stream, listener, theirs):
    each.close()
"""


def with_inherited_sockets(mode: str, folder: Path) -> tuple[dict[str, object], bytes]:
    with inherited_sockets(folder) as sockets:
        fds = tuple(sockets[name].fileno() for name in ("datagrams", "stream", "listener", "theirs"))
        said = run(INHERITED, fds=fds, FDS=" ".join(map(str, fds)), FOLDER=str(folder), MODE=mode)
        sockets["target"].setblocking(False)
        try:
            heard = sockets["target"].recv(100)
        except BlockingIOError:
            heard = b""
        assert sockets["ours"].recv(100).startswith(b"hello")
    return said, heard


def test_inherited_unix_sockets_keep_their_peer_and_get_no_other(tmp_path: Path) -> None:
    said, heard = with_inherited_sockets("on", tmp_path)
    assert {name for name, result in said.items() if result == "done"} == {"write", "send"}
    assert {result for result in said.values() if result != "done"} == {1}
    assert heard == b""


def test_without_the_guard_inherited_unix_sockets_reach_others(tmp_path: Path) -> None:
    said, heard = with_inherited_sockets("off", tmp_path)
    assert set(said.values()) == {"done"}
    assert heard == b"x"


def test_stdio_may_be_an_inherited_unix_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        end = theirs.fileno()
        code = "from genolewm_runtime import guard; print(guard.install().enforced_by)"
        subprocess.run([sys.executable, "-c", code], stdin=end, stdout=end, check=True, timeout=60)
        assert ours.recv(100) == b"seccomp\n"


OPEN_DESCRIPTORS = {
    "AF_INET": "held = socket.socket(socket.AF_INET)",
    "AF_INET6": "held = socket.socket(socket.AF_INET6)",
    "AF_NETLINK": "held = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "io_uring": """
        parameters = ctypes.create_string_buffer(120)
        ring = seccomp.call(architecture.number("io_uring_setup"), 1, ctypes.addressof(parameters))
        if ring < 0:
            out(None)
            sys.exit()
        held = os.fdopen(ring, "rb", buffering=0)
    """,
}


@pytest.mark.parametrize("what", OPEN_DESCRIPTORS)
def test_what_is_open_already_is_refused_and_stays_usable(what: str) -> None:
    said = run(
        textwrap.dedent(OPEN_DESCRIPTORS[what])
        + textwrap.dedent("""
        strict = refused()
        still_open = native_socket()
        unenforced = guard.install(allow_unenforced=True).enforced_by
        held.close()
        out([strict, still_open, unenforced, guard.install().enforced_by])
        """)
    )
    if said is None:
        pytest.skip("this kernel offers no io_uring")
    strict, still_open, unenforced, later = said
    assert (strict["code"], strict["exit"]) == ("guard-unavailable", 7)
    assert what in strict["found"]
    assert still_open == 0
    assert unenforced == "python-only"
    assert later == "seccomp"


def test_an_inherited_network_socket_is_refused() -> None:
    with socket.socket() as held:
        said = run("out(refused())", fds=(held.fileno(),))
        assert said["found"] == f"descriptor {held.fileno()} is a socket of AF_INET"


def test_verify_looks_for_a_socket_that_came_before_the_filter() -> None:
    said = run("""
        with socket.socket():
            seccomp.load(bpf.build(architecture), architecture)
            first = attempt(guard.verify)
        out([first, attempt(guard.verify)])
    """)
    assert "is a socket of AF_INET" in said[0]
    assert said[1] == "None"


REFUSING_KERNELS = {
    "seccomp is forbidden": ("seccomp.load(answer('seccomp', 1), architecture)", "Operation not permitted"),
    "seccomp is unknown": ("seccomp.load(answer('seccomp', 38), architecture)", "Function not implemented"),
    "seccomp only says yes": ("seccomp.load(answer('seccomp', 0), architecture)", "AF_INET was let through"),
    "no_new_privs is forbidden": ("seccomp.load(answer('prctl', 22), architecture)", "Invalid argument"),
    "another system": ("platform.system = lambda: 'Darwin'", "darwin-"),
    "another machine": ("platform.machine = lambda: 'riscv64'", "linux-riscv64"),
    "no /proc": ("def gone(path): raise FileNotFoundError(2, 'gone', path)\nos.listdir = gone", "gone"),
    "a thread with its own filter": (
        """
ready, leave = threading.Event(), threading.Event()
def hold():
    program = answer("keyctl", 1)
    filters = (seccomp._Filter * len(program))(*(seccomp._Filter(*each) for each in program))
    header = seccomp._Program(len(program), filters)
    seccomp.call(architecture.number("prctl"), 38, 1)
    assert seccomp.call(architecture.number("seccomp"), 1, 0, ctypes.addressof(header)) == 0
    ready.set()
    leave.wait()
threading.Thread(target=hold, daemon=True).start()
ready.wait()
""",
        "a thread with a filter of its own",
    ),
}


@pytest.mark.parametrize("kernel", REFUSING_KERNELS)
def test_fail_closed(kernel: str) -> None:
    preparation, expected = REFUSING_KERNELS[kernel]
    strict, status, unenforced, native, python, again = run(f"""
{preparation}
strict, status = refused(), guard.status()
unenforced = guard.install(allow_unenforced=True).enforced_by
out([strict, status, unenforced, native_socket(), attempt(socket.socket), refused()])
""")
    assert strict["code"] == "guard-unavailable"
    assert strict["exit"] == 7
    assert expected in strict["found"]
    assert "--allow-unenforced-guard" in strict["text"]
    assert status is None
    assert unenforced == "python-only"
    assert native == 0, "python-only must not claim what it does not do"
    assert "[network-blocked]" in python
    assert again["code"] == "guard-unavailable", "the strict question is asked anew"


def test_a_refusal_nobody_handles_ends_the_process() -> None:
    result = run(
        "seccomp.load(answer('seccomp', 1), architecture)\nguard.install()\nout('scored')", fails=True
    )
    assert result.stdout == ""
    assert "[guard-unavailable]" in result.stderr


PYTHON_ATTEMPTS = {
    "socket.socket()": "socket.__new__",
    "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)": "socket.__new__",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)": "socket.__new__",
    "socket.create_connection(('198.51.100.7', 443))": "socket.getaddrinfo",
    "socket.getaddrinfo('secret.example', 443)": "socket.getaddrinfo",
    "socket.gethostbyname('secret.example')": "socket.gethostbyname",
    "socket.gethostbyname_ex('secret.example')": "socket.gethostbyname",
    "socket.gethostbyaddr('198.51.100.7')": "socket.gethostbyaddr",
    "socket.getnameinfo(('198.51.100.7', 443), 0)": "socket.getnameinfo",
    "left.connect('/tmp/secret')": "socket.connect",
    "left.connect_ex('/tmp/secret')": "socket.connect",
    "left.bind('/tmp/secret')": "socket.bind",
    "left.sendto(b'secret', '/tmp/secret')": "socket.sendto",
    "left.sendmsg([b'secret'])": "socket.sendmsg",
    "urllib.request.urlopen('http://secret.example/')": "socket.getaddrinfo",
}


@pytest.mark.parametrize("mode", ["seccomp", "python-only"])
def test_python_code_gets_a_readable_error_without_addresses(mode: str) -> None:
    preparation = "" if mode == "seccomp" else "seccomp.load(answer('seccomp', 1), architecture)"
    said = run(f"""
import urllib.request
{preparation}
left, right = socket.socketpair()
assert guard.install(allow_unenforced=True).enforced_by == {mode!r}
out([attempt(eval, text) for text in {list(PYTHON_ATTEMPTS)!r}])
left.close(), right.close()
""")
    for text, event in zip(said, PYTHON_ATTEMPTS.values(), strict=True):
        assert text.startswith("DeploymentError: ")
        assert "[network-blocked]" in text
        assert "guard is on" in text
        assert f"where: {event}\n" in text
        assert not any(part in text for part in ("secret", "198.51.100.7", "443"))


def test_telemetry_is_silenced_even_when_the_guard_is_refused() -> None:
    said = run(
        f"""
        import subprocess
        seccomp.load(answer("seccomp", 1), architecture)
        refused()
        child = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.splitlines()
        out([[os.environ[name], f"{{name}}=1" in child] for name in {list(SILENCING)!r}])
        """,
        ORT_DISABLE_TELEMETRY="0",
    )
    assert said == [["1", True]] * 3


FOREIGN_CALLS = """
import mmap
def i386_socket():
    # push rbx; mov eax, 359 (socket); mov ebx, 2; mov ecx, 2; xor edx, edx; int 0x80; pop rbx; ret
    code = bytes.fromhex("53 b867010000 bb02000000 b902000000 31d2 cd80 5b c3")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    holder = ctypes.c_char.from_buffer(page)
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(holder))()
    return result
def x32_socket():
    return seccomp.call(architecture.number("socket") | 0x40000000, 2, 2)
if os.environ["MODE"] == "on":
    guard.install()
out([i386_socket(), x32_socket()])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64's other system call interfaces")
def test_the_32_bit_interfaces_are_closed() -> None:
    program = PRELUDE + "def out(value): print(json.dumps(value))\n" + FOREIGN_CALLS
    open_ = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env=os.environ | {"MODE": "off"}
    )
    if open_.returncode != 0:
        pytest.skip("this kernel has no 32-bit interface")
    assert json.loads(open_.stdout)[0] >= 0, "the probe must work without the guard"
    assert run(FOREIGN_CALLS, MODE="on") == [-1, -1]
