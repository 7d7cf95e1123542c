"""What is held out of the edits of one window, at a fraction of the cost of asking `HeldOut` about each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import RelEdit, Variant
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.holdouts.keys import WindowBases

__all__ = ["HeldOutOfWindow"]


class HeldOutOfWindow:
    """Answers as `HeldOut.holds_edit` and `holding_together` do, for the edits of one window.

    Most windows have nothing held out. There a substitution, which never moves, needs no further question; an
    insertion or deletion still does, since a repeat may carry it out of the window.

    Args:
        held_out: what is held out on the window's assembly.
        contig: of the window.
        start: 0-based place of its first base.
        bases: upper-case.
    """

    def __init__(self, held_out: HeldOut, contig: str, start: int, bases: str) -> None:
        self._held_out = held_out
        self._bases = WindowBases(contig, start, bases)
        name, end = chromosome(contig), start + len(bases)
        touched = held_out.touches(contig, start, end)
        self._has_held = touched or _any(held_out.variant_starts, name, start, end)
        self.has_blocks = _any(held_out.block_starts, name, start, end)
        """Whether variants of held-out blocks lie in the window; otherwise no edits are of one together."""

    def holds(self, edit: RelEdit, change: Replacement) -> bool:
        """Whether an edit may not be trained on, or that cannot be told.

        Args:
            edit: of the window.
            change: the edit trimmed.
        """
        stays = bool(change.alt) and change.end > change.start
        if stays and not self._has_held:
            return False
        key = self._bases.key(edit)
        return key is None or (self._has_held and self._held_out.holds(key))

    def holds_block(self, keys: Sequence[Variant]) -> bool:
        """Whether normalised variants may not be trained on as one haplotype; see `HeldOut.holds_together`."""
        # Asked outright: normalised, an indel of the window may lie in front of it.
        return self._held_out.holds_together(keys)

    def holds_together(self, edits: Sequence[RelEdit]) -> bool:
        """Whether two of the edits are of one held-out block."""
        if not self.has_blocks:
            return False
        keys = [key for edit in edits if (key := self._bases.key(edit)) is not None]
        return bool(self._held_out.holding_together(keys))


def _any(starts: Mapping[str, npt.NDArray[np.int64]], contig: str, start: int, end: int) -> bool:
    found = starts.get(contig)
    if found is None:
        return False
    first, last = np.searchsorted(found, (start, end)).tolist()
    return bool(first < last)
