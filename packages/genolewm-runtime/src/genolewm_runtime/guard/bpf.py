"""The guard's filter program, as data: which system calls are refused, and the classic BPF that says so.

Nothing here touches the kernel. The program is built from `SYSCALLS` (numbers per architecture) and
`REFUSALS` (what is refused, and when), so both tables can be read and checked on any machine.
Layout of what a filter sees: `struct seccomp_data` in <linux/seccomp.h>. A filter reads 32-bit words of the
system call's number and arguments; it cannot follow a pointer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ARCHITECTURES", "REFUSALS", "SYSCALLS", "Architecture", "Instruction", "build", "find"]

# Linux's numbers, spelt out because the errno and socket modules give those of the system they run on.
EPERM = 1
ENOSYS = 38
AF_UNIX = 1
SOCK_STREAM = 1
SOCK_TYPE_MASK = 0xF
TIOCSTI = 0x5412
TIOCLINUX = 0x541C

LOAD_WORD = 0x20
AND = 0x54
JUMP_IF_EQUAL = 0x15
JUMP_IF_BIT = 0x45
RETURN = 0x06

RETURN_ALLOW = 0x7FFF0000
RETURN_ERRNO = 0x00050000

NUMBER_OFFSET = 0
ARCHITECTURE_OFFSET = 4


class Instruction(NamedTuple):
    """One `struct sock_filter`; `jt` and `jf` count the instructions to skip."""

    code: int
    jt: int
    jf: int
    k: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """An instruction set whose system calls the filter knows.

    Attributes:
        name: as `platform.machine()` gives it.
        audit_id: its AUDIT_ARCH_* from <linux/audit.h>; the filter refuses every call made as another one.
        foreign_bit: a bit that marks another ABI's calls under the same `audit_id`, or 0.
    """

    name: str
    audit_id: int
    foreign_bit: int

    def number(self, syscall: str) -> int:
        """Number of a system call that `SYSCALLS` lists."""
        return SYSCALLS[syscall][list(ARCHITECTURES).index(self.name)]


ARCHITECTURES: dict[str, Architecture] = {
    # x32 shares AUDIT_ARCH_X86_64 and would reach every call by a number that no table lists.
    "x86_64": Architecture("x86_64", audit_id=0xC000003E, foreign_bit=0x40000000),
    "aarch64": Architecture("aarch64", audit_id=0xC00000B7, foreign_bit=0),
}

SYSCALLS: dict[str, tuple[int, int]] = {
    # name: (x86_64, aarch64)
    "ioctl": (16, 29),
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "ptrace": (101, 117),
    "prctl": (157, 167),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "accept4": (288, 242),
    "recvmmsg": (299, 243),
    "sendmmsg": (307, 269),
    "process_vm_writev": (311, 271),
    "seccomp": (317, 277),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "pidfd_getfd": (438, 438),
}


@dataclass(frozen=True, slots=True)
class Test:
    """One 32-bit word of an argument: does `word & mask` equal `value` (or, with `equal=False`, differ)?

    Attributes:
        argument: index of the argument, 0 to 5.
        upper: the argument's upper word instead of its lower one (both architectures are little-endian).
    """

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    equal: bool = True
    upper: bool = False

    @property
    def offset(self) -> int:
        """Where the word lies in `struct seccomp_data`."""
        return 16 + 8 * self.argument + 4 * self.upper


@dataclass(frozen=True, slots=True)
class Refusal:
    """A system call that fails with `errno`: always, or when any of `tests` holds."""

    syscall: str
    tests: tuple[Test, ...] = ()
    errno: int = EPERM


REFUSALS: tuple[Refusal, ...] = (
    # No family is spared: over AF_UNIX a local resolver or message bus, over AF_NETLINK the kernel, would
    # carry data out for the caller.
    Refusal("socket"),
    # A connected stream pair can never be given another peer; a datagram one can, by connect or an address.
    # The kernel reads family and type as 32-bit, so the lower words are the whole truth.
    Refusal(
        "socketpair",
        (Test(0, AF_UNIX, equal=False), Test(1, SOCK_STREAM, mask=SOCK_TYPE_MASK, equal=False)),
    ),
    # Sockets may be inherited (a terminal's or a service manager's AF_UNIX stdio). They keep the peer they
    # have: none can be re-addressed, and an inherited listener takes no callers.
    Refusal("connect"),
    Refusal("bind"),
    Refusal("listen"),
    Refusal("accept"),
    Refusal("accept4"),
    Refusal("sendto", (Test(4, 0, equal=False), Test(4, 0, equal=False, upper=True))),
    # Their address and control data lie behind a pointer, out of the filter's sight. Control data can carry a
    # descriptor: one received could be an open network socket, and none ever needs to be sent.
    Refusal("sendmsg"),
    Refusal("sendmmsg"),
    Refusal("recvmsg"),
    Refusal("recvmmsg"),
    Refusal("pidfd_getfd"),
    # io_uring opens and connects sockets from the kernel's side, past every rule above. ENOSYS is what
    # callers with a fallback expect. enter and register, too: a ring may have been made earlier.
    Refusal("io_uring_setup", errno=ENOSYS),
    Refusal("io_uring_enter", errno=ENOSYS),
    Refusal("io_uring_register", errno=ENOSYS),
    # Make a process outside the guard do the sending: by driving it, by typing into the user's shell, or by
    # asking the kernel for a key, which starts a helper that looks a name up in DNS (key type dns_resolver).
    Refusal("ptrace"),
    Refusal("process_vm_writev"),
    Refusal("ioctl", (Test(1, TIOCSTI), Test(1, TIOCLINUX))),
    Refusal("add_key"),
    Refusal("request_key"),
    Refusal("keyctl"),
)


def find(system: str, machine: str, *, pointers_64bit: bool = sys.maxsize > 2**32) -> Architecture | None:
    """The table for a platform, or None where the filter would not fit.

    Args:
        system: as `platform.system()` gives it.
        machine: as `platform.machine()` gives it.
        pointers_64bit: False for a 32-bit interpreter, whose calls a 64-bit kernel sees as foreign.
    """
    if system != "Linux" or not pointers_64bit:
        return None
    return ARCHITECTURES.get(machine)


def build(architecture: Architecture) -> tuple[Instruction, ...]:
    """The whole program: foreign ABIs refused, then `REFUSALS` in order, then everything else allowed."""
    program = [
        Instruction(LOAD_WORD, 0, 0, ARCHITECTURE_OFFSET),
        Instruction(JUMP_IF_EQUAL, 1, 0, architecture.audit_id),
        Instruction(RETURN, 0, 0, RETURN_ERRNO | EPERM),
        Instruction(LOAD_WORD, 0, 0, NUMBER_OFFSET),
    ]
    if architecture.foreign_bit:
        program += [
            Instruction(JUMP_IF_BIT, 0, 1, architecture.foreign_bit),
            Instruction(RETURN, 0, 0, RETURN_ERRNO | EPERM),
        ]
    for refusal in REFUSALS:
        body = _body(refusal)
        number = architecture.number(refusal.syscall)
        program += [Instruction(JUMP_IF_EQUAL, 0, len(body), number), *body]
    return (*program, Instruction(RETURN, 0, 0, RETURN_ALLOW))


def _body(refusal: Refusal) -> list[Instruction]:
    refuse = Instruction(RETURN, 0, 0, RETURN_ERRNO | refusal.errno)
    if not refusal.tests:
        return [refuse]
    body: list[Instruction] = []
    for index, test in enumerate(refusal.tests):
        # Past the later tests (three instructions each) and the "allow" that stands before the refusal.
        hit = 3 * (len(refusal.tests) - 1 - index) + 1
        body += [
            Instruction(LOAD_WORD, 0, 0, test.offset),
            Instruction(AND, 0, 0, test.mask),
            Instruction(JUMP_IF_EQUAL, *((hit, 0) if test.equal else (0, hit)), test.value),
        ]
    return [*body, Instruction(RETURN, 0, 0, RETURN_ALLOW), refuse]
