"""Parquet: docs/formats/scores.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from genolewm_runtime.writers.table import SCHEMA, FinishedShards, as_os_error

__all__ = ["write_parquet"]

_ROW_GROUP_ROWS = 16_384


def write_parquet(shards: FinishedShards, target: Path) -> int:
    """Write the table; returns the rows that a reader finds in it."""

    # One shard after the other: given all files, polars opens many at once, and memory grows with the VCF.
    # A fixed row group size keeps the bytes the same on every run.
    def tables(*_: object) -> Iterator[pl.DataFrame]:
        yield from shards.tables()

    with as_os_error():
        register_io_source(tables, schema=SCHEMA).sink_parquet(
            target,
            compression="zstd",
            row_group_size=_ROW_GROUP_ROWS,
            maintain_order=True,
            metadata=dict(shards.metadata),
        )
        return int(pl.scan_parquet(target, glob=False).select(pl.len()).collect().item())
