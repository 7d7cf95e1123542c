"""Parquet: docs/formats/scores.md."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genolewm_runtime.writers.table import SCHEMA, FinishedShards, as_os_error

__all__ = ["write_parquet"]

_ROW_GROUP_ROWS = 16_384


def write_parquet(shards: FinishedShards, target: Path) -> int:
    """Write the table; returns the rows that a reader finds in it."""
    # Streaming keeps memory flat; a fixed row group size keeps the bytes the same on every run. A folder's
    # name may hold characters that would otherwise be expanded.
    with as_os_error():
        pl.scan_parquet(list(shards.paths), schema=SCHEMA, glob=False).sink_parquet(
            target,
            compression="zstd",
            row_group_size=_ROW_GROUP_ROWS,
            maintain_order=True,
            metadata=dict(shards.metadata),
        )
        return int(pl.scan_parquet(target, glob=False).select(pl.len()).collect().item())
