"""How the scores of each class of edits are distributed: histograms, never pooled across classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from genolewm_runtime.report.words import class_words, head_words

__all__ = ["Bar", "Histogram", "histograms_of"]

WIDTH, HEIGHT = 340.0, 160.0
"""Inner size of a chart, in its own units."""

_N_BINS = 20


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its place in the chart's units, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    low: float
    high: float
    n: int
    share: float
    top: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """The scores of one class of edits.

    Attributes:
        percentiles: calibrated scores, 0 to 100; else raw ones.
        head: the raw score's name.
        expected_y: height of the line at which every bar of percentiles would end if the variants were like
            the common ones; None for raw scores.
        n: variants drawn.
        n_without: variants of the class that have no such value.
        n_high: variants at or above the 99th percentile.
        synthetic: some percentiles compare with synthetic edits, for want of common variants.
    """

    edit_class: str
    title: str
    percentiles: bool
    head: str
    head_words: str
    bars: tuple[Bar, ...]
    expected_y: float | None
    top_share: float
    n: int
    n_without: int
    n_high: int
    synthetic: bool


def histograms_of(scored: pl.DataFrame) -> tuple[Histogram, ...]:
    """One histogram for each class and score, the largest first.

    Args:
        scored: rows of `with_standing`.
    """
    made = []
    for (edit_class,), rows in scored.group_by("edit_class", maintain_order=True):
        if rows["sigma_calibrated"].null_count() < len(rows):
            made.append(_histogram(str(edit_class), rows, rows["sigma_calibrated"] * 100, percentiles=True))
        else:
            for _, same in rows.group_by("head", maintain_order=True):
                made.append(_histogram(str(edit_class), same, same["sigma_raw"], percentiles=False))
    drawn = [histogram for histogram in made if histogram is not None]
    return tuple(sorted(drawn, key=lambda histogram: (-histogram.n, histogram.edit_class)))


def _histogram(
    edit_class: str, rows: pl.DataFrame, values: pl.Series, *, percentiles: bool
) -> Histogram | None:
    known = values.drop_nulls().to_numpy()
    if len(known) == 0:
        return None
    edges = np.linspace(0, 100, _N_BINS + 1) if percentiles else _edges(known)
    counts, _ = np.histogram(known, bins=edges)
    shares = counts / len(known)
    expected = 1 / _N_BINS if percentiles else None
    ceiling = max(float(shares.max()), 2 * (expected or 0))
    step = WIDTH / len(counts)
    bars = tuple(
        Bar(
            x=round(i * step + 1, 2),
            y=round(HEIGHT * (1 - share / ceiling), 2),
            width=round(step - 2, 2),
            height=round(HEIGHT * share / ceiling, 2),
            low=float(edges[i]),
            high=float(edges[i + 1]),
            n=int(counts[i]),
            share=float(share),
            top=percentiles and i == len(counts) - 1,
        )
        for i, share in enumerate(shares)
    )
    names = rows["head"].drop_nulls().unique(maintain_order=True).to_list()
    head = names[0] if len(names) == 1 else ", ".join(names)
    return Histogram(
        edit_class=edit_class,
        title=class_words(edit_class),
        percentiles=percentiles,
        head=head,
        head_words=head_words(head),
        bars=bars,
        expected_y=None if expected is None else round(HEIGHT * (1 - expected / ceiling), 2),
        top_share=ceiling,
        n=len(known),
        n_without=len(rows) - len(known),
        n_high=int(rows["high"].sum()),
        synthetic=percentiles and bool(rows["bucket_id"].str.starts_with("synthetic:").any()),
    )


def _edges(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        # All alike: one bar in the middle instead of a range without width.
        margin = abs(low) * 0.5 or 0.5
        low, high = low - margin, high + margin
    return np.linspace(low, high, _N_BINS + 1)
