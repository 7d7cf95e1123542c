"""Files that appear whole or not at all.

A file is written under a hidden name in the folder it belongs to, flushed to disk, then renamed; the folder
is flushed too, so that a power cut cannot bring the old state back after success was reported.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from genolewm_core.errors import ResourceError

__all__ = ["flush", "publish", "publishing", "write_atomic", "writing"]


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Report what the system says against writing as an error that names `target`.

    Raises:
        ResourceError: `output-unwritable`, for any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise ResourceError(
            "output-unwritable",
            "A file could not be written.",
            where=str(target),
            found=error.strerror or type(error).__name__,
            next_step="check free space and permissions of the folder, then run the same command again",
        ) from error


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
        with writing(target):
            yield temporary
            flush(temporary)
            os.replace(temporary, target)
            flush(target.parent)
    finally:
        # What stopped the writing may stop this as well, and is the error to report.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(target: Path, data: bytes) -> None:
    """Write bytes to `target` atomically.

    Raises:
        ResourceError: `output-unwritable`.
    """
    with publishing(target) as temporary:
        temporary.write_bytes(data)


def publish(staged: Sequence[tuple[Path, Path]], obsolete: Iterable[Path] = ()) -> None:
    """Give several finished files of one file system their final names, one after the other.

    Everything is on disk before the first name changes, so that little but a kill can come between the
    names; a caller that keeps a note of the work can then do it again.

    Args:
        staged: (temporary path, final name), in the order in which they are to appear.
        obsolete: final names whose files go first, because they would belong to none or to the wrong file.

    Raises:
        ResourceError: `output-unwritable`.
    """
    for temporary, target in staged:
        with writing(target):
            flush(temporary)
    for path in obsolete:
        with writing(path):
            path.unlink(missing_ok=True)
    for temporary, target in staged:
        with writing(target):
            os.replace(temporary, target)
    for folder in dict.fromkeys(target.parent for _, target in staged):
        with writing(folder):
            flush(folder)


def flush(path: Path) -> None:
    """Have a file or a folder on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
