"""The index of a bgzip VCF (`.tbi`): where each contig begins, and how many records it has.

Read here and not through htslib because of the counts: a contig whose records are not as many as the index
says shows an index of another file, which would lose records without a word.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from genolewm_data.prepare.text import unreadable

__all__ = ["Span", "read_index"]

_META_BIN = 37_450
"""A bin that no position has; it holds the contig's first and last offset and its counts (SAM specification)."""

_LAST_BYTES = 65_536 + 28
"""The last offset may lie in the last block of text or behind it; the end marker follows."""

_UNPACKING_S = 60.0
"""A copy writes a VCF and its index in any order, within moments of each other."""


@dataclass(frozen=True, slots=True)
class Span:
    """One contig's records in a bgzip file.

    Attributes:
        chrom: the contig's name in the file.
        offset: virtual offset of its first record.
        end: virtual offset behind its last record.
        records: how many there are.
    """

    chrom: str
    offset: int
    end: int
    records: int

    @property
    def n_bytes(self) -> int:
        """Compressed size, to within a block."""
        return (self.end >> 16) - (self.offset >> 16)


def read_index(path: Path) -> tuple[Span, ...] | None:
    """The contigs of a VCF in file order; None without a `.tbi`, or with one that has no counts.

    Raises:
        InputError: `vcf-unreadable`, when the index is older than the VCF or damaged.
    """
    index = Path(f"{path}.tbi")
    if not index.exists():
        return None
    if index.stat().st_mtime < path.stat().st_mtime - _UNPACKING_S:
        raise unreadable(
            path,
            "has an index that is older than itself",
            where=index.name,
            expected="an index made from this very file",
            next_step=f"run: tabix -f -p vcf {path.name}",
        )
    try:
        spans = _spans(gzip.decompress(index.read_bytes()))
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise unreadable(
            path,
            "has a damaged index",
            where=index.name,
            found=type(error).__name__,
            next_step=f"run: tabix -f -p vcf {path.name}",
        ) from None
    if spans and not _covers(spans, path.stat().st_size):
        raise unreadable(
            path,
            "has an index of another file",
            where=index.name,
            expected="contigs one after the other, up to the file's end",
            next_step=f"run: tabix -f -p vcf {path.name}",
        )
    return spans


def _covers(spans: tuple[Span, ...], n_bytes: int) -> bool:
    ends = [span.end for span in spans]
    joined = all(span.offset == end for span, end in zip(spans[1:], ends, strict=False))
    return joined and 0 <= n_bytes - (ends[-1] >> 16) <= _LAST_BYTES


def _spans(data: bytes) -> tuple[Span, ...] | None:
    if data[:4] != b"TBI\x01":
        raise ValueError("not a tabix index")
    n_ref, *_, names_bytes = struct.unpack_from("<8i", data, 4)
    names = data[36 : 36 + names_bytes].decode("utf-8", "replace").split("\0")[:-1]
    at = 36 + names_bytes
    if len(names) != n_ref:
        raise ValueError("names and contigs differ in number")
    spans = []
    for name in names:
        (n_bin,) = struct.unpack_from("<i", data, at)
        at += 4
        meta: tuple[int, ...] | None = None
        for _ in range(n_bin):
            number, n_chunk = struct.unpack_from("<Ii", data, at)
            if number == _META_BIN:
                meta = struct.unpack_from("<4Q", data, at + 8)
            at += 8 + 16 * n_chunk
        (n_intervals,) = struct.unpack_from("<i", data, at)
        at += 4 + 8 * n_intervals
        if n_bin == 0:
            continue  # a contig without records
        if meta is None:
            return None
        first, end, records, _ = meta
        spans.append(Span(name, first, end, records))
    return tuple(sorted(spans, key=lambda span: span.offset))
