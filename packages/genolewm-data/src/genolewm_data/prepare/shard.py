"""Shards of variants: sorted rows in Parquet, and in the file's own metadata what they were made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_data.prepare.releases import Row
from genolewm_data.prepare.spelling import HOLD_BP

__all__ = [
    "KEY",
    "SCHEMA_VERSION",
    "PartWriter",
    "ShardInfo",
    "Source",
    "join",
    "read_part",
    "read_shard_info",
    "schema_of",
]

SCHEMA_VERSION = "1.0.0"
_ROW_GROUP = 65_536
_PENDING = 50_000
KEY = b"genolewm"
"""Under which a file's own metadata says what it was made of."""
_HEAD = (
    pa.field("chrom", pa.string(), nullable=False),
    pa.field("pos", pa.int64(), nullable=False),
    pa.field("ref", pa.string(), nullable=False),
    pa.field("alt", pa.string(), nullable=False),
)
_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "write_statistics": True}
_SPELLING = ("pos", "ref", "alt")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a shard was made of."""

    name: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What a shard says about itself.

    Attributes:
        kind: gnomad or clinvar.
        schema_version: of the shard's columns.
        release: the release's name.
        assembly: GRCh37 or GRCh38.
        sources: the files, in order.
        reference: name of the FASTA that REF was compared with; None where there was none.
        spelling: `left-aligned`, or `trimmed` where there was no reference.
        records: records of the files.
        rows: rows of the files, one per record and ALT, by what became of them; `kept` are the shard's.
        labels: rows of the shard by label; empty where there are none.
        notes: what was odd and lost no row, with counts.
        about: what else decided the rows; see the format's page.
    """

    kind: str
    schema_version: str
    release: str
    assembly: str
    sources: tuple[Source, ...]
    reference: str | None
    spelling: str
    records: int
    rows: Mapping[str, int]
    labels: Mapping[str, int]
    notes: Mapping[str, int]
    about: Mapping[str, Any]

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


def read_shard_info(path: Path) -> ShardInfo:
    """What a shard says about itself.

    Raises:
        InputError: `training-data-missing`, when it is missing, damaged, no shard, or of a later version.
    """
    try:
        fields = json.loads(pq.read_schema(path).metadata[KEY])
        fields["sources"] = tuple(Source(**source) for source in fields["sources"])
        info = ShardInfo(**fields)
        if info.schema_version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise ValueError(info.schema_version)
        return info
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "training-data-missing",
            "A shard of variants cannot be read.",
            where=str(path),
            expected=f"a file that geno-lewm prepare wrote, schema version {SCHEMA_VERSION}",
            found=type(error).__name__,
            next_step="prepare it again with: geno-lewm prepare",
        ) from None


def schema_of(fields: Sequence[pa.Field]) -> pa.Schema:
    """Columns of a shard."""
    return pa.schema([*_HEAD, *fields])


class PartWriter:
    """Writes the rows of one contig in order of pos, ref and alt, each spelling once.

    Rows may be added up to `HOLD_BP` out of order; no more than those of such a stretch are held. The file is
    Arrow's, uncompressed: it is read once, to be joined with others.

    Args:
        path: file to write.
        schema: see `schema_of`.
        chrom: contig of every row.
        merge: see `ReleaseReader.merge`.
        counts: gets the reasons of rows that were merged into others, and `kept`.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        chrom: str,
        merge: Callable[[Row, Row], tuple[Row, str]],
        counts: Counter[str],
    ) -> None:
        self._schema = schema
        self._chrom = chrom
        self._merge = merge
        self._counts = counts
        self._pending: list[pl.DataFrame] = []
        self._held = 0
        self._limit = _PENDING
        self._ready: list[pl.DataFrame] = []
        self._file = pa.ipc.new_file(path, schema)

    def add(self, rows: pl.DataFrame, record_pos: int) -> None:
        """Add rows.

        Args:
            rows: columns pos, ref, alt and those behind.
            record_pos: 1-based position that no later record lies before.
        """
        if rows.height:
            self._pending.append(rows)
            self._held += rows.height
        if self._held >= self._limit:
            self._release(record_pos - HOLD_BP)
            # Where many rows lie close together, the next look must not come at once.
            self._limit = max(_PENDING, 2 * self._held)

    def close(self) -> None:
        """Write what is held and finish the file."""
        self._release(None)
        self._write(everything=True)
        self._file.close()

    def _release(self, before_pos: int | None) -> None:
        if not self._pending:
            return
        rows = pl.concat(self._pending).sort(*_SPELLING, maintain_order=True)
        self._pending = []
        if before_pos is not None:
            held = rows.filter(pl.col("pos") >= before_pos)
            rows = rows.filter(pl.col("pos") < before_pos)
            self._pending = [held]
        self._held = sum(frame.height for frame in self._pending)
        self._ready.append(self._each_once(rows))
        self._write(everything=False)

    def _each_once(self, rows: pl.DataFrame) -> pl.DataFrame:
        pos = rows["pos"]
        # Alleles are compared only where positions are equal, which is seldom.
        second = (pos == pos.shift()).arg_true()
        spelled = rows.select(_SPELLING)
        same = spelled[second].with_columns(spelled[second - 1].select(pl.all().name.prefix("first_")))
        same = same.select(
            pl.all_horizontal(pl.col(name) == pl.col(f"first_{name}") for name in ("ref", "alt"))
        )
        second = second.filter(same.to_series())
        if second.is_empty():
            return rows
        again = pl.Series([False]).new_from_index(0, rows.height).scatter(second, True)
        several = again | again.shift(-1, fill_value=False)
        merged: list[Row] = []
        for row, repeats in zip(rows.filter(several).iter_rows(), again.filter(several), strict=True):
            if repeats:
                merged[-1], reason = self._merge(merged[-1], row)
                self._counts[reason] += 1
            else:
                merged.append(row)
        one = rows.filter(~again)
        places = several.filter(~again).arg_true()
        changed = pl.DataFrame(merged, rows.schema, orient="row")
        return one.with_columns(one[name].scatter(places, changed[name]) for name in one.columns)

    def _write(self, *, everything: bool) -> None:
        n = sum(frame.height for frame in self._ready)
        if n == 0 or (n < _ROW_GROUP and not everything):
            return
        rows = pl.concat(self._ready)
        whole = n if everything else n // _ROW_GROUP * _ROW_GROUP
        for start in range(0, whole, _ROW_GROUP):
            group = rows.slice(start, min(_ROW_GROUP, whole - start)).with_columns(chrom=pl.lit(self._chrom))
            self._file.write_table(group.select(self._schema.names).to_arrow().cast(self._schema))
        self._counts["kept"] += whole
        self._ready = [rows.slice(whole)]


def read_part(path: Path) -> pa.Table:
    """The rows of a part."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def join(parts: Iterable[Path], schema: pa.Schema, info: bytes, target: Path) -> None:
    """Write parts one after the other into one Parquet file; a row group is of one contig."""
    # A dictionary of numbers that rarely come twice is built, found too large, and dropped again.
    repeating = [name for name in schema.names if name not in ("pos", "id")]
    options = {**_OPTIONS, "use_dictionary": repeating, "column_encoding": {"pos": "DELTA_BINARY_PACKED"}}
    with pq.ParquetWriter(target, schema.with_metadata({KEY: info}), **options) as file:
        for part in parts:
            with pa.memory_map(str(part)) as source, pa.ipc.open_file(source) as batches:
                for number in range(batches.num_record_batches):
                    table = pa.Table.from_batches([batches.get_batch(number)])
                    file.write_table(table, row_group_size=_ROW_GROUP)
