"""Score tables on disk: shards of a run, and the published Parquet or TSV file.

The columns are described in docs/formats/scores.md.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import ConfigError, InternalError
from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.scoring import ScoredRow

__all__ = ["SCHEMA", "read_shard_outcome", "table_of", "write_shard", "write_table", "writer_for"]

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

_CALIBRATED = ("sigma_calibrated", "bucket_id", "confidence", "low_confidence", "ensemble")
_ROW_GROUP_ROWS = 16_384
_OUTCOME_KEY = "genolewm.shard"


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
        **{name: [getattr(row.calibrated, name, None) for row in rows] for name in _CALIBRATED},
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def write_shard(path: Path, rows: Sequence[ScoredRow], outcome: str) -> None:
    """Write a shard atomically, with a summary of it in the file's metadata."""
    with publishing(path) as temporary, _as_os_error():
        table_of(rows).write_parquet(temporary, compression="zstd", metadata={_OUTCOME_KEY: outcome})


def read_shard_outcome(path: Path) -> str | None:
    """The summary that `write_shard` put into a shard's metadata; None when the file is damaged."""
    try:
        return pl.read_parquet_metadata(path).get(_OUTCOME_KEY)
    except (pl.exceptions.PolarsError, OSError):
        return None


def _write_parquet(shards: Sequence[Path], target: Path, metadata: dict[str, str]) -> int:
    # Streaming keeps memory flat; a fixed row group size keeps the bytes the same on every run. A folder's
    # name may hold characters that would otherwise be expanded.
    pl.scan_parquet(list(shards), schema=SCHEMA, glob=False).sink_parquet(
        target,
        compression="zstd",
        row_group_size=_ROW_GROUP_ROWS,
        maintain_order=True,
        metadata=metadata,
    )
    return int(pl.scan_parquet(target, glob=False).select(pl.len()).collect().item())


def _write_tsv(shards: Sequence[Path], target: Path, metadata: dict[str, str]) -> int:
    del metadata  # TSV has no place for it that every reader would skip; the receipt holds it
    rows = 0
    with target.open("wb") as file:
        file.write(("\t".join(SCHEMA) + "\n").encode())
        for shard in shards:
            table = pl.read_parquet(shard, glob=False)
            table.write_csv(file, separator="\t", include_header=False)
            rows += len(table)
    return rows


Writer = Callable[[Sequence[Path], Path, dict[str, str]], int]

_WRITERS: dict[str, Writer] = {".parquet": _write_parquet, ".tsv": _write_tsv}


def write_table(
    shards: Sequence[Path], target: Path, staging: Path, metadata: dict[str, str], n_rows: int
) -> None:
    """Publish finished shards, in order, as one table in the format of the target's name.

    Args:
        shards: files of `write_shard`.
        target: the output.
        staging: folder for the temporary file.
        metadata: goes into formats that have a place for it.
        n_rows: rows that the table must hold.

    Raises:
        ConfigError: `output-format`.
        ResourceError: `output-unwritable`.
        InternalError: `rows-lost`.
    """
    write = writer_for(target)
    with publishing(target, staging) as temporary, _as_os_error():
        found = write(shards, temporary, metadata)
        if found != n_rows:
            raise InternalError(
                "rows-lost",
                "The table would not hold every row; nothing was published.",
                where=str(target),
                expected=f"{n_rows} rows",
                found=f"{found} rows",
            )


@contextmanager
def _as_os_error() -> Iterator[None]:
    """polars reports a full disk as an error of its own; give it the name the system gave it."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number.group(1)) if number else errno.EIO
        raise OSError(code, os.strerror(code)) from None


def writer_for(output: Path) -> Writer:
    """The writer of an output's format, by its ending.

    Raises:
        ConfigError: `output-format`.
    """
    try:
        return _WRITERS[output.suffix.lower()]
    except KeyError:
        raise ConfigError(
            "output-format",
            "The output's format cannot be told from its name.",
            where="--output",
            expected=" or ".join(f"a name ending in {ending}" for ending in _WRITERS),
            found=f"a name ending in {output.suffix!r}" if output.suffix else "a name without an ending",
        ) from None
