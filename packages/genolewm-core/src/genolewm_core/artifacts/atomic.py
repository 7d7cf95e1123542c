"""Files that appear whole or not at all.

A file is written under a hidden name in the folder it belongs to, flushed to disk, then renamed; the folder
is flushed too, so that a power cut cannot bring the old state back after success was reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genolewm_core.errors import ResourceError

__all__ = ["publishing", "write_atomic"]


@contextmanager
def publishing(target: Path, staging: Path | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `target`, on any failure it is removed.

    Args:
        target: the final name.
        staging: folder on the same file system for the temporary file, for callers that clean it up after a
            kill; the target's own folder when None.

    Raises:
        ResourceError: `output-unwritable`.
    """
    temporary = (staging or target.parent) / f".{target.name}.{os.getpid()}.tmp"
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    except OSError as error:
        raise ResourceError(
            "output-unwritable",
            "A file could not be written.",
            where=str(target),
            found=error.strerror or type(error).__name__,
            next_step="check free space and permissions of the folder, then run the same command again",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(target: Path, data: bytes) -> None:
    """Write bytes to `target` atomically.

    Raises:
        ResourceError: `output-unwritable`.
    """
    with publishing(target) as temporary:
        temporary.write_bytes(data)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
