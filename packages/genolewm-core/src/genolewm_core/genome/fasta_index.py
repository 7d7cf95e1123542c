"""The index beside a FASTA: `.fai`, and `.gzi` where the FASTA is compressed by bgzip."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pysam

from genolewm_core.errors import InputError

__all__ = ["check_fasta", "ensure_index", "unreadable"]

_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"

_UNPACKING_S = 60.0
"""A checkout or an installer writes a FASTA and its index in any order, within moments of each other."""


def check_fasta(path: Path) -> None:
    """Refuse what is no FASTA with random access: missing, empty, other formats, plain gzip.

    Raises:
        InputError: `reference-unreadable`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head[:2] == _GZIP_MAGIC:
            if head != _BGZF_MAGIC:
                raise unreadable(
                    path,
                    "is compressed by gzip, which has no random access",
                    expected="a plain or a bgzip-compressed FASTA",
                    next_step=f"run: gunzip {path.name} (or recompress it with bgzip)",
                )
            with gzip.open(path) as file:
                head = file.read(1)
    except (OSError, EOFError) as error:
        raise unreadable(
            path,
            "could not be opened",
            found=type(error).__name__,
            next_step="check the path and its permissions",
        ) from None
    if head[:1] != b">":
        raise unreadable(
            path, "is not a FASTA", expected="'>' as its first character", next_step="name a FASTA file"
        )


def ensure_index(path: Path) -> None:
    """Build the index of a FASTA when it has none, and refuse one that is older than the file.

    Raises:
        InputError: `reference-unreadable`, naming the command that makes the index.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    indexes = [Path(f"{path}.fai")] + ([Path(f"{path}.gzi")] if compressed else [])
    if not all(index.exists() for index in indexes):
        _build_index(path, indexes)
        return
    written = path.stat().st_mtime
    for index in indexes:
        if index.stat().st_mtime < written - _UNPACKING_S:
            raise unreadable(
                path,
                "has an index that is older than itself",
                where=index.name,
                expected="an index made from this very file",
                next_step=f"run: samtools faidx {path.name}",
            )


def _build_index(path: Path, indexes: list[Path]) -> None:
    temporary = [Path(f"{index}.{os.getpid()}.tmp") for index in indexes]
    arguments = ["--fai-idx", str(temporary[0])]
    if len(temporary) > 1:
        arguments += ["--gzi-idx", str(temporary[1])]
    try:
        if not os.access(path.parent, os.W_OK):
            raise PermissionError
        pysam.set_verbosity(0)
        pysam.faidx(*arguments, str(path))
        for made, index in zip(temporary, indexes, strict=True):
            os.replace(made, index)
    except (OSError, pysam.SamtoolsError) as error:
        raise unreadable(
            path,
            "has no index and none could be made",
            expected=" and ".join(index.name for index in indexes),
            found=type(error).__name__,
            next_step=f"run: samtools faidx {path.name} in a folder that can be written",
        ) from None
    finally:
        for made in temporary:
            made.unlink(missing_ok=True)


def unreadable(path: Path, what: str, *, where: str | None = None, **fields: str) -> InputError:
    """The error for a FASTA that cannot be used."""
    fields.setdefault("next_step", f"check the file, then run: samtools faidx {path.name}")
    return InputError(
        "reference-unreadable", f"The reference FASTA {what}.", where=where or path.name, **fields
    )
