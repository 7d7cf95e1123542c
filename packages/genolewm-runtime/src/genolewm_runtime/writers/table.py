"""The columns of a score table, and the shards that a run keeps of it until it is whole.

The columns are described in docs/formats/scores.md.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.scoring import ScoredRow

__all__ = [
    "CALIBRATED",
    "POLARS_ERRORS",
    "SCHEMA",
    "FinishedShards",
    "as_os_error",
    "read_shard_outcome",
    "table_of",
    "write_shard",
    "write_shard_table",
]

SCHEMA: dict[str, type[pl.DataType]] = {
    "row": pl.Int64,
    "allele": pl.Int32,
    "source_chrom": pl.String,
    "source_pos": pl.Int64,
    "source_ref": pl.String,
    "source_alt": pl.String,
    "chrom": pl.String,
    "pos": pl.Int64,
    "ref": pl.String,
    "alt": pl.String,
    "locus": pl.Int64,
    "edit_class": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "flags": pl.String,
    **dict.fromkeys(HEADS, pl.Float32),
    "sigma_raw": pl.Float32,
    "head": pl.String,
    "gene": pl.String,
    "consequence": pl.String,
    "sigma_calibrated": pl.Float32,
    "bucket_id": pl.String,
    "confidence": pl.Float32,
    "low_confidence": pl.Boolean,
    "ensemble": pl.Float32,
}

CALIBRATED = ("sigma_calibrated", "bucket_id", "confidence", "low_confidence", "ensemble")
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises; on some damaged files its own code panics, and that is no `Exception`."""

_OUTCOME_KEY = "genolewm.shard"


@dataclass(frozen=True, slots=True)
class FinishedShards:
    """What a format is written from.

    Attributes:
        paths: files of `write_shard`, in order.
        vcf: the input they were scored from.
        metadata: goes into formats that have a place for it.
    """

    paths: Sequence[Path]
    vcf: Path
    metadata: Mapping[str, str]

    def tables(self) -> Iterator[pl.DataFrame]:
        """The tables, one at a time."""
        for path in self.paths:
            # Not a pattern: a folder may be called "run[1]".
            yield pl.read_parquet(path, glob=False)


def table_of(rows: Sequence[ScoredRow]) -> pl.DataFrame:
    """The table of a shard's rows, with the columns of `SCHEMA`."""
    sources = [row.source for row in rows]
    variants = [source.variant for source in sources]
    columns: dict[str, list[object]] = {
        "row": [s.row for s in sources],
        "allele": [s.allele for s in sources],
        "source_chrom": [s.chrom for s in sources],
        "source_pos": [s.pos for s in sources],
        "source_ref": [s.ref for s in sources],
        "source_alt": [s.alt for s in sources],
        "chrom": [None if v is None else v.chrom for v in variants],
        "pos": [None if v is None else v.pos for v in variants],
        "ref": [None if v is None else v.ref for v in variants],
        "alt": [None if v is None else v.alt for v in variants],
        # 1-based like pos, so that the two columns can be compared.
        "locus": [None if s.replacement is None else s.replacement.start + 1 for s in sources],
        "edit_class": [s.edit_class for s in sources],
        "status": [row.status for row in rows],
        "reason": [row.reason for row in rows],
        "flags": [",".join(row.flags) or None for row in rows],
        **{name: [row.values[name] for row in rows] for name in HEADS},
        "sigma_raw": [row.sigma_raw for row in rows],
        "head": [row.head for row in rows],
        "gene": [None if row.effect is None else row.effect.gene for row in rows],
        "consequence": [None if row.effect is None else row.effect.consequence for row in rows],
        **{name: [getattr(row.calibrated, name, None) for row in rows] for name in CALIBRATED},
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def write_shard(path: Path, rows: Sequence[ScoredRow], outcome: str) -> None:
    """Write a shard atomically, with a summary of it in the file's metadata."""
    write_shard_table(path, table_of(rows), outcome)


def write_shard_table(path: Path, table: pl.DataFrame, outcome: str) -> None:
    """Write a shard of any columns as `write_shard` does."""
    with publishing(path) as temporary, as_os_error():
        table.write_parquet(temporary, compression="zstd", metadata={_OUTCOME_KEY: outcome})


def read_shard_outcome(path: Path) -> str | None:
    """The summary that `write_shard` put into a shard's metadata; None when the file is damaged."""
    try:
        return pl.read_parquet_metadata(path).get(_OUTCOME_KEY)
    except (*POLARS_ERRORS, OSError):
        return None


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raise what polars reports in its own words, such as a full disk, as the system's error."""
    try:
        yield
    except (*POLARS_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        code = _system_code(str(error))
        raise OSError(code, os.strerror(code)) from None


def _system_code(text: str) -> int:
    number = re.search(r"(?:os error |Errno )(\d+)", text)
    if number:
        return int(number.group(1))
    return next((code for code in errno.errorcode if os.strerror(code) in text), errno.EIO)
