"""Loads a filter into the kernel and probes what it refuses, through ctypes and the raw system call.

Needs no privileges and no library beyond libc. Errors are returned as the kernel returns them: a negative
result is minus the errno.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator, Sequence

from genolewm_runtime.guard.bpf import (
    AF_UNIX,
    EPERM,
    REFUSALS,
    SOCK_STREAM,
    TIOCSTI,
    Architecture,
    Instruction,
    Refusal,
)

__all__ = ["call", "leaks", "load"]

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1

SOCK_DGRAM = 2
FAMILIES = {
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    # No such family: an open kernel answers EAFNOSUPPORT, so EPERM shows that the family is not even asked.
    "an unknown family": 255,
}


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


def call(number: int, *arguments: int) -> int:
    """One system call by number; the result, or minus the errno."""
    libc = _libc()
    # All six are passed: a filter sees every argument register, and a short call would show it old contents.
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    result = int(libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, padded)))
    return -ctypes.get_errno() if result == -1 else result


def load(program: Sequence[Instruction], architecture: Architecture) -> str | None:
    """Put a filter on every thread of this process and on all children to come. It cannot be taken off.

    Returns:
        None, or what the kernel answered instead. Children that already run are not reached.
    """
    # Without it an unprivileged process may load no filter; it also keeps setuid programs from running freed.
    result = call(architecture.number("prctl"), PR_SET_NO_NEW_PRIVS, 1)
    if result < 0:
        return f"prctl(PR_SET_NO_NEW_PRIVS): {os.strerror(-result)}"
    filters = (_Filter * len(program))(*(_Filter(*instruction) for instruction in program))
    header = _Program(len(program), filters)
    result = call(
        architecture.number("seccomp"),
        SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_TSYNC,
        ctypes.addressof(header),
    )
    if result < 0:
        return f"seccomp(SECCOMP_SET_MODE_FILTER): {os.strerror(-result)}"
    if result > 0:
        # Nothing was loaded, on any thread: the kernel names the one that stood in the way.
        return "seccomp(SECCOMP_SET_MODE_FILTER): a thread with a filter of its own cannot take this one"
    return None


def leaks(architecture: Architecture) -> Iterator[str]:
    """Try every row of `REFUSALS` and what must work; yield a phrase for each that came out otherwise.

    Sends nothing. Where the filter is missing, sockets are opened and closed at once, and every other probe
    fails on its arguments.
    """
    for name, family in FAMILIES.items():
        result = call(architecture.number("socket"), family, SOCK_DGRAM)
        if result >= 0:
            os.close(result)
        if result != -EPERM:
            yield f"a socket of {name} {_outcome(result)}"
    for refusal in REFUSALS:
        result = call(architecture.number(refusal.syscall), *_refused_arguments(refusal))
        if result != -refusal.errno:
            yield f"{refusal.syscall} {_outcome(result)}"
    pair = (ctypes.c_int * 2)()
    result = call(architecture.number("socketpair"), AF_UNIX, SOCK_STREAM, 0, ctypes.addressof(pair))
    if result == 0:
        for descriptor in pair:
            os.close(descriptor)
    else:
        yield f"a stream socketpair {_outcome(result)}"


def _refused_arguments(refusal: Refusal) -> tuple[int, ...]:
    """Arguments that the row refuses and that an open kernel could do nothing with."""
    match refusal.syscall:
        case "socketpair":
            return (AF_UNIX, SOCK_DGRAM, 0, 0)
        case "sendto":
            return (-1, 0, 0, 0, 1)
        case "ioctl":
            return (-1, TIOCSTI)
        case _:
            return (-1,)


def _outcome(result: int) -> str:
    return "was let through" if result >= 0 else f"was answered with {os.strerror(-result)!r}"


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
