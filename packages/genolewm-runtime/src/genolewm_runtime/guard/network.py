"""Close the network for this process: installing the guard, asking for it, proving it.

The promise: after `install` returns "seccomp", no code in this process, in any thread (running or to come)
or in any child started from now on, Python or native, opens a socket, connects one, is handed one or reaches
another process over one. The kernel refuses; nothing can be switched back. Only connected AF_UNIX stream
pairs (`socketpair`) remain, for talk between own threads and children.

Its limits:
    * A child that ran before `install` is not reached. Install first, before anything native is imported.
    * Files are files: a folder on a network file system is written over the network by the kernel.
    * AF_UNIX stdio inherited from a terminal or service manager still reaches that peer.
    * It holds code that is faulty or too talkative. Hostile code with the user's rights can still leave files
      for programs outside to run; with root's it can reconfigure the kernel or write to a packet device.
    * Name services behind sockets (sssd, systemd-userdb, nscd, syslog) are out of reach, so users that only a
      directory knows have no name.
    * Multiprocessing works by "fork" and "spawn"; "forkserver" and managers need a named socket.
"""

from __future__ import annotations

import platform as host
import threading
from dataclasses import dataclass
from typing import Literal

from genolewm_core.errors import DeploymentError
from genolewm_runtime.guard import bpf, descriptors, seccomp
from genolewm_runtime.guard.audit import install_hook
from genolewm_runtime.guard.environment import silence_telemetry

__all__ = ["GuardStatus", "install", "status", "verify"]


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """What stands between this process and the network.

    Attributes:
        enforced_by: "seccomp": the kernel refuses. "python-only": Python's own socket calls raise an error,
            and native code is not held.
        platform: system and machine, such as "linux-x86_64".
    """

    enforced_by: Literal["seccomp", "python-only"]
    platform: str


_lock = threading.Lock()
_status: GuardStatus | None = None


def install(*, allow_unenforced: bool = False) -> GuardStatus:
    """Close the network, or raise; call it before any native library is imported.

    Uses the standard library only, silences libraries' telemetry, takes about a millisecond, and is
    idempotent: once the kernel enforces the guard, later calls return the same status. A process that is
    turned away for what it has open keeps its network.

    Args:
        allow_unenforced: where the kernel cannot enforce the guard, be content with the audit hook and say so
            in the status. Only ever the user's explicit choice.

    Raises:
        DeploymentError: "guard-unavailable": not Linux on x86-64 or ARM64, the kernel refuses, a network
            socket or io_uring is open already, or a probe still gets through.
    """
    global _status
    silence_telemetry()
    with _lock:
        if _status is not None and _status.enforced_by == "seccomp":
            return _status
        try:
            _close_in_kernel()
        except DeploymentError:
            if not allow_unenforced:
                raise
            enforced_by: Literal["seccomp", "python-only"] = "python-only"
        else:
            enforced_by = "seccomp"
        install_hook()
        _status = GuardStatus(enforced_by, _platform())
        return _status


def status() -> GuardStatus | None:
    """What `install` returned in this process (or, after a fork, in its parent); None before."""
    return _status


def verify() -> None:
    """Prove by trying that the kernel holds this process; sends nothing.

    For worker processes, which inherit the filter but not the parent's Python state: `status` is None in a
    spawned one, and this tells the truth all the same.

    Raises:
        DeploymentError: "guard-unavailable": something that must be refused was not, an io_uring or a socket
            of another family than AF_UNIX is open, or what must work does not.
    """
    architecture = _architecture()
    _refuse_open_descriptors()
    found = list(seccomp.leaks(architecture))
    if found:
        raise _unavailable("every socket refused but a stream socketpair", "; ".join(found))


def _close_in_kernel() -> None:
    architecture = _architecture()
    # First, so that a process with connections is turned away unharmed; `verify` looks again, for a thread
    # may have opened one meanwhile.
    _refuse_open_descriptors()
    refusal = seccomp.load(bpf.build(architecture), architecture)
    if refusal is not None:
        raise _unavailable("a kernel that accepts a seccomp filter", refusal)
    verify()


def _architecture() -> bpf.Architecture:
    architecture = bpf.find(host.system(), host.machine())
    if architecture is None:
        raise _unavailable("64-bit Linux on x86-64 or ARM64", _platform())
    return architecture


def _refuse_open_descriptors() -> None:
    try:
        found = descriptors.reaching_out()
    except OSError as error:
        raise _unavailable("/proc, to see what is open already", str(error)) from error
    if found:
        raise _unavailable("no connection opened before the guard", "; ".join(found))


def _platform() -> str:
    return f"{host.system()}-{host.machine()}".lower()


def _unavailable(expected: str, found: str) -> DeploymentError:
    return DeploymentError(
        "guard-unavailable",
        "The network guard is not in force, so no personal data was read.",
        where=_platform(),
        expected=expected,
        found=found,
        next_step=(
            "Score in a fresh process on Linux, outside of notebooks and of sandboxes that forbid seccomp; "
            "or accept a guard that holds only Python code with --allow-unenforced-guard, which the receipt "
            "will say."
        ),
    )
