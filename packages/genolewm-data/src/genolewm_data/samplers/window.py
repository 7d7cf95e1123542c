"""A window that edits are drawn in: its bases, its place if it has one, and where an edit may lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genolewm_core.scoring.sixmer import BASE_ORDER, K
from genolewm_core.scoring.states import ReferenceWindow

if TYPE_CHECKING:
    from genolewm_data.corpus.windows import CorpusWindow

__all__ = ["MIN_MARGIN_BP", "EditableWindow", "Int64", "edge_margin"]

Int64 = npt.NDArray[np.int64]

MIN_MARGIN_BP = 64

# As core's base_digits, in bytes: a tenth of the time, and every window goes through it.
_DIGIT = np.full(256, -1, dtype=np.int8)
_DIGIT[np.frombuffer(BASE_ORDER.encode(), dtype=np.uint8)] = np.arange(len(BASE_ORDER))
_DIGIT_BYTES = _DIGIT.tobytes()
_OTHER = b"\xff"


def edge_margin(radius_tok: int) -> int:
    """Bases between an edit and either end of its window, so that the span it is pooled over fits.

    The span has `radius_tok` + 1 tokens; up to five bases are lost to the window's partial last six-mer, and
    up to five more to that of an edited allele.
    """
    return max(MIN_MARGIN_BP, K * (radius_tok + 1) + 2 * (K - 1))


@dataclass(frozen=True, eq=False)
class EditableWindow:
    """A window and its rooms: the stretches that lie a margin away from its ends and from every base but A, C, G, T.

    It can be handed to `genolewm_core.genome.alleles` and to `StrandView` as a contig of its own.

    Attributes:
        text: upper-case bases.
        margin_bp: see `edge_margin`.
        contig: name in the reference, or None for a window without a place.
        start: 0-based place of the first base on the contig; 0 without a place.
        digits: int8 (len,), index of every base in `sixmer.BASE_ORDER`, −1 for any other.
        rooms: (start, end) in window coordinates, 0-based half-open, sorted.
    """

    text: str
    margin_bp: int
    contig: str | None = None
    start: int = 0
    digits: npt.NDArray[np.int8] = field(init=False, repr=False)
    rooms: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        raw = self.text.encode("ascii").translate(_DIGIT_BYTES)
        digits = np.frombuffer(raw, dtype=np.int8)
        other = np.flatnonzero(digits < 0) if _OTHER in raw else np.zeros(0, dtype=np.int64)
        object.__setattr__(self, "digits", digits)
        object.__setattr__(self, "rooms", _rooms(other, len(raw), self.margin_bp))

    @classmethod
    def of(cls, window: ReferenceWindow | CorpusWindow, margin_bp: int) -> EditableWindow:
        """The window without what a short contig was padded with; only a `ReferenceWindow` has a place."""
        if isinstance(window, ReferenceWindow):
            text = window.sequence[: window.end - window.start].upper()
            return cls(text, margin_bp, window.contig, window.start)
        return cls(window.sequence.upper(), margin_bp)

    @property
    def length(self) -> int:
        """Number of bases."""
        return len(self.text)

    def fetch(self, start: int, end: int) -> str:
        """Bases of [start, end) in window coordinates."""
        return self.text[start:end]

    def holds(self, start: int, end: int) -> bool:
        """Whether [start, end), or the base at `start` when that is empty, lies within one room."""
        end = max(end, start + 1)
        for low, high in self.rooms:  # noqa: SIM110 - a generator costs twice as much, and every edit asks
            if low <= start and end <= high:
                return True
        return False

    def places(self, chance: npt.NDArray[np.float64], footprint: Int64, low: Int64, high: Int64) -> Int64:
        """Uniform places for stretches of bases.

        Args:
            chance: in [0, 1), (n,).
            footprint: bases of every stretch, (n,).
            low, high: bounds of every stretch in window coordinates, 0-based half-open, (n,).

        Returns:
            First base of every stretch, −1 where there is no place, (n,).
        """
        if len(self.rooms) == 1:
            ((first, last),) = self.rooms
            begin = np.maximum(low, first)
            count = np.maximum(np.minimum(high, last) - footprint + 1 - begin, 0)
            return np.asarray(np.where(count > 0, begin + (chance * count).astype(np.int64), -1))
        found = np.full(len(chance), -1, dtype=np.int64)
        for size in np.unique(footprint) if self.rooms else ():
            free = np.concatenate([np.arange(a, max(a, b - size + 1)) for a, b in self.rooms])
            rows = np.flatnonzero(footprint == size)
            begin = np.searchsorted(free, low[rows])
            count = np.searchsorted(free, high[rows] - size + 1) - begin
            rows, begin, count = rows[count > 0], begin[count > 0], count[count > 0]
            found[rows] = free[begin + (chance[rows] * count).astype(np.int64)]
        return found


def _rooms(other: npt.NDArray[np.int64], length: int, margin_bp: int) -> tuple[tuple[int, int], ...]:
    edges = [-1, *other.tolist(), length]
    spans = ((a + 1 + margin_bp, b - margin_bp) for a, b in pairwise(edges))
    return tuple(span for span in spans if span[0] < span[1])
