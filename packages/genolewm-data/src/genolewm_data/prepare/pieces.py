"""A piece of a release, one contig through the index or a whole file, and its parts on disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from genolewm_core.artifacts.atomic import publishing, write_atomic
from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Seat
from genolewm_data.prepare.releases import ReleaseReader
from genolewm_data.prepare.shard import HOLD_BP, PartWriter, schema_of
from genolewm_data.prepare.spelling import Speller
from genolewm_data.prepare.tabix import Span
from genolewm_data.prepare.text import blocks_of_lines, unreadable

__all__ = ["Part", "Piece", "PiecesWork", "finished"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one task prepares.

    Attributes:
        path: the VCF.
        number: of the piece; names its files.
        span: the contig; None for the whole file, where it has no index.
        contig_lengths: what the VCF's header declares.
    """

    path: Path
    number: int
    span: Span | None
    contig_lengths: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One contig's rows in a file of their own.

    Attributes:
        given: the contig's name in the VCF.
        chrom: its name in the shard.
        file: name of the file in the folder of parts.
        records: records read.
        rows: rows by what became of them.
        notes: what was odd and lost no row.
        checked: alleles whose REF was compared with the reference.
        mismatched: those that differ.
    """

    given: str
    chrom: str
    file: str
    records: int
    rows: dict[str, int]
    notes: dict[str, int]
    checked: int
    mismatched: int


@dataclass(frozen=True, slots=True)
class PiecesWork:
    """Prepares pieces; see `genolewm_core.jobs.Work`."""

    reader: ReleaseReader
    reference: Path | None
    folder: Path

    def start(self, seat: Seat) -> Callable[[Piece], tuple[Part, ...]]:
        """Open the reference."""
        reference = None if self.reference is None else Reference(self.reference)

        def do(piece: Piece) -> tuple[Part, ...]:
            records = _records(piece)
            seen: set[str] = set()
            parts = []
            for given, group in groupby(records, key=itemgetter(0)):
                if given in seen:
                    raise _unsorted(piece.path, "contigs are not in one block each")
                seen.add(given)
                file = f"{piece.number:04d}-{len(parts):05d}.parquet"
                parts.append(self._part(piece, given, group, reference, file))
            content = json.dumps([asdict(part) for part in parts], sort_keys=True).encode()
            write_atomic(_note(self.folder, piece), content)
            return tuple(parts)

        return do

    def _part(
        self, piece: Piece, given: str, records: Iterator[list[str]], reference: Reference | None, file: str
    ) -> Part:
        counts: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        speller = Speller(given, piece.contig_lengths.get(given), reference)
        alleles = self.reader.alleles
        n = last_pos = 0
        with publishing(self.folder / file) as temporary:
            writer = PartWriter(
                temporary, schema_of(self.reader.fields), speller.chrom, self.reader.merge, counts
            )
            for n, record in enumerate(records, 1):
                text = record[1]
                if not text.isdecimal() or len(text) > 18:
                    raise _malformed(piece.path, given, n, "POS is no whole number")
                pos = int(text)
                if pos < last_pos:
                    raise _unsorted(piece.path, f"a position falls at record {n} of contig {given}")
                last_pos = pos
                for alt, values in alleles(record, counts, notes):
                    spelled = speller.spell(pos, record[3], alt)
                    if isinstance(spelled, str):
                        counts[spelled] += 1
                    elif pos - spelled[0] > HOLD_BP:
                        counts["moved_too_far"] += 1
                    else:
                        writer.add((*spelled, *values), pos)
            if piece.span is not None and n != piece.span.records:
                raise unreadable(
                    piece.path,
                    "does not hold what its index says",
                    where=f"{piece.path.name}, contig {given}",
                    expected=f"{piece.span.records:,} records",
                    found=f"{n:,}",
                    next_step=f"copy the file again, or run: tabix -f -p vcf {piece.path.name}",
                )
            writer.close()
        return Part(
            given, speller.chrom, file, n, dict(counts), dict(notes), speller.checked, speller.mismatched
        )


def finished(folder: Path, piece: Piece) -> tuple[Part, ...] | None:
    """The parts of a piece that an earlier run has finished."""
    try:
        parts = tuple(Part(**fields) for fields in json.loads(_note(folder, piece).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return parts if all((folder / part.file).exists() for part in parts) else None


def _note(folder: Path, piece: Piece) -> Path:
    return folder / f"{piece.number:04d}.json"


def _records(piece: Piece) -> Iterator[list[str]]:
    """The first eight columns of each record."""
    span = piece.span
    n = 0
    for lines in blocks_of_lines(piece.path, 0 if span is None else span.offset):
        for line in lines:
            record = line.split("\t", 8)
            if len(record) < 8:
                if line and not line.startswith("#"):
                    raise _malformed(piece.path, record[0], n + 1, f"{len(record)} columns between tabs")
                continue
            if span is not None and record[0] != span.chrom:
                return
            if record[0].startswith("#"):
                continue  # the line of the columns' names
            n += 1
            yield record


def _malformed(path: Path, contig: str, record: int, found: str) -> InputError:
    return unreadable(
        path,
        "has a malformed or cut record",
        where=f"{path.name}, record {record} of contig {contig[:40]}",
        expected="at least 8 columns between tabs, POS a whole number",
        found=found,
    )


def _unsorted(path: Path, found: str) -> InputError:
    return InputError(
        "vcf-unsorted",
        "The records of the VCF are not in order.",
        where=path.name,
        expected="each contig in one block, and positions that never fall",
        found=found,
        next_step=f"sort it with: bcftools sort -Oz -o sorted.vcf.gz {path.name}",
    )
