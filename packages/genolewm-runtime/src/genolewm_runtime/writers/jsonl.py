"""JSON lines: docs/formats/scores-jsonl.md."""

from __future__ import annotations

from pathlib import Path

from genolewm_runtime.writers.table import FinishedShards, as_os_error

__all__ = ["write_jsonl"]


def write_jsonl(shards: FinishedShards, target: Path) -> int:
    """Write one object a row, every column in it; returns the rows. Metadata is in the receipt."""
    rows = 0
    with as_os_error(), target.open("wb") as file:
        for table in shards.tables():
            file.write(table.write_ndjson().encode())
            rows += len(table)
    return rows
