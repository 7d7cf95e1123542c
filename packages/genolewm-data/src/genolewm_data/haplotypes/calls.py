"""One chromosome copy of one person, as a phased VCF tells it, and the blocks of variants that lie close on it.

A call has two spellings. The *key* is normalised and names the variant. The *called* one is the record's own,
trimmed; only that may be applied together with others, since moving an indel to the left can carry it over a
neighbour that the same copy has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genolewm_core.genome.variant import RelEdit, Variant, edit_type

__all__ = ["BLOCK_SPAN_BP", "MAX_VARIANTS", "Block", "Call", "Haplotype", "blocks_of", "edits_in"]

BLOCK_SPAN_BP = 1_000
"""Most bases from the first to the last base of a block."""

MAX_VARIANTS = 8
"""Most variants of a block: the largest K of a training tuple."""


class Call(NamedTuple):
    """A variant on a chromosome copy.

    Attributes:
        key: normalised; its contig is spelled as the reference spells it.
        called: as the record has it, trimmed, with the base before it where one allele would be empty.
    """

    key: Variant
    called: Variant


@dataclass(frozen=True, slots=True)
class Block:
    """Two or more calls that one chromosome copy carries within `BLOCK_SPAN_BP`, by position."""

    calls: tuple[Call, ...]

    @property
    def keys(self) -> tuple[Variant, ...]:
        """Normalised variants, by position."""
        return tuple(sorted(call.key for call in self.calls))


@dataclass(frozen=True, slots=True)
class Haplotype:
    """What one chromosome copy carries inside a window.

    Attributes:
        contig: as the reference spells it.
        start, end: the window, 0-based half-open.
        sample: name of the person in the VCF.
        copy: 0 or 1, the place of the allele in GT; copies of different phase sets are not comparable.
        calls: by position; none overlaps another and all lie inside the window. Never empty.
        n_left_out: further alleles of this copy in the window that are unknown or cannot be spelled. When it is 0,
            the copy's whole sequence in the window is known.
    """

    contig: str
    start: int
    end: int
    sample: str
    copy: int
    calls: tuple[Call, ...]
    n_left_out: int

    def edits(self) -> tuple[RelEdit, ...]:
        """The calls as edits of the window, for `genolewm_core.genome.edits.apply_edits`."""
        return edits_in(self.calls, self.start)


def edits_in(calls: Iterable[Call], window_start: int) -> tuple[RelEdit, ...]:
    """Calls as edits of a window that begins at `window_start` (0-based) and holds them all."""
    return tuple(
        RelEdit(
            c.called.start - window_start, edit_type(c.called.ref, c.called.alt), c.called.ref, c.called.alt
        )
        for c in calls
    )


def blocks_of(
    calls: Sequence[Call], *, span_bp: int = BLOCK_SPAN_BP, max_variants: int = MAX_VARIANTS
) -> Iterator[Block]:
    """The largest blocks of a copy's calls: no block is part of another, and blocks may share calls.

    Every two calls of at most `span_bp` from the first base of one to the last base of the other are in some block
    together, unless `max_variants` or more lie from one to the other.

    Args:
        calls: of one copy, by position, none overlapping.
        span_bp: most bases of a block.
        max_variants: most calls of a block, at least 2.
    """
    first = 0
    emitted = 0
    for last in range(len(calls)):
        while calls[last].called.end - calls[first].called.start > span_bp or last - first >= max_variants:
            first += 1
        # A run is largest when the next call no longer fits behind it.
        fits = (
            last + 1 < len(calls)
            and calls[last + 1].called.end - calls[first].called.start <= span_bp
            and last + 1 - first < max_variants
        )
        if not fits and last > first and last >= emitted:
            yield Block(tuple(calls[first : last + 1]))
            emitted = last + 1
