"""The table inside the page: columns of short numbers and dictionaries of text, for 150,000 rows in a few MB.

A column is a list with an entry a row, or a single value when all rows have it. `row` and `pos` are steps from
the row before. Percentiles count in 1/100,000; text is an index into a dictionary, −1 for none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.report.chromosomes import contig_order
from genolewm_runtime.report.words import (
    bucket_words,
    class_words,
    consequence_words,
    flag_words,
    head_words,
)

__all__ = ["PERCENT", "Embedded", "embed"]

PERCENT = 100_000
_DIGITS = 5

_WORDS: dict[str, Callable[[str], str]] = {
    "edit_class": class_words,
    "head": head_words,
    "consequence": consequence_words,
    "flags": flag_words,
    "bucket_id": bucket_words,
}
_TEXT = ("chrom", "source_chrom", "ref", "alt", "gene", *_WORDS)
_SHARES = ("sigma_calibrated", "ensemble", "confidence")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the page's table holds.

    Attributes:
        data: goes into the page as JSON.
        n_rows: rows in it.
        n_left_out: scored rows that are not in it, those that stand lowest.
    """

    data: Mapping[str, Any]
    n_rows: int
    n_left_out: int


def embed(scored: pl.DataFrame, max_rows: int) -> Embedded:
    """The highest rows of a table, in the file's order.

    Args:
        scored: rows of `with_standing`.
        max_rows: most rows to keep; those that stand highest stay, the first of equal ones.
    """
    kept = scored
    if len(scored) > max_rows:
        order = pl.col("standing").rank("ordinal", descending=True)
        kept = scored.filter(order <= max_rows)
    columns: dict[str, Any] = {
        "row": _steps(kept["row"]),
        "pos": _steps(kept["pos"]),
        "locus": _short((kept["locus"] - kept["pos"]).to_list()),
        "allele": _short(kept["allele"].to_list()),
        "low_confidence": _short(kept["low_confidence"].cast(pl.Int8).to_list()),
        "high": _short(kept["high"].cast(pl.Int8).to_list()),
        # Counts of rows below, not shares: JSON numbers stay short.
        "within": _short(kept["within"].rank("dense").cast(pl.Int64).to_list()),
    }
    for name in _SHARES:
        columns[name] = _short((kept[name] * PERCENT).round().cast(pl.Int64).to_list())
    for name in (*HEADS, "sigma_raw"):
        columns[name] = _short(kept[name].round_sig_figs(_DIGITS).to_list())
    texts: dict[str, list[str]] = {}
    for name in _TEXT:
        texts[name], columns[name] = _dictionary(kept[name], name)
    words = {name: [spell(text) for text in texts[name]] for name, spell in _WORDS.items()}
    data = {
        "n": len(kept),
        "percent": PERCENT,
        "columns": columns,
        "texts": texts,
        "words": words,
        "sources": _sources(kept),
    }
    return Embedded(data, len(kept), len(scored) - len(kept))


def _steps(values: pl.Series) -> Any:
    return _short(values.diff().fill_null(values.first()).to_list()) if len(values) else []


def _short(values: list[Any]) -> Any:
    return values[0] if values and all(value == values[0] for value in values) else values


def _dictionary(values: pl.Series, name: str) -> tuple[list[str], Any]:
    found = values.drop_nulls().unique(maintain_order=True)
    if name == "chrom":
        texts = sorted(found.to_list(), key=contig_order)
    elif name == "edit_class":
        sizes = dict(values.value_counts().iter_rows())
        texts = sorted(found.to_list(), key=lambda text: (-sizes[text], text))
    else:
        texts = found.to_list()
    if not texts:
        return [], -1
    codes = values.replace_strict(texts, list(range(len(texts))), default=None, return_dtype=pl.Int64)
    return texts, _short(codes.fill_null(-1).to_list())


def _sources(kept: pl.DataFrame) -> dict[str, str]:
    """POS:REF:ALT of the input, for rows where that is not the normalised spelling."""
    same = pl.all_horizontal(
        pl.col(f"source_{name}").eq_missing(pl.col(name)) for name in ("pos", "ref", "alt")
    )
    differing = kept.with_row_index("place").filter(~same)
    spelled = pl.concat_str(
        [pl.col(f"source_{name}").cast(pl.String).fill_null("") for name in ("pos", "ref", "alt")],
        separator=":",
    )
    return {str(place): text for place, text in differing.select("place", spelled.alias("text")).iter_rows()}
