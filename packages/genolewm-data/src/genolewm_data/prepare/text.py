"""The records of a VCF from a given place in it, in blocks: plain, gzip or bgzip.

One zlib for all three: a bgzip file is a gzip file of many members, and a member's start is a place to begin at.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from genolewm_core.errors import InputError, interrupts_kept

__all__ = ["blocks_of_records", "open_text", "unreadable"]

_BLOCK_BYTES = 1 << 23
_LINE_LIMIT_BYTES = 1 << 28


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A VCF as text from its beginning; bytes that are no UTF-8 become question marks."""
    with _opened(path) as stream:
        yield io.TextIOWrapper(stream, "utf-8", "replace")


def blocks_of_records(path: Path, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Whole lines behind the header, some megabytes at a time; the next block is unpacked in a thread meanwhile.

    Characters other than ASCII become question marks.

    Args:
        path: VCF, plain, gzip or bgzip.
        offset: where to begin: 0, or a virtual offset of bgzip (the member's place times 65,536, plus the place
            within the member's text).
        end: virtual offset behind which nothing is unpacked but the rest of its member; None for the file's end.

    Raises:
        InputError: `vcf-unreadable`.
    """
    rest = b""
    header = offset == 0
    try:
        with _opened(path, offset >> 16, end) as stream, ThreadPoolExecutor(1) as ahead:
            stream.read(offset & 0xFFFF)
            coming = ahead.submit(stream.read, _BLOCK_BYTES)
            while block := _result(coming):
                coming = ahead.submit(stream.read, _BLOCK_BYTES)
                cut = block.rfind(b"\n") + 1
                if cut == 0 and len(rest) > _LINE_LIMIT_BYTES:
                    raise unreadable(path, "has a line that is too long", expected="lines below 256 MiB")
                lines, rest = (rest + block[:cut], block[cut:]) if cut else (b"", rest + block)
                if header:
                    lines = _without_header(lines)
                    header = not lines
                if lines:
                    yield _plain(lines)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(
            path,
            "is damaged or cut short",
            found=type(error).__name__,
            next_step="copy or download the file again",
        ) from None
    if rest and not (header and rest.startswith(b"#")):
        yield _plain(rest)


def _result(coming: Future[bytes]) -> bytes:
    with interrupts_kept():
        return coming.result()


def _without_header(lines: bytes) -> bytes:
    start = 0
    while lines.startswith(b"#", start):
        start = lines.index(b"\n", start) + 1
    return lines[start:]


def _plain(lines: bytes) -> bytes:
    if b"\r" in lines:
        lines = lines.replace(b"\r\n", b"\n")
    # Places in ASCII are the same in bytes and in characters, and what is read of a release is ASCII.
    return lines if lines.isascii() else lines.decode("utf-8", "replace").encode("ascii", "replace")


def unreadable(path: Path, what: str, **fields: str) -> InputError:
    """The error for a VCF that cannot be used."""
    fields.setdefault("where", path.name)
    fields.setdefault("next_step", "check the file with: bcftools view")
    return InputError("vcf-unreadable", f"The VCF {what}.", **fields)


@contextmanager
def _opened(path: Path, start: int = 0, end: int | None = None) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(start)
        if not compressed:
            yield file
            return
        source: IO[bytes] = file
        if end is not None:
            file.seek(end >> 16)
            stop = (end >> 16) + _member_bytes(file.read(18))
            file.seek(start)
            source = _Upto(file, stop - start)  # type: ignore[assignment]
        with gzip.GzipFile(fileobj=source) as unpacked:
            yield cast(IO[bytes], unpacked)


def _member_bytes(head: bytes) -> int:
    """Size of a bgzip member, by its first 18 bytes; 0 at a file's end."""
    return int.from_bytes(head[16:18], "little") + 1 if len(head) == 18 else 0


class _Upto:
    """A file that ends after so many bytes."""

    def __init__(self, file: IO[bytes], n_bytes: int) -> None:
        self._file = file
        self._left = n_bytes

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data
