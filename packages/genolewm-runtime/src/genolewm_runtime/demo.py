"""The end of the demo: the rows that moved most, from the file that was written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.table import Table

from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.display import console

__all__ = ["show_top"]

_N_ROWS = 10


def show_top(scores: Path) -> None:
    """Print the substitutions with the largest displacement.

    Substitutions only: scores of different edit classes are never compared raw.
    """
    top = (
        # Not a pattern: a folder may be called "run[1]".
        pl.scan_parquet(scores, glob=False)
        .filter((pl.col("status") == "scored") & (pl.col("edit_class") == "substitution"))
        .sort("displacement", descending=True)
        .head(_N_ROWS)
        .collect()
    )
    table = Table(title=f"The {len(top)} substitutions that move the state most", title_justify="left")
    for name in ("variant", *HEADS):
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    for row in top.iter_rows(named=True):
        table.add_row(
            f"{row['chrom']}:{row['pos']} {row['ref']}>{row['alt']}",
            *("" if row[name] is None else f"{row[name]:.4f}" for name in HEADS),
        )
    console().print(table)
