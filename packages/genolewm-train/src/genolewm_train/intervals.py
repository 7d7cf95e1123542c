"""Sets of genome intervals, 0-based half-open, one sorted and merged list a contig."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Interval", "Intervals", "intersect", "merge", "subtract", "union"]

Interval = tuple[int, int]
Intervals = dict[str, list[Interval]]


def merge(intervals: Iterable[Interval], *, gap_bp: int = 0) -> list[Interval]:
    """Sorted intervals without overlaps; those at most `gap_bp` apart become one, empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1] + gap_bp:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def union(*sets: Mapping[str, Iterable[Interval]], gap_bp: int = 0) -> Intervals:
    """Contig by contig union of several sets."""
    collected: Intervals = {}
    for one in sets:
        for contig, intervals in one.items():
            collected.setdefault(contig, []).extend(intervals)
    return {contig: merge(intervals, gap_bp=gap_bp) for contig, intervals in collected.items()}


def subtract(intervals: Iterable[Interval], removed: Iterable[Interval]) -> list[Interval]:
    """What is left of `intervals` after `removed` is cut out. Both are merged first."""
    cuts = merge(removed)
    left: list[Interval] = []
    for start, end in merge(intervals):
        at = start
        for cut_start, cut_end in cuts:
            if cut_end <= at:
                continue
            if cut_start >= end:
                break
            if cut_start > at:
                left.append((at, cut_start))
            at = max(at, cut_end)
        if at < end:
            left.append((at, end))
    return left


def intersect(intervals: Iterable[Interval], kept: Iterable[Interval]) -> list[Interval]:
    """What `intervals` and `kept` have in common."""
    intervals = merge(intervals)
    return subtract(intervals, subtract(intervals, kept))
