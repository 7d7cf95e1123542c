"""Tab-separated text: docs/formats/scores.md."""

from __future__ import annotations

from pathlib import Path

from genolewm_runtime.writers.table import SCHEMA, FinishedShards, as_os_error

__all__ = ["write_tsv"]


def write_tsv(shards: FinishedShards, target: Path) -> int:
    """Write the table; returns its rows.

    TSV has no place for metadata that every reader would skip; the receipt holds it.
    """
    rows = 0
    with as_os_error(), target.open("wb") as file:
        file.write(("\t".join(SCHEMA) + "\n").encode())
        for table in shards.tables():
            file.write(table.write_csv(separator="\t", include_header=False).encode())
            rows += len(table)
    return rows
