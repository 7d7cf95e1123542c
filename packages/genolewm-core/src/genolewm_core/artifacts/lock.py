"""One writer at a time: a lock on an open file or folder, which the system frees however its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import ResourceError

__all__ = ["held_folder", "lock_or_refuse"]


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


@contextmanager
def held_folder(folder: Path, what: str, where: Path, next_step: str) -> Iterator[None]:
    """A folder for unfinished work that no other process has; made if need be, and gone in the end if it is empty.

    Args:
        folder: see above.
        what, where, next_step: of the error.

    Raises:
        ResourceError: `output-busy`, `output-unwritable`.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lock_or_refuse(lock, what, where, next_step)
        yield
    finally:
        if os.fstat(lock).st_nlink and not any(folder.iterdir()):
            folder.rmdir()
        os.close(lock)
