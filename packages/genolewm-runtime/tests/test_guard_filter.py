"""The filter program, run by an evaluator in Python: every row, on both architectures, on any machine."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_runtime.guard import bpf
from genolewm_runtime.guard.bpf import ARCHITECTURES, REFUSALS, SYSCALLS, Architecture, Instruction

ALLOW = "allow"
EPERM = 1
ENOSYS = 38

X86_64 = ARCHITECTURES["x86_64"]
AARCH64 = ARCHITECTURES["aarch64"]
BOTH = pytest.mark.parametrize("architecture", [X86_64, AARCH64], ids=lambda a: a.name)

ANY_WORD = 0xDEADBEEF_00000000


def evaluate(
    program: Sequence[Instruction], audit_id: int, number: int, arguments: Sequence[int] = ()
) -> object:
    """What the kernel would do, "allow" or the errno; after its description of classic BPF."""
    padded = [value & 0xFFFFFFFF_FFFFFFFF for value in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit_id, 0x7F00_0000_1234, *padded)
    accumulator = at = 0
    while True:
        code, jump_true, jump_false, k = program[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= k
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += jump_true if accumulator == k else jump_false
            case 0x45:  # BPF_JMP | BPF_JSET | BPF_K
                at += jump_true if accumulator & k else jump_false
            case 0x06:  # BPF_RET | BPF_K
                if k == 0x7FFF0000:
                    return ALLOW
                assert k & 0xFFFF0000 == 0x00050000, f"neither allow nor errno: {k:#x}"
                return k & 0xFFFF
            case _:
                raise AssertionError(f"an instruction the guard does not use: {code:#x}")


# By hand from <asm/unistd_64.h> and <asm-generic/unistd.h>; name: (x86_64, aarch64).
ORDINARY = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "pread64": (17, 67),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "setsockopt": (54, 208),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "clone": (56, 220),
    "execve": (59, 221),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "openat": (257, 56),
    "pipe2": (293, 59),
    "epoll_create1": (291, 20),
    "eventfd2": (290, 19),
    "clone3": (435, 435),
    "process_vm_readv": (310, 270),
}
NUMBERS = ORDINARY | {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "ptrace": (101, 117),
    "process_vm_writev": (311, 271),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "socketpair": (53, 199),
    "sendto": (44, 206),
    "ioctl": (16, 29),
    "seccomp": (317, 277),
    "prctl": (157, 167),
}
ROWS = [
    *((name, (3, 4096, 64), ALLOW) for name in ORDINARY),
    *(
        ("socket", (family, kind, 0), EPERM)
        for family in (1, 2, 10, 16, 17, 38, 40, 44)
        for kind in (1, 2, 3)
    ),
    ("socket", (0, 0, 0), EPERM),
    ("connect", (3, 4096, 16), EPERM),
    ("bind", (3, 4096, 16), EPERM),
    ("listen", (3, 5), EPERM),
    ("accept", (3, 0, 0), EPERM),
    ("accept4", (3, 0, 0, 0), EPERM),
    ("sendmsg", (3, 4096, 0), EPERM),
    ("sendmmsg", (3, 4096, 1, 0), EPERM),
    ("recvmsg", (3, 4096, 0), EPERM),
    ("recvmmsg", (3, 4096, 1, 0, 0), EPERM),
    ("pidfd_getfd", (3, 4, 0), EPERM),
    ("io_uring_setup", (8, 4096), ENOSYS),
    ("io_uring_enter", (3, 1, 0, 0), ENOSYS),
    ("io_uring_register", (3, 0, 0, 0), ENOSYS),
    ("ptrace", (16, 1), EPERM),
    ("process_vm_writev", (1, 4096, 1, 4096, 1, 0), EPERM),
    ("add_key", (4096, 4096, 0, 0, 0), EPERM),
    ("request_key", (4096, 4096, 0, 0), EPERM),
    ("keyctl", (0,), EPERM),
    # family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol
    ("socketpair", (1, 1, 0), ALLOW),
    ("socketpair", (1, 1 | 0o2000000, 0), ALLOW),
    ("socketpair", (1, 1 | 0o2000000 | 0o4000, 0), ALLOW),
    ("socketpair", (1 | ANY_WORD, 1 | ANY_WORD, 0), ALLOW),
    ("socketpair", (1, 2, 0), EPERM),
    ("socketpair", (1, 2 | 0o2000000, 0), EPERM),
    ("socketpair", (1, 3, 0), EPERM),
    ("socketpair", (1, 5, 0), EPERM),
    ("socketpair", (30, 1, 0), EPERM),
    ("socketpair", (2, 1, 0), EPERM),
    ("socketpair", (0, 0, 0), EPERM),
    # descriptor, buffer, length, flags, address, address length
    ("sendto", (3, 4096, 64, 0, 0, 0), ALLOW),
    ("sendto", (3, 4096, 64, 0x4000, 0, 16), ALLOW),
    ("sendto", (3, 4096, 64, 0, 4096, 16), EPERM),
    ("sendto", (3, 4096, 64, 0, 1 << 32, 16), EPERM),
    ("sendto", (3, 4096, 64, 0, 0x7FFF_0000_0000, 16), EPERM),
    ("ioctl", (0, 0x5401, 4096), ALLOW),  # TCGETS
    ("ioctl", (0, 0x5413, 4096), ALLOW),  # TIOCGWINSZ
    ("ioctl", (0, 0x5412, 4096), EPERM),  # TIOCSTI
    ("ioctl", (0, 0x5412 | ANY_WORD, 4096), EPERM),
    ("ioctl", (0, 0x541C, 4096), EPERM),  # TIOCLINUX
    # The guard may be stacked: a child may load a filter of its own.
    ("seccomp", (1, 1, 4096), ALLOW),
    ("prctl", (38, 1), ALLOW),
]


@BOTH
@pytest.mark.parametrize(("name", "arguments", "expected"), ROWS)
def test_row(architecture: Architecture, name: str, arguments: tuple[int, ...], expected: object) -> None:
    number = NUMBERS[name][0 if architecture is X86_64 else 1]
    assert evaluate(bpf.build(architecture), architecture.audit_id, number, arguments) == expected


@BOTH
def test_every_refusal_has_a_row(architecture: Architecture) -> None:
    refused = {name for name, _, expected in ROWS if expected != ALLOW}
    assert {refusal.syscall for refusal in REFUSALS} == refused
    assert len(REFUSALS) == len(refused), "a second row for a system call would never be reached"


AUDIT_IDS = {
    "i386": 0x40000003,
    "x86_64": 0xC000003E,
    "arm": 0x40000028,
    "aarch64": 0xC00000B7,
    "riscv64": 0xC00000F3,
    "none": 0,
}


@BOTH
@pytest.mark.parametrize("caller", AUDIT_IDS)
def test_a_foreign_architecture_is_refused_everything(architecture: Architecture, caller: str) -> None:
    program = bpf.build(architecture)
    answers = {evaluate(program, AUDIT_IDS[caller], number) for number in range(500)}
    if caller == architecture.name:
        assert ALLOW in answers
    else:
        assert answers == {EPERM}


def test_x32_is_refused_everything() -> None:
    program = bpf.build(X86_64)
    for number in range(600):
        assert evaluate(program, X86_64.audit_id, number | 0x40000000) == EPERM


words = st.integers(0, 2**64 - 1)


@BOTH
@given(number=st.integers(0, 1023), arguments=st.tuples(words, words, words, words, words, words))
def test_a_call_that_no_row_names_is_allowed(
    architecture: Architecture, number: int, arguments: tuple[int, ...]
) -> None:
    named = {architecture.number(refusal.syscall) for refusal in REFUSALS}
    answer = evaluate(bpf.build(architecture), architecture.audit_id, number, arguments)
    assert answer == ALLOW or number in named


@BOTH
@given(family=words, kind=words, protocol=words)
def test_socketpair_is_what_the_kernel_would_read(
    architecture: Architecture, family: int, kind: int, protocol: int
) -> None:
    number = architecture.number("socketpair")
    answer = evaluate(bpf.build(architecture), architecture.audit_id, number, (family, kind, protocol))
    stream_pair = family & 0xFFFFFFFF == 1 and kind & 0xF == 1
    assert answer == (ALLOW if stream_pair else EPERM)


@BOTH
@given(address=words)
def test_sendto_has_no_address(architecture: Architecture, address: int) -> None:
    number = architecture.number("sendto")
    answer = evaluate(bpf.build(architecture), architecture.audit_id, number, (3, 4096, 1, 0, address, 16))
    assert answer == (EPERM if address else ALLOW)


@BOTH
def test_the_kernel_would_accept_the_program(architecture: Architecture) -> None:
    program = bpf.build(architecture)
    assert len(program) <= 4096
    for at, (code, jump_true, jump_false, k) in enumerate(program):
        assert 0 <= jump_true <= 255
        assert 0 <= jump_false <= 255
        assert 0 <= k < 2**32
        if code != 0x06:
            assert at + 1 + max(jump_true, jump_false) < len(program)
    assert program[-1].code == 0x06


HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+)\s+(\d+)"),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
}


@BOTH
def test_the_numbers_are_those_of_the_kernel_headers(architecture: Architecture) -> None:
    path, pattern = HEADERS[architecture.name]
    if not path.exists():
        pytest.skip(f"no kernel headers here: {path}")
    theirs = {name: int(number) for name, number in re.findall(pattern, path.read_text())}
    assert {name: architecture.number(name) for name in SYSCALLS} == {name: theirs[name] for name in SYSCALLS}
    column = list(ARCHITECTURES).index(architecture.name)
    names = [name for name in NUMBERS if name in theirs]
    assert {name: NUMBERS[name][column] for name in names} == {name: theirs[name] for name in names}


@pytest.mark.parametrize(
    ("system", "machine", "pointers_64bit", "expected"),
    [
        ("Linux", "x86_64", True, X86_64),
        ("Linux", "aarch64", True, AARCH64),
        ("Linux", "x86_64", False, None),
        ("Linux", "armv7l", False, None),
        ("Linux", "aarch64_be", True, None),
        ("Linux", "riscv64", True, None),
        ("Linux", "", True, None),
        ("Darwin", "arm64", True, None),
        ("Darwin", "x86_64", True, None),
        ("Windows", "AMD64", True, None),
    ],
)
def test_find(system: str, machine: str, pointers_64bit: bool, expected: Architecture | None) -> None:
    assert bpf.find(system, machine, pointers_64bit=pointers_64bit) == expected
