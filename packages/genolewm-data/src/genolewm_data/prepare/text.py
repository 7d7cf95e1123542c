"""The records of a VCF from a given place in it, in blocks: plain, gzip or bgzip.

A bgzip file is a gzip file of many small members. A member's start is a place to begin at, and unpacking members
as wholes takes two thirds of the time that it takes to read them as a stream.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TypeVar, cast

from genolewm_core.errors import InputError

__all__ = ["blocks_of_records", "made_ahead", "open_text", "unreadable"]

T = TypeVar("T")

_BLOCK_BYTES = 1 << 23
_MEMBER_BYTES = 1 << 16
"""Most that a member of bgzip holds."""
_LINE_LIMIT_BYTES = 1 << 28


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A VCF as text from its beginning; bytes that are no UTF-8 become question marks."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if compressed else file
        yield io.TextIOWrapper(stream, "utf-8", "replace")


def made_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator, the next of which a thread makes meanwhile."""
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = ahead.submit(next, items, None)
            yield item


def blocks_of_records(path: Path, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Whole lines behind the header, some megabytes at a time.

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
        with closing(_unpacked(path, offset, end)) as blocks:
            for block in blocks:
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


def _unpacked(path: Path, offset: int, end: int | None) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        start = file.read(18)
        file.seek(offset >> 16)
        if _member_bytes(start):
            members = _members(file, None if end is None else end >> 16)
            block = [next(members, b"")[offset & 0xFFFF :]]
            for member in members:
                block.append(member)
                if len(block) * _MEMBER_BYTES >= _BLOCK_BYTES:
                    yield b"".join(block)
                    block = []
            yield b"".join(block)
            return
        stream = gzip.GzipFile(fileobj=file) if start.startswith(b"\x1f\x8b") else file
        while data := stream.read(_BLOCK_BYTES):
            yield data


def _members(file: IO[bytes], last: int | None) -> Iterator[bytes]:
    """Texts of the members of a bgzip file, from where it stands to the member that begins at `last`."""
    while (last is None or file.tell() <= last) and (head := file.read(18)):
        size = _member_bytes(head)
        packed = file.read(size - 18)
        if not size or len(packed) != size - 18:
            raise EOFError("a member of bgzip is cut, or is none")
        text = zlib.decompress(packed[:-8], -zlib.MAX_WBITS, _MEMBER_BYTES)
        if zlib.crc32(text).to_bytes(4, "little") != packed[-8:-4]:
            raise zlib.error("a member of bgzip does not hold what it says")
        yield text


def _member_bytes(head: bytes) -> int:
    """Size of a bgzip member, by its first 18 bytes; 0 for what is none (SAM specification, section 4.1)."""
    if len(head) == 18 and head[:4] == b"\x1f\x8b\x08\x04" and head[10:16] == b"\x06\x00BC\x02\x00":
        return int.from_bytes(head[16:18], "little") + 1
    return 0
