"""A window that edits are drawn in: its bases, its place if it has one, and where an edit may lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from genolewm_core.scoring.sixmer import K
from genolewm_core.scoring.states import ReferenceWindow

if TYPE_CHECKING:
    from genolewm_data.corpus.windows import CorpusWindow

__all__ = ["MIN_MARGIN_BP", "EditableWindow", "edge_margin"]

MIN_MARGIN_BP = 64

_BASES = b"ACGT"


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
        rooms: (start, end) in window coordinates, 0-based half-open, sorted.
    """

    text: str
    margin_bp: int
    contig: str | None = None
    start: int = 0
    rooms: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        raw = self.text.encode("ascii")
        object.__setattr__(self, "rooms", _rooms(raw, self.margin_bp))

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

    def free_place(self, chance: float, footprint: int, low: int, high: int) -> int:
        """A uniform place for a stretch of bases that lies within one room.

        Args:
            chance: in [0, 1).
            footprint: bases of the stretch.
            low, high: bounds of the stretch in window coordinates, 0-based half-open.

        Returns:
            First base of the stretch, −1 where there is no place.
        """
        starts = [(max(low, first), min(high, last) - footprint + 1) for first, last in self.rooms]
        left = int(chance * sum([max(0, end - begin) for begin, end in starts]))
        for begin, end in starts:
            if left < end - begin:
                return begin + left
            left -= max(0, end - begin)
        return -1


def _rooms(raw: bytes, margin_bp: int) -> tuple[tuple[int, int], ...]:
    others: list[int] = []
    # Most windows have nothing else, and that is seen in a tenth of the time.
    if raw.translate(None, _BASES):
        others = np.flatnonzero(
            ~np.isin(np.frombuffer(raw, np.uint8), np.frombuffer(_BASES, np.uint8))
        ).tolist()
    edges = [-1, *others, len(raw)]
    spans = ((a + 1 + margin_bp, b - margin_bp) for a, b in pairwise(edges))
    return tuple(span for span in spans if span[0] < span[1])
