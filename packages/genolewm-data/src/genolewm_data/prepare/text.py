"""The lines of a VCF from a given place in it, in blocks: plain, gzip or bgzip.

One zlib for all three: a bgzip file is a gzip file of many members, and a member's start is a place to begin at.
"""

from __future__ import annotations

import functools
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from genolewm_core.errors import InputError, interrupts_kept

__all__ = ["blocks_of_lines", "open_text", "unreadable"]

_BLOCK_BYTES = 1 << 20
_LINE_LIMIT_BYTES = 1 << 28


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A VCF as text from its beginning; bytes that are no UTF-8 become question marks."""
    with _opened(path) as stream:
        yield io.TextIOWrapper(stream, "utf-8", "replace")  # type: ignore[type-var]


def blocks_of_lines(path: Path, offset: int = 0) -> Iterator[list[str]]:
    """Lines without their ends, some thousand at a time.

    Args:
        path: VCF, plain, gzip or bgzip.
        offset: where to begin: 0, or a virtual offset of bgzip (the member's place times 65,536, plus the place
            within the member's text).

    Raises:
        InputError: `vcf-unreadable`.
    """
    rest = b""
    try:
        with _opened(path, offset >> 16) as stream:
            stream.read(offset & 0xFFFF)
            for block in iter(functools.partial(_read, stream), b""):
                cut = block.rfind(b"\n")
                if cut < 0:
                    rest += block
                    if len(rest) > _LINE_LIMIT_BYTES:
                        raise unreadable(path, "has a line that is too long", expected="lines below 256 MiB")
                    continue
                text = (rest + block[:cut]).decode("utf-8", "replace")
                rest = block[cut + 1 :]
                yield text.split("\n") if "\r" not in text else text.replace("\r\n", "\n").split("\n")
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(
            path,
            "is damaged or cut short",
            found=type(error).__name__,
            next_step="copy or download the file again",
        ) from None
    if rest:
        yield [rest.decode("utf-8", "replace").rstrip("\r")]


def unreadable(path: Path, what: str, **fields: str) -> InputError:
    """The error for a VCF that cannot be used."""
    fields.setdefault("where", path.name)
    fields.setdefault("next_step", "check the file with: bcftools view")
    return InputError("vcf-unreadable", f"The VCF {what}.", **fields)


def _read(stream: IO[bytes]) -> bytes:
    with interrupts_kept():
        return stream.read(_BLOCK_BYTES)


@contextmanager
def _opened(path: Path, start: int = 0) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(start)
        if not compressed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked
