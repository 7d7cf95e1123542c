"""Edits that chance makes up: substitutions of one base, insertions and deletions, substitutions of several.

`*_draws` compute arrays and hold the distributions; the samplers spell them as edits of a window. A draw is at
−1 where the window has no place for it. Letters of shapes: n draws, W words of a draw (four are used).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.variant import V1_MAX_LEN, EditType, RelEdit
from genolewm_core.scoring.sixmer import BASE_ORDER
from genolewm_data.samplers.edit import EditSource
from genolewm_data.samplers.window import EditableWindow, Int64
from genolewm_data.samplers.words import UInt64, below, uniform

__all__ = [
    "MAX_EVENT_BP",
    "MNV_BP",
    "IndelDraws",
    "MnvDraws",
    "SnvDraws",
    "SyntheticIndel",
    "SyntheticMnv",
    "SyntheticSnv",
    "indel_draws",
    "mnv_draws",
    "snv_draws",
]

MAX_EVENT_BP = V1_MAX_LEN - 1
"""Longest insertion or deletion: with its anchor base it fits `V1_MAX_LEN`."""

MNV_BP = (2, 8)
"""Shortest and longest substitution of several bases."""

_LENGTHS = np.arange(1, MAX_EVENT_BP + 1)
_LENGTH_CDF = (1 - 0.5**_LENGTHS) / (1 - 0.5**MAX_EVENT_BP)
_TWO_BITS = 2 * np.arange(MAX_EVENT_BP, dtype=np.uint64)


class SnvDraws(NamedTuple):
    """`pos` int64 (n,), `ref` and `alt` digits in `BASE_ORDER` (n,)."""

    pos: Int64
    ref: Int64
    alt: Int64


class IndelDraws(NamedTuple):
    """`pos` of the anchor base, `insertion` bool, `size_bp` 1..15, `bases` digits (n, 15) of an insertion."""

    pos: Int64
    insertion: npt.NDArray[np.bool_]
    size_bp: Int64
    bases: Int64


class MnvDraws(NamedTuple):
    """`pos` of the first base, `size_bp` 2..8, `alt` digits (n, 8), of which the first `size_bp` count."""

    pos: Int64
    size_bp: Int64
    alt: Int64


def snv_draws(window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> SnvDraws:
    """A uniform place and a uniform one of the three other bases."""
    pos = window.places(uniform(words[:, 0]), np.ones(len(words), dtype=np.int64), low, high)
    ref = window.digits[pos].astype(np.int64)
    return SnvDraws(pos, ref, (ref + 1 + below(words[:, 1], 3)) % 4)


def indel_draws(window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> IndelDraws:
    """Insertion or deletion by equal chance, length geometric (p = 0.5, at most 15), place and bases uniform."""
    insertion = words[:, 0] >> np.uint64(63) == 0
    size = 1 + np.searchsorted(_LENGTH_CDF, uniform(words[:, 1]), side="right").astype(np.int64)
    pos = window.places(uniform(words[:, 2]), np.where(insertion, 1, 1 + size), low, high)
    bases = (words[:, 3:4] >> _TWO_BITS) & np.uint64(3)
    return IndelDraws(pos, insertion, size, bases.astype(np.int64))


def mnv_draws(window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> MnvDraws:
    """Length uniform over 2..8 and place uniform; the outer bases change, so that it is as long when trimmed.

    Either outer base becomes a uniform one of the three others, and every inner base a uniform one of all four.
    """
    shortest, longest = MNV_BP
    size = shortest + below(words[:, 0], longest - shortest + 1)
    pos = window.places(uniform(words[:, 1]), size, low, high)
    alt = ((words[:, 3:4] >> _TWO_BITS[:longest]) & np.uint64(3)).astype(np.int64)
    outer = below(words[:, 2], 9)
    rows, last = np.arange(len(words)), size - 1
    alt[:, 0] = (window.digits[pos] + 1 + outer // 3) % 4
    alt[rows, last] = (window.digits[np.where(pos < 0, 0, pos + last)] + 1 + outer % 3) % 4
    return MnvDraws(pos, size, alt)


@dataclass(frozen=True, slots=True)
class SyntheticSnv:
    """Substitutions of one base; see `snv_draws`."""

    source: ClassVar[EditSource] = "synthetic_snv"

    def propose(self, window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> list[RelEdit | None]:
        """See `Sampler.propose`."""
        draws = snv_draws(window, words, low, high)
        rows = zip(draws.pos.tolist(), draws.ref.tolist(), draws.alt.tolist(), strict=True)
        return [
            RelEdit(pos, EditType.SNV, BASE_ORDER[ref], BASE_ORDER[alt]) if pos >= 0 else None
            for pos, ref, alt in rows
        ]


@dataclass(frozen=True, slots=True)
class SyntheticIndel:
    """Insertions and deletions, anchored by the base before them; see `indel_draws`."""

    source: ClassVar[EditSource] = "synthetic_indel"

    def propose(self, window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> list[RelEdit | None]:
        """See `Sampler.propose`."""
        draws = indel_draws(window, words, low, high)
        edits: list[RelEdit | None] = []
        for pos, insertion, size, bases in zip(*(part.tolist() for part in draws), strict=True):
            if pos < 0:
                edits.append(None)
                continue
            anchor = window.text[pos]
            if insertion:
                edits.append(RelEdit(pos, EditType.INS, anchor, anchor + _spell(bases[:size])))
            else:
                edits.append(RelEdit(pos, EditType.DEL, window.text[pos : pos + 1 + size], anchor))
        return edits


@dataclass(frozen=True, slots=True)
class SyntheticMnv:
    """Substitutions of several bases; see `mnv_draws`."""

    source: ClassVar[EditSource] = "synthetic_mnv"

    def propose(self, window: EditableWindow, words: UInt64, low: Int64, high: Int64) -> list[RelEdit | None]:
        """See `Sampler.propose`."""
        draws = mnv_draws(window, words, low, high)
        return [
            RelEdit(pos, EditType.MNV, window.text[pos : pos + size], _spell(alt[:size]))
            if pos >= 0
            else None
            for pos, size, alt in zip(*(part.tolist() for part in draws), strict=True)
        ]


def _spell(digits: list[int]) -> str:
    return "".join([BASE_ORDER[digit] for digit in digits])
