"""Edits that chance makes up: substitutions of one base, insertions and deletions, substitutions of several.

One edit at a time, in whole numbers and strings: for the few edits that a window has, arrays would take several times
as long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from genolewm_core.genome.variant import V1_MAX_LEN, EditType, RelEdit
from genolewm_core.scoring.sixmer import BASE_ORDER
from genolewm_data.samplers.edit import EditSource
from genolewm_data.samplers.window import EditableWindow
from genolewm_data.samplers.words import below, uniform

__all__ = ["MAX_EVENT_BP", "MNV_BP", "SyntheticIndel", "SyntheticMnv", "SyntheticSnv"]

MAX_EVENT_BP = V1_MAX_LEN - 1
"""Longest insertion or deletion: with its anchor base it fits `V1_MAX_LEN`."""

MNV_BP = (2, 8)
"""Shortest and longest substitution of several bases."""

_LENGTH_CDF = [(1 - 0.5**n) / (1 - 0.5**MAX_EVENT_BP) for n in range(1, MAX_EVENT_BP + 1)]
_OTHERS = {base: BASE_ORDER[i + 1 :] + BASE_ORDER[:i] for i, base in enumerate(BASE_ORDER)}


@dataclass(frozen=True, slots=True)
class SyntheticSnv:
    """Substitutions of one base: a uniform place, and a uniform one of the three other bases."""

    source: ClassVar[EditSource] = "synthetic_snv"

    def propose(self, window: EditableWindow, words: Sequence[int], low: int, high: int) -> RelEdit | None:
        """See `Sampler.propose`."""
        pos = window.free_place(uniform(words[0]), 1, low, high)
        if pos < 0:
            return None
        ref = window.text[pos]
        return RelEdit(pos, EditType.SNV, ref, _OTHERS[ref][below(words[1], 3)])


@dataclass(frozen=True, slots=True)
class SyntheticIndel:
    """Insertions and deletions by equal chance, anchored by the base before them.

    Lengths are geometric (p = 0.5, at most 15); places and inserted bases are uniform.
    """

    source: ClassVar[EditSource] = "synthetic_indel"

    def propose(self, window: EditableWindow, words: Sequence[int], low: int, high: int) -> RelEdit | None:
        """See `Sampler.propose`."""
        insertion = words[0] >> 63 == 0
        size = 1 + bisect_right(_LENGTH_CDF, uniform(words[1]))
        pos = window.free_place(uniform(words[2]), 1 if insertion else 1 + size, low, high)
        if pos < 0:
            return None
        anchor = window.text[pos]
        if insertion:
            return RelEdit(pos, EditType.INS, anchor, anchor + _bases(words[3], size))
        return RelEdit(pos, EditType.DEL, window.text[pos : pos + 1 + size], anchor)


@dataclass(frozen=True, slots=True)
class SyntheticMnv:
    """Substitutions of 2 to 8 bases, each length and place as likely; the outer bases change, so that it is as long
    when trimmed.

    Either outer base becomes a uniform one of the three others, and every inner base a uniform one of all four.
    """

    source: ClassVar[EditSource] = "synthetic_mnv"

    def propose(self, window: EditableWindow, words: Sequence[int], low: int, high: int) -> RelEdit | None:
        """See `Sampler.propose`."""
        shortest, longest = MNV_BP
        size = shortest + below(words[0], longest - shortest + 1)
        pos = window.free_place(uniform(words[1]), size, low, high)
        if pos < 0:
            return None
        ref = window.text[pos : pos + size]
        first, last = divmod(below(words[2], 9), 3)
        inner = _bases(words[3], size)[1:-1]
        return RelEdit(pos, EditType.MNV, ref, _OTHERS[ref[0]][first] + inner + _OTHERS[ref[-1]][last])


def _bases(word: int, n: int) -> str:
    """Uniform bases, two bits of a word for each from the lowest on."""
    return "".join([BASE_ORDER[(word >> 2 * i) & 3] for i in range(n)])
