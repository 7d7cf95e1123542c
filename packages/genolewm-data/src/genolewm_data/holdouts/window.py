"""What is held out of the edits of one window, at a fraction of the cost of asking `HeldOut` about each of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import RelEdit, Variant
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.holdouts.keys import WindowBases

__all__ = ["HeldOutIndex", "HeldOutOfWindow"]


class HeldOutIndex:
    """Where held-out variants begin, so that those of a window are found at once.

    Args:
        held_out: what is held out on one assembly.
    """

    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out
        alone = (key for held in held_out.variants.values() for key in held)
        # A substitution of several bases may have two of a block.
        self.variants = _Starts(chain(alone, held_out.block_keys))
        self.blocks = _Starts(held_out.block_keys)

    def of_window(self, contig: str, start: int, bases: str) -> HeldOutOfWindow:
        """What is held out of the edits of a window.

        Args:
            contig: of the window.
            start: 0-based place of its first base.
            bases: upper-case.
        """
        return HeldOutOfWindow(self, contig, start, bases)


class HeldOutOfWindow:
    """Answers as `HeldOut.holds_edit` and `holding_together` do, for the edits of one window.

    Where no held-out variant begins in the bases of a substitution, which never moves, none can be it. An insertion or
    deletion is asked about by its key, since a repeat may carry it to a variant, or out of the window.

    Args:
        index: of what is held out on the window's assembly.
        contig, start, bases: see `HeldOutIndex.of_window`.
    """

    def __init__(self, index: HeldOutIndex, contig: str, start: int, bases: str) -> None:
        self._held_out = index.held_out
        self._bases = WindowBases(contig, start, bases)
        self._keys: dict[RelEdit, Variant | None] = {}
        self._start = start
        name, end = chromosome(contig), start + len(bases)
        self._touched = index.held_out.touches(contig, start, end)
        self._starts = index.variants.between(name, start, end)
        self.has_blocks = bool(index.blocks.between(name, start, end))
        """Whether variants of held-out blocks lie in the window; otherwise no edits are of one together."""

    def holds(self, edit: RelEdit, change: Replacement) -> bool:
        """Whether an edit may not be trained on, or that cannot be told.

        Args:
            edit: of the window.
            change: the edit trimmed.
        """
        if change.alt and change.end > change.start:
            if not (self._touched or self._any(change.start, change.end)):
                return False
            key = self._key(edit)
        else:
            key = self._key(edit)
            if key is not None and not self._touched:
                first = key.start - self._start
                if not self._any(first, first + 1):
                    return False
        return key is None or self._held_out.holds(key)

    def holds_block(self, keys: Sequence[Variant]) -> bool:
        """Whether normalised variants may not be trained on as one haplotype; see `HeldOut.holds_together`."""
        # Asked outright: normalised, an indel of the window may lie in front of it.
        return self._held_out.holds_together(keys)

    def holds_together(self, edits: Sequence[RelEdit]) -> bool:
        """Whether two of the edits are of one held-out block."""
        if not self.has_blocks:
            return False
        keys = [key for edit in edits if (key := self._key(edit)) is not None]
        return bool(self._held_out.holding_together(keys))

    def _key(self, edit: RelEdit) -> Variant | None:
        """The edit's key; a tuple's edits are asked about again with each that joins them."""
        if edit not in self._keys:
            self._keys[edit] = self._bases.key(edit)
        return self._keys[edit]

    def _any(self, start: int, end: int) -> bool:
        """Whether a held-out variant begins in [start, end) of the window."""
        at = bisect_left(self._starts, self._start + start)
        return at < len(self._starts) and self._starts[at] < self._start + end


class _Starts:
    """Contig, spelled as `chromosome` does, to where keys begin on it, 0-based and sorted."""

    def __init__(self, keys: Iterable[Variant]) -> None:
        by_contig: dict[str, set[int]] = {}
        for key in keys:
            by_contig.setdefault(key.chrom, set()).add(key.start)
        self._starts = {contig: np.array(sorted(held), dtype=np.int64) for contig, held in by_contig.items()}

    def between(self, contig: str, start: int, end: int) -> list[int]:
        """Those in [start, end)."""
        found = self._starts.get(contig)
        if found is None:
            return []
        held: list[int] = found[slice(*np.searchsorted(found, (start, end)))].tolist()
        return held
