"""Sets of bases of a genome, as sorted intervals that do not touch, 0-based half-open.

Contigs are kept under one spelling, `chr17`, so that a set made from one source answers for windows of another.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Interval", "Intervals", "chromosome"]

Interval = tuple[int, int]

_ACCESSION = re.compile(r"NC_0000(0[1-9]|1\d|2[0-4])\.\d+")


@lru_cache(maxsize=4_096)
def chromosome(contig: str) -> str:
    """The one spelling of a contig's name here: `17`, `chr17` and `NC_000017.11` are `chr17`."""
    accession = _ACCESSION.fullmatch(contig)
    if accession is not None:
        number = int(accession.group(1))
        return "chr" + {23: "X", 24: "Y"}.get(number, str(number))
    return contig if contig.startswith("chr") else f"chr{contig}"


@dataclass(frozen=True)
class Intervals:
    """A set of bases. Make one with `Intervals.of`.

    Attributes:
        by_contig: contig, spelled as `chromosome` does, to its intervals, sorted, none empty, none touching another.
    """

    by_contig: Mapping[str, tuple[Interval, ...]]

    @classmethod
    def of(cls, intervals: Mapping[str, Iterable[Interval]], *, gap_bp: int = 0) -> Intervals:
        """The set that intervals in any order cover; those at most `gap_bp` apart become one."""
        collected: dict[str, list[Interval]] = {}
        for contig, spans in intervals.items():
            collected.setdefault(chromosome(contig), []).extend(spans)
        merged = {contig: _merge(spans, gap_bp) for contig, spans in collected.items()}
        return cls({contig: spans for contig, spans in sorted(merged.items()) if spans})

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        for contig, spans in self.by_contig.items():
            for start, end in spans:
                yield contig, start, end

    @property
    def n_bp(self) -> int:
        """Bases in the set."""
        return sum(end - start for _, start, end in self)

    def on(self, contig: str) -> tuple[Interval, ...]:
        """Intervals of one contig, in any spelling."""
        return self.by_contig.get(chromosome(contig), ())

    def touches(self, contig: str, start: int, end: int) -> bool:
        """Whether some base of [start, end) is in the set."""
        spans = self.on(contig)
        after = bisect_left(spans, (end,))
        return start < end and after > 0 and spans[after - 1][1] > start

    def overlap_bp(self, contig: str, start: int, end: int) -> int:
        """Bases of [start, end) that are in the set."""
        spans = self.on(contig)
        total = 0
        for at in range(bisect_left(spans, (end,)) - 1, -1, -1):
            first, last = spans[at]
            if last <= start:
                break
            total += min(last, end) - max(first, start)
        return max(0, total)

    def union(self, *others: Intervals, gap_bp: int = 0) -> Intervals:
        """Bases of this set or of another one."""
        collected: dict[str, list[Interval]] = {}
        for one in (self, *others):
            for contig, spans in one.by_contig.items():
                collected.setdefault(contig, []).extend(spans)
        return Intervals.of(collected, gap_bp=gap_bp)

    def minus(self, other: Intervals) -> Intervals:
        """Bases of this set that are not in the other."""
        left = {contig: _cut(spans, other.on(contig)) for contig, spans in self.by_contig.items()}
        return Intervals({contig: spans for contig, spans in left.items() if spans})

    def both(self, other: Intervals) -> Intervals:
        """Bases that are in this set and in the other."""
        return self.minus(self.minus(other))


def _merge(intervals: Iterable[Interval], gap_bp: int) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1] + gap_bp:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _cut(spans: tuple[Interval, ...], cuts: tuple[Interval, ...]) -> tuple[Interval, ...]:
    left: list[Interval] = []
    at_cut = 0
    for start, end in spans:
        at = start
        while at_cut < len(cuts) and cuts[at_cut][1] <= at:
            at_cut += 1
        index = at_cut
        while index < len(cuts) and cuts[index][0] < end:
            if cuts[index][0] > at:
                left.append((at, cuts[index][0]))
            at = max(at, cuts[index][1])
            index += 1
        if at < end:
            left.append((at, end))
    return tuple(left)
