"""Shards of variants: sorted rows in Parquet, and in the file's own metadata what they were made of."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_data.prepare.releases import Row

__all__ = [
    "HOLD_BP",
    "SCHEMA_VERSION",
    "PartWriter",
    "ShardInfo",
    "Source",
    "join",
    "read_shard_info",
    "schema_of",
]

SCHEMA_VERSION = "1.0.0"
HOLD_BP = 100_000
"""How far left of its record an allele may come to lie: rows are held back until no record can move before them."""

_ROW_GROUP = 65_536
_PENDING = 50_000
_KEY = b"genolewm"
_HEAD = (
    pa.field("chrom", pa.string(), nullable=False),
    pa.field("pos", pa.int64(), nullable=False),
    pa.field("ref", pa.string(), nullable=False),
    pa.field("alt", pa.string(), nullable=False),
)
_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "write_statistics": True}
_SPELLING = itemgetter(0, 1, 2)


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
        fields = json.loads(pq.read_schema(path).metadata[_KEY])
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

    Rows may be added up to `HOLD_BP` out of order; no more than those of such a stretch are held.

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
        self._pending: list[Row] = []
        self._limit = _PENDING
        self._ready: list[Row] = []
        self._file = pq.ParquetWriter(path, schema, **_OPTIONS)

    def add(self, row: Row, record_pos: int) -> None:
        """Add a row.

        Args:
            row: its pos is at most `HOLD_BP` below `record_pos`.
            record_pos: 1-based position of its record; never falls from call to call.
        """
        self._pending.append(row)
        if len(self._pending) >= self._limit:
            self._release(record_pos - HOLD_BP)
            # Where many rows lie close together, the next look must not come at once.
            self._limit = max(_PENDING, 2 * len(self._pending))

    def close(self) -> None:
        """Write what is held and finish the file."""
        self._release(None)
        self._write(len(self._ready))
        self._file.close()

    def _release(self, before_pos: int | None) -> None:
        rows = sorted(self._pending, key=_SPELLING)
        cut = len(rows) if before_pos is None else bisect_left(rows, before_pos, key=itemgetter(0))
        self._pending = rows[cut:]
        ready = self._ready
        last = None
        for row in rows[:cut]:
            spelling = row[:3]
            if spelling == last:
                ready[-1], reason = self._merge(ready[-1], row)
                self._counts[reason] += 1
            else:
                ready.append(row)
                last = spelling
        self._write(len(ready) // _ROW_GROUP * _ROW_GROUP)

    def _write(self, n: int) -> None:
        for start in range(0, n, _ROW_GROUP):
            rows = self._ready[start : min(start + _ROW_GROUP, n)]
            columns = [[self._chrom] * len(rows), *zip(*rows, strict=True)]
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)
            ]
            self._file.write_table(pa.table(arrays, schema=self._schema), row_group_size=_ROW_GROUP)
            self._counts["kept"] += len(rows)
        del self._ready[:n]


def join(parts: Iterable[Path], schema: pa.Schema, info: bytes, target: Path) -> None:
    """Write parts one after the other into one file, row group by row group."""
    with pq.ParquetWriter(target, schema.with_metadata({_KEY: info}), **_OPTIONS) as file:
        for part in parts:
            with pq.ParquetFile(part) as source:
                for number in range(source.num_row_groups):
                    table = source.read_row_group(number)
                    file.write_table(table.replace_schema_metadata(None), row_group_size=_ROW_GROUP)
