"""The network guard: closes the network for this process, its threads and its children, for good."""

from genolewm_runtime.guard.network import GuardStatus, install, status, verify

__all__ = ["GuardStatus", "install", "status", "verify"]
