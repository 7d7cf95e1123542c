"""Where every scored variant stands among those it may be compared with.

A percentile compares with common variants. Without one, a raw score can only be compared within the file, and
only with the same score of the same class of edits.
"""

from __future__ import annotations

import polars as pl

__all__ = ["HIGH", "LOWER_IS_UNUSUAL", "with_standing"]

HIGH = 0.99
"""A variant is marked as high from this percentile on."""

_ONE_IN = 100
"""Without percentiles, one in so many of a class is marked."""

LOWER_IS_UNUSUAL = ("delta_ll", "marginal_llr")
"""Scores that fall as a change gets less expected."""


def with_standing(table: pl.DataFrame, *, calibrated: bool) -> pl.DataFrame:
    """The scored rows of a table, with what they are ordered and marked by.

    Args:
        table: as read.
        calibrated: whether percentiles decide; otherwise ranks among the file's rows of the same class.

    Returns:
        The scored rows in the table's order, with `standing` (float64, 0 to 1; higher is more unusual; rows
        without a percentile stand below all others when `calibrated`, at `within` − 1), `within` (rank
        within the class, 0 to 1) and `high` (bool).
    """
    peers = ["edit_class", "head"]
    unusual = (
        pl.when(pl.col("head").is_in(LOWER_IS_UNUSUAL)).then(-pl.col("sigma_raw")).otherwise("sigma_raw")
    )
    scored = table.filter(pl.col("status") == "scored").with_columns(
        within=(unusual.rank("max").over(peers) / pl.col("sigma_raw").count().over(peers)).fill_null(0.0),
        from_top=unusual.rank("min", descending=True).over(peers),
        peers=pl.col("sigma_raw").count().over(peers),
    )
    if calibrated:
        standing = pl.col("sigma_calibrated").fill_null(pl.col("within") - 1)
        high = (pl.col("sigma_calibrated") >= HIGH).fill_null(False)
    else:
        standing = pl.col("within")
        # As many as one in a hundred is, and at least one.
        high = (pl.col("from_top") <= ((pl.col("peers") + _ONE_IN - 1) // _ONE_IN)).fill_null(False)
    return scored.with_columns(standing=standing, high=high).drop("from_top", "peers")
