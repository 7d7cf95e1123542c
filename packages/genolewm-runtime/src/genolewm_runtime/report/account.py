"""The account of a table's rows: every row is scored, skipped or failed, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from genolewm_runtime.report.words import reason_words

__all__ = ["Account", "Unscored", "account_of"]

_N_NAMED = 8


@dataclass(frozen=True, slots=True)
class Unscored:
    """The rows that were not scored for one reason.

    Attributes:
        status: "skipped" or "failed".
        words: the reason in plain words.
        records: numbers in the input of the first few.
    """

    status: str
    reason: str | None
    words: str
    n_rows: int
    records: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """n_rows = n_scored + the rows of every entry of `unscored`."""

    n_rows: int
    n_scored: int
    n_skipped: int
    n_failed: int
    unscored: tuple[Unscored, ...]


def account_of(table: pl.DataFrame) -> Account:
    """Count the rows of a table by status and reason; the failed first, then by size."""
    counts = dict(table["status"].value_counts().iter_rows())
    groups = (
        table.filter(pl.col("status") != "scored")
        .group_by("status", "reason", maintain_order=True)
        .agg(n=pl.len(), records=pl.col("row").drop_nulls().unique(maintain_order=True).head(_N_NAMED))
        .sort("status", "n", "reason", descending=[False, True, False])
    )
    return Account(
        n_rows=len(table),
        n_scored=counts.get("scored", 0),
        n_skipped=counts.get("skipped", 0),
        n_failed=counts.get("failed", 0),
        unscored=tuple(
            Unscored(status, reason, reason_words(reason), n, tuple(records))
            for status, reason, n, records in groups.iter_rows()
        ),
    )
