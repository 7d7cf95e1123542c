"""Parquet: docs/formats/scores.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from genolewm_runtime.writers.table import SCHEMA, FinishedShards, as_os_error

__all__ = ["write_parquet", "write_tables"]

_ROW_GROUP_ROWS = 16_384


def write_parquet(shards: FinishedShards, target: Path) -> int:
    """Write the table; returns the rows that a reader finds in it."""
    return write_tables(shards.tables, SCHEMA, shards.metadata, target, row_group_rows=_ROW_GROUP_ROWS)


def write_tables(
    tables: Callable[[], Iterator[pl.DataFrame]],
    schema: Mapping[str, type[pl.DataType]],
    metadata: Mapping[str, str],
    target: Path,
    *,
    row_group_rows: int,
) -> int:
    """Write tables of one schema as one file; returns the rows that a reader finds in it."""

    # One shard after the other: given all files, polars opens many at once, and memory grows with the VCF.
    # A fixed row group size keeps the bytes the same on every run.
    def source(*_: object) -> Iterator[pl.DataFrame]:
        yield from tables()

    with as_os_error():
        register_io_source(source, schema=dict(schema)).sink_parquet(
            target,
            compression="zstd",
            row_group_size=row_group_rows,
            maintain_order=True,
            metadata=dict(metadata),
        )
        return int(pl.scan_parquet(target, glob=False).select(pl.len()).collect().item())
