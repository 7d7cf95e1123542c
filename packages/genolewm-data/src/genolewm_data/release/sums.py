"""`SHA256SUMS`: digests of every file of a release, as `sha256sum -c` reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.errors import InputError

__all__ = ["SUMS", "digest_of", "files_of", "read_sums", "write_sums"]

SUMS = "SHA256SUMS"


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> list[str]:
    """Paths of everything in a release's folder but the sums, with `/`, sorted."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    paths = (path.relative_to(folder).as_posix() for path in found)
    return sorted(path for path in paths if path != SUMS)


def write_sums(folder: Path) -> None:
    """Write the digests of all files that are there.

    Raises:
        ResourceError: `output-unwritable`.
    """
    lines = [f"{digest_of(folder / path)}  {path}\n" for path in files_of(folder)]
    write_atomic(folder / SUMS, "".join(lines).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """Path to digest.

    Raises:
        InputError: `dataset-invalid`.
    """
    try:
        lines = (folder / SUMS).read_text().splitlines()
        return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise InputError(
            "dataset-invalid",
            "The digests of the dataset release cannot be read.",
            where=str(folder / SUMS),
            expected="lines of a digest, two blanks and a path",
            found="no such file" if isinstance(error, FileNotFoundError) else type(error).__name__,
            next_step="copy the release again",
        ) from None
