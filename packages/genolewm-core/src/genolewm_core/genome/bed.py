"""Regions out of a BED file (UCSC's format description; only the first three columns are read)."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from genolewm_core.errors import InputError, interrupts_kept
from genolewm_core.genome.contigs import ContigTable

__all__ = ["Bed", "Region", "merge_regions", "read_bed", "whole_genome"]

_GZIP_MAGIC = b"\x1f\x8b"
_LINE_LIMIT_BYTES = 1 << 20
_NOT_REGIONS = (b"track", b"browser")
_AGAIN = "correct the line, or make the BED again"


class Region(NamedTuple):
    """A stretch of a contig.

    Attributes:
        contig: name as the reference spells it.
        start, end: 0-based half-open.
    """

    contig: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bed:
    """What a BED file says, and what was done to its regions.

    Attributes:
        regions: in the reference's order of contigs and by position; none touches another.
        n_lines: regions that the file lists.
        in_order: the file listed them in that order.
    """

    regions: tuple[Region, ...]
    n_lines: int
    in_order: bool

    @property
    def n_merged(self) -> int:
        """Lines that became part of another line's region, because the two overlap or touch."""
        return self.n_lines - len(self.regions)

    @classmethod
    def read(cls, path: str | os.PathLike[str], contigs: ContigTable) -> Bed:
        """Read a BED, plain, gzip or bgzip.

        Columns are separated by tabs or blanks. Comments, blank lines and the lines `track` and `browser` are
        passed over. Contigs may be called in another style than the reference's: see `ContigTable.resolve`.

        Args:
            path: the file.
            contigs: contigs of the reference.

        Raises:
            InputError: `bed-invalid`, naming the line, when the file cannot be read, has a line that is no
                region, a region without bases or beyond its contig's end, a contig that the reference lacks, or
                no region at all.
        """
        path = Path(path)
        found: list[Region] = []
        names: dict[bytes, str | None] = {}
        for number, line in _lines(path):
            columns = line.split(b"\t") if b"\t" in line else line.split()
            found.append(_region(columns, contigs, names, f"{path.name}, line {number}"))
        if not found:
            raise InputError(
                "bed-invalid",
                "The BED lists no region.",
                where=path.name,
                expected="lines of contig, start and end",
                next_step="name a BED that has regions",
            )
        order = {name: index for index, name in enumerate(contigs)}
        places = [(order[r.contig], r.start, r.end) for r in found]
        return cls(merge_regions(found, contigs), len(found), places == sorted(places))


def read_bed(path: str | os.PathLike[str], contigs: ContigTable) -> tuple[Region, ...]:
    """The regions of a BED file, merged and in order; see `Bed.read`."""
    return Bed.read(path, contigs).regions


def whole_genome(contigs: ContigTable) -> tuple[Region, ...]:
    """Every base of a reference."""
    return tuple(Region(name, 0, length) for name, length in contigs.items() if length)


def merge_regions(regions: Iterable[Region], contigs: ContigTable) -> tuple[Region, ...]:
    """Regions in the reference's order; those that overlap or touch become one."""
    order = {name: index for index, name in enumerate(contigs)}
    merged: list[Region] = []
    for region in sorted(regions, key=lambda r: (order[r.contig], r.start, r.end)):
        last = merged[-1] if merged else None
        if last is not None and last.contig == region.contig and region.start <= last.end:
            merged[-1] = last._replace(end=max(last.end, region.end))
        else:
            merged.append(region)
    return tuple(merged)


def _region(columns: list[bytes], contigs: ContigTable, names: dict[bytes, str | None], where: str) -> Region:
    def error(what: str, expected: str, found: str, next_step: str = _AGAIN) -> InputError:
        return InputError(
            "bed-invalid", f"A line of the BED {what}.", where=where, expected=expected, found=found,
            next_step=next_step,
        )  # fmt: skip

    if len(columns) < 3:
        raise error("has too few columns", "contig, start and end", f"{len(columns)} columns")
    name, *numbers = columns[:3]
    bounds = []
    for label, text in zip(("start", "end"), numbers, strict=True):
        if not text.isdigit() or len(text) > 18:
            raise error(
                "is no region", "start and end as whole numbers", f"{label} is no whole number from 0 up"
            )
        bounds.append(int(text))
    start, end = bounds
    if name not in names:
        names[name] = contigs.resolve(name.decode("utf-8", "replace"))
    contig = names[name]
    if contig is None:
        raise error(
            "names a contig that the reference does not have",
            f"a name in the style {contigs.style!r}",
            "another name",
            "use the FASTA of the assembly that the BED is on, or leave the contig out",
        )
    if start >= end:
        raise error(
            "has a region without bases", "a start below the end (0-based, half-open)", "a start that is not"
        )
    if end > contigs[contig]:
        raise error(
            "reaches beyond the end of its contig",
            f"an end of at most {contigs[contig]}",
            "an end beyond it",
            "use the FASTA of the assembly that the BED is on, or correct the line",
        )
    return Region(contig, start, end)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that should be regions, stripped, with their numbers from 1."""
    number = 0
    try:
        with interrupts_kept(), _open(path) as stream:
            while line := stream.readline(_LINE_LIMIT_BYTES):
                number += 1
                line = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
                if line and not line.startswith(b"#") and line.split(None, 1)[0] not in _NOT_REGIONS:
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            "bed-invalid",
            "The BED cannot be read.",
            where=f"{path.name}, after line {number}" if number else str(path),
            found=getattr(error, "strerror", None) or type(error).__name__,
            next_step="check the path, or copy the file again",
        ) from None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(2)
    if head != _GZIP_MAGIC:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path))))
