"""A piece of a release, one contig through the index or a whole file, and its parts on disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import polars as pl

from genolewm_core.artifacts.atomic import publishing, write_atomic
from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Seat
from genolewm_data.prepare.releases import ReleaseReader
from genolewm_data.prepare.shard import PartWriter, schema_of
from genolewm_data.prepare.spelling import Speller
from genolewm_data.prepare.tabix import Span
from genolewm_data.prepare.text import blocks_of_records, made_ahead, unreadable

_COLUMNS = ("chrom", "pos", "id", "ref", "alt", "qual", "filter", "info")

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
            seen: set[str] = set()
            parts: list[Part] = []
            for given, groups in groupby(_blocks(piece), key=itemgetter(0)):
                if given in seen:
                    raise _unsorted(piece.path, "contigs are not in one block each")
                seen.add(given)
                file = f"{piece.number:04d}-{len(parts):05d}.arrow"
                parts.append(self._part(piece, given, groups, reference, file))
            content = json.dumps([asdict(part) for part in parts], sort_keys=True).encode()
            write_atomic(_note(self.folder, piece), content)
            return tuple(parts)

        return do

    def _part(
        self,
        piece: Piece,
        given: str,
        groups: Iterator[tuple[str, pl.DataFrame]],
        reference: Reference | None,
        file: str,
    ) -> Part:
        counts: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        speller = Speller(given, piece.contig_lengths.get(given), reference)
        n = last_pos = 0
        with publishing(self.folder / file) as temporary:
            writer = PartWriter(
                temporary, schema_of(self.reader.fields), speller.chrom, self.reader.merge, counts
            )
            for _, records in groups:
                _refuse_unsorted(piece, given, records["pos"], n, last_pos)
                n += records.height
                last_pos = records["pos"][-1]
                alleles = self.reader.alleles(records, counts, notes)
                writer.add(speller.spell_all(alleles, counts), last_pos)
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
            given, speller.chrom, file, n, dict(+counts), dict(notes), speller.checked, speller.mismatched
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


def _blocks(piece: Piece) -> Iterator[tuple[str, pl.DataFrame]]:
    """Records in blocks of one contig each, with the contig's name."""
    span = piece.span
    n = 0
    texts = made_ahead(blocks_of_records(piece.path, *((span.offset, span.end) if span else ())))
    for records in made_ahead(map(_columns, texts)):
        starts = records.select(
            (pl.col("chrom") != pl.col("chrom").shift()).fill_null(True).arg_true()
        ).to_series()
        for start, end in zip(starts, [*starts[1:], records.height], strict=True):
            block = records[start:end]
            given = block["chrom"][0] or ""
            if span is not None and given != span.chrom:
                return
            numbered = block.with_columns(pl.col("pos").cast(pl.Int64, strict=False))
            wrong = numbered.filter(pl.col("pos").is_null() | pl.col("info").is_null())
            if wrong.height:
                at = numbered.select((pl.col("pos").is_null() | pl.col("info").is_null()).arg_true())
                short = wrong["info"][0] is None
                found = "fewer than 8 columns" if short else "POS is no whole number"
                raise _malformed(piece.path, n + 1 + at.item(0, 0), found)
            n += block.height
            yield given, numbered.drop("chrom", "qual")


def _columns(text: bytes) -> pl.DataFrame:
    """The first eight columns of lines; what a line lacks is null, and empty lines are left out."""
    try:
        records = pl.read_csv(
            text,
            separator="\t",
            has_header=False,
            quote_char=None,
            schema=dict.fromkeys(_COLUMNS, pl.String),
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError:  # of another number of columns: genotypes, or malformed
        lines = [line.split("\t", 8)[:8] for line in text.decode().split("\n") if line]
        rows = [line + [None] * (8 - len(line)) for line in lines]
        return pl.DataFrame(rows, dict.fromkeys(_COLUMNS, pl.String), orient="row")
    return records.filter(pl.any_horizontal(pl.all().is_not_null()))


def _refuse_unsorted(piece: Piece, given: str, pos: pl.Series, before: int, last_pos: int) -> None:
    falls = pos < pos.shift(1, fill_value=last_pos)
    if falls.any():
        at = before + 1 + int(falls.arg_max() or 0)
        raise _unsorted(piece.path, f"a position falls at record {at:,} of contig {given[:40]}")


def _malformed(path: Path, record: int, found: str) -> InputError:
    return unreadable(
        path,
        "has a malformed or cut record",
        where=f"{path.name}, record {record:,} of what was to be read",
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
