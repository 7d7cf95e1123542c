"""Finds descriptors that were open before the guard and that reach the network all the same."""

from __future__ import annotations

import ctypes
import os

from genolewm_runtime.guard.bpf import AF_UNIX

__all__ = ["reaching_out"]

SOL_SOCKET = 1
SO_DOMAIN = 39
FAMILY_NAMES = {2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 40: "AF_VSOCK"}


def reaching_out() -> list[str]:
    """A phrase for every open socket that is not AF_UNIX, and for every io_uring; Linux only.

    AF_UNIX ones stay: a terminal's or service manager's stdio is often one, and under the filter it keeps the
    peer it has. An io_uring may have a kernel thread of its own that no filter binds.

    Raises:
        OSError: /proc is not mounted, so nobody can tell what is open.
    """
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            # Closed meanwhile: the descriptor that listed the folder always is.
            continue
        if target.startswith("socket:"):
            family = _family(int(name))
            if family != AF_UNIX:
                label = FAMILY_NAMES.get(family, f"family {family}")
                found.append(f"descriptor {name} is a socket of {label}")
        elif target.startswith("anon_inode:[io_uring]"):
            found.append(f"descriptor {name} is an io_uring")
    return found


def _family(descriptor: int) -> int:
    """The socket's address family, or -1 where the kernel does not say."""
    libc = ctypes.CDLL(None)
    family = ctypes.c_int(-1)
    size = ctypes.c_uint32(ctypes.sizeof(family))
    libc.getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, ctypes.byref(family), ctypes.byref(size))
    return family.value
