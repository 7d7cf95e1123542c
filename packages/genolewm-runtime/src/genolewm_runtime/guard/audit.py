"""A Python audit hook that turns an attempt to use the network into a readable error.

It is the message, not the wall: native code raises no audit events. The filter in the kernel stops both.
"""

from __future__ import annotations

import sys

from genolewm_core.errors import DeploymentError

__all__ = ["install_hook"]

BLOCKED_EVENTS = frozenset(
    {
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.getnameinfo",
        "socket.sendmsg",
        "socket.sendto",
    }
)
AF_UNIX = 1
FAMILY_OF_THE_DESCRIPTOR = -1

_installed = False


def install_hook() -> None:
    """Add the hook, once; Python offers no way to take it off."""
    global _installed
    if not _installed:
        sys.addaudithook(_refuse_network)
        _installed = True


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in BLOCKED_EVENTS or (event == "socket.__new__" and _opens_outwards(arguments)):
        # The event's name only: its arguments are addresses.
        raise DeploymentError(
            "network-blocked",
            "The network guard is on, and code tried to use the network.",
            where=event,
            expected="no network use while personal data is read",
            next_step="Use local files; download what is needed before scoring, in a process of its own.",
        )


def _opens_outwards(arguments: tuple[object, ...]) -> bool:
    # `socket.socketpair` wraps its two ends in objects of AF_UNIX, which look like new sockets from here; the
    # kernel tells them apart.
    return arguments[1] not in (AF_UNIX, FAMILY_OF_THE_DESCRIPTOR)
