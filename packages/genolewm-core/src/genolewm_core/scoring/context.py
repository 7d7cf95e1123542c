"""What a variant's score is compared within: its place in the six-mer, and what lies around it.

The same change scores differently by where a window cuts the six-mers, by base composition, in a repeat and
with more context to its left, for reasons that are not the change. These factors are read from the sequence
alone, so they are the same on every machine and with every annotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.cells import Contig, Geometry, StrandView
from genolewm_core.scoring.sixmer import K

__all__ = ["CellContext", "Context", "simple_repeats"]

_PERIODS = range(1, 7)
_LEAST_REPEAT_BP = 8
_LEAST_COPIES = 3
_CALLED = np.frombuffer(b"ACGT", dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Context:
    """The factors of one edit that come from the sequence.

    Attributes:
        offset: of the locus in its six-mer, 0 to 5; with several phases, the class of offsets that the
            phases cannot tell apart.
        gc: share of G and C among the called bases of the window, 0 to 1.
        repeat: "simple" where the locus touches a tandem repeat of 1 to 6 bases, else "none".
        left_tok: six-mers of context to the left of the locus.
    """

    offset: int
    gc: float
    repeat: str
    left_tok: int


class CellContext:
    """The contexts of the edits of one cell; reads the window once.

    Args:
        contig: the reference.
        geometry: of windows and cells.
        cell: index of the cell.
        phases: number of six-mer phases that scores are averaged over.
    """

    def __init__(self, contig: Contig, geometry: Geometry, cell: int, phases: int) -> None:
        window = geometry.window(cell, StrandView(contig))
        bases = np.frombuffer(contig.fetch(window.start, window.end).encode("ascii"), dtype=np.uint8)
        self._start = window.start
        self._n_offsets = K // phases
        counts = [int(np.count_nonzero(bases == base)) for base in _CALLED]
        self._gc = (counts[1] + counts[2]) / max(sum(counts), 1)
        self._repeat = simple_repeats(bases)

    def of(self, edit: Replacement) -> Context:
        """The context of an edit whose locus lies in the cell."""
        place = edit.start - self._start
        touched = self._repeat[max(place - 1, 0) : place + 1]
        return Context(
            offset=place % self._n_offsets,
            gc=self._gc,
            repeat="simple" if touched.any() else "none",
            left_tok=max(place, 0) // K,
        )


def simple_repeats(bases: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where a tandem repeat of a unit of 1 to 6 bases runs: three copies or more, and 8 bases or more.

    Args:
        bases: upper-case ASCII, (L,).

    Returns:
        bool (L,).
    """
    inside = np.zeros(len(bases), dtype=np.bool_)
    called = np.isin(bases, _CALLED)
    for period in _PERIODS:
        if len(bases) <= period:
            break
        same = (bases[period:] == bases[:-period]) & called[period:]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
        first, last = edges[::2], edges[1::2] + period
        long_enough = last - first >= max(_LEAST_REPEAT_BP, _LEAST_COPIES * period)
        for start, end in zip(first[long_enough], last[long_enough], strict=True):
            inside[start:end] = True
    return inside
