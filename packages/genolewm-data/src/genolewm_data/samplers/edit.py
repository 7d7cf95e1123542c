"""An edit as it lies in a window, whatever drew it; and why a proposed one is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, get_args

from genolewm_core.genome.alleles import BASES, Replacement, is_plain, shift_right, trim
from genolewm_core.genome.variant import V1_MAX_LEN, RelEdit
from genolewm_data.samplers.window import EditableWindow

__all__ = ["SOURCES", "EditSource", "Refusal", "Sampler", "WindowEdit", "place"]

EditSource = Literal["gnomad", "synthetic_snv", "synthetic_indel", "synthetic_mnv", "clinvar", "haplotype"]
SOURCES: tuple[EditSource, ...] = get_args(EditSource)


class Refusal(StrEnum):
    """Why a proposed edit was not taken."""

    MARGIN = "margin"
    """It, or the place it rolls to in a repeat, is too near an end of the window or an N."""
    REF_MISMATCH = "ref_mismatch"
    """The window has other bases there."""
    NO_CHANGE = "no_change"
    """The alleles are equal."""
    NOT_PLAIN = "not_plain"
    """An allele has other letters than A, C, G and T, or none."""
    TOO_LONG = "too_long"
    """An allele is longer than `V1_MAX_LEN`."""
    OVERLAP = "overlap"
    """It touches another edit of its tuple, or repeats one of its window."""
    HELD_OUT = "held_out"
    """It is held out of training, by itself or together with others of its tuple."""


@dataclass(frozen=True, slots=True)
class WindowEdit:
    """An edit in window coordinates.

    Attributes:
        rel: the edit as it was proposed, with the anchor base its source gave it.
        change: the same edit trimmed and rolled right: its `start` is the locus, the first base that differs.
        source: where it is from.
        begin: first base that the proposed edit changes or inserts before; in a repeat, left of the locus.
    """

    rel: RelEdit
    change: Replacement
    source: EditSource
    begin: int

    def touches(self, other: WindowEdit) -> bool:
        """Whether fewer than one unchanged base lies between the two, however they are spelled."""
        return self.begin <= other.change.end and other.begin <= self.change.end


class Sampler(Protocol):
    """What proposes edits of one source."""

    @property
    def source(self) -> EditSource:
        """The source of every edit."""
        ...

    def propose(self, window: EditableWindow, words: Sequence[int], low: int, high: int) -> RelEdit | None:
        """An edit inside [low, high) of the window.

        Args:
            window: where it will lie.
            words: at least 4 random words of 64 bits; the only source of chance.
            low, high: window coordinates, 0-based half-open.

        Returns:
            An edit, which `place` may still refuse, or None where the source has none there.
        """
        ...


def place(window: EditableWindow, rel: RelEdit, source: EditSource) -> WindowEdit | Refusal:
    """Put an edit in a window, or say why it cannot lie there."""
    start, ref, alt = rel.rel_pos, rel.ref_bases, rel.alt_bases
    if len(ref) == len(alt) == 1 and ref != alt and ref in BASES and alt in BASES:
        # Nothing to trim or to roll, and four edits in five.
        if window.text[start : start + 1] != ref:
            return Refusal.REF_MISMATCH
        if not window.holds(start, start + 1):
            return Refusal.MARGIN
        return WindowEdit(rel, Replacement(start, start + 1, alt), source, start)
    if not (is_plain(ref) and is_plain(alt)):
        return Refusal.NOT_PLAIN
    if max(len(ref), len(alt)) > V1_MAX_LEN:
        return Refusal.TOO_LONG
    if window.text[start : start + len(ref)] != ref:
        return Refusal.REF_MISMATCH
    trimmed = trim(start, ref, alt)
    if trimmed is None:
        return Refusal.NO_CHANGE
    change = trimmed if len(ref) == len(alt) else shift_right(trimmed, window)
    if not window.holds(start, max(start + len(ref), change.end, change.start + 1)):
        return Refusal.MARGIN
    return WindowEdit(rel, change, source, trimmed.start)
