"""One writer at a time: a lock on an open file or folder, which the system frees however its process ends."""

from __future__ import annotations

import fcntl
from pathlib import Path

from genolewm_core.errors import ResourceError

__all__ = ["lock_or_refuse"]


def lock_or_refuse(descriptor: int, what: str, where: Path, next_step: str) -> None:
    """Take the lock of a descriptor, held until it is closed; do not wait for another process that has it.

    Args:
        what, where, next_step: of the error.

    Raises:
        ResourceError: `output-busy`.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ResourceError("output-busy", what, where=str(where), next_step=next_step) from error
