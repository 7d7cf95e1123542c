"""Where windows lie on a reference: at a stride, or one for each cell that scoring looks at.

Both are arithmetic: nothing of the FASTA but its contigs' lengths is read to lay windows out, and a run of
windows takes three numbers, however long it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Contig
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.sixmer import K
from genolewm_data.parts import check_at_least

__all__ = ["Cells", "Layout", "Places", "Run", "Strides"]


class Run(NamedTuple):
    """Consecutive windows of a contig, by their numbers in the layout.

    Attributes:
        contig: its name.
        first: number of the first.
        n: how many.
    """

    contig: str
    first: int
    n: int


class Layout(Protocol):
    """How windows are laid out on a contig. Windows of a contig are numbered from its start."""

    def run(self, region: Region, contig_bp: int) -> tuple[int, int]:
        """Numbers of the region's first window and of the one behind its last; equal when it has none."""
        ...

    def span(self, number: int, contig: Contig) -> tuple[int, int]:
        """0-based half-open stretch of a window; its start is never behind its end."""
        ...


@dataclass(frozen=True, slots=True)
class Strides:
    """Windows that start at the multiples of a stride and lie inside a region.

    Starts are counted from the contig's start, not the region's, so that a window is the same one whatever regions
    were asked for.

    Attributes:
        window_bp: length; whole six-mers.
        stride_bp: from one start to the next.

    Raises:
        ConfigError: `config-invalid`.
    """

    window_bp: int = 12_288
    stride_bp: int = 8_192

    def __post_init__(self) -> None:
        check_at_least("window_bp", self.window_bp, K, multiple_of=K)
        check_at_least("stride_bp", self.stride_bp, 1)

    def run(self, region: Region, contig_bp: int) -> tuple[int, int]:
        """See `Layout.run`."""
        first = -(-region.start // self.stride_bp)
        return first, max(first, (region.end - self.window_bp) // self.stride_bp + 1)

    def span(self, number: int, contig: Contig) -> tuple[int, int]:
        """See `Layout.span`."""
        start = number * self.stride_bp
        return start, start + self.window_bp


@dataclass(frozen=True, slots=True)
class Cells:
    """The forward window of each cell that holds a base of a region, in whole six-mers.

    These are the windows that scoring looks at and `geno-lewm cache-windows` encodes. A window reaches beyond its
    cell, and is shorter than `window_bp` at a contig's ends and behind a stretch of N.

    Attributes:
        geometry: windows and cells.
    """

    geometry: Geometry

    def run(self, region: Region, contig_bp: int) -> tuple[int, int]:
        """See `Layout.run`."""
        return self.geometry.cell(region.start), self.geometry.cell(region.end - 1) + 1

    def span(self, number: int, contig: Contig) -> tuple[int, int]:
        """See `Layout.span`."""
        window = self.geometry.window(number, StrandView(contig))
        return window.start, window.end - (window.end - window.start) % K


class Places(Sequence[tuple[str, int]]):
    """Contig and number of every window of some regions, each once.

    Args:
        layout: how windows lie.
        regions: merged and in order.
        lengths: contig to its length in bp.

    Attributes:
        n_without: regions that have no window of their own.
    """

    def __init__(self, layout: Layout, regions: Sequence[Region], lengths: dict[str, int]) -> None:
        self.n_without = 0
        self._runs = list(self._runs_of(layout, regions, lengths))
        self._ends = list(accumulate(run.n for run in self._runs))

    def _runs_of(self, layout: Layout, regions: Sequence[Region], lengths: dict[str, int]) -> Iterator[Run]:
        contig, done = "", 0
        for region in regions:
            if region.contig != contig:
                contig, done = region.contig, 0
            first, end = layout.run(region, lengths[contig])
            # Two regions may lie in one cell.
            begin = max(first, done)
            if begin < end:
                yield Run(contig, begin, end - begin)
            self.n_without += first >= end
            done = max(done, end)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> tuple[str, int]:  # type: ignore[override]
        at = bisect_right(self._ends, index)
        run = self._runs[at]
        return run.contig, run.first + index - (self._ends[at] - run.n)
