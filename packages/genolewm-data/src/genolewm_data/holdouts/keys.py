"""Variants as keys: one spelling each, whatever file or sampler they come from.

A key is a `Variant` that is left-aligned and parsimonious, with its contig spelled as `chromosome` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from genolewm_core.genome.alleles import to_vcf, trim
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import RelEdit, Variant
from genolewm_core.genome.vcf import Row, row_of
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.chain import Chain
from genolewm_data.holdouts.intervals import chromosome

__all__ = ["Keys", "WindowBases", "edit_key", "key_of", "keys_of", "lift_keys", "parts"]


@dataclass(frozen=True)
class Keys:
    """Keys, and what became of the rows that they were made of.

    Attributes:
        variants: the keys.
        left_out: rows that gave none, by reason; see `genolewm_core.genome.vcf`, and `identity`, `no_counterpart`.
    """

    variants: frozenset[Variant]
    left_out: Mapping[str, int]


def key_of(variant: Variant) -> Variant:
    """The key of a normalised variant: only the contig's spelling can change."""
    name = chromosome(variant.chrom)
    return variant if name == variant.chrom else replace(variant, chrom=name)


def keys_of(rows: Iterable[Row]) -> Keys:
    """Keys of the rows of `read_rows` or `row_of`."""
    variants: set[Variant] = set()
    left_out: Counter[str] = Counter()
    for row in rows:
        if row.status == "scorable" and row.variant is not None:
            variants.add(key_of(row.variant))
        else:
            left_out[row.reason or row.status] += 1
    return Keys(frozenset(variants), dict(sorted(left_out.items())))


def lift_keys(variants: Iterable[Variant], chain: Chain, target: Reference) -> Keys:
    """Keys on another assembly; a key whose REF the other assembly does not have is left out and counted."""
    lifted = [chain.lift_variant(variant) for variant in variants]
    keys = keys_of(row_of(v.chrom, v.pos, v.ref, v.alt, target) for v in lifted if v is not None)
    lost = lifted.count(None)
    left_out = {**keys.left_out, **({"no_counterpart": lost} if lost else {})}
    return Keys(keys.variants, dict(sorted(left_out.items())))


def parts(key: Variant) -> Iterator[Variant]:
    """The key, and, where it substitutes several bases, the key of each single one."""
    yield key
    if len(key.ref) == len(key.alt) > 1:
        for offset, (ref, alt) in enumerate(zip(key.ref, key.alt, strict=True)):
            if ref != alt:
                yield Variant(key.chrom, key.pos + offset, ref, alt)


def edit_key(window: ReferenceWindow, edit: RelEdit) -> Variant | None:
    """Key of an edit of a window; None where a repeat runs from the edit to the window's start.

    In that case the left-aligned spelling lies outside what the window shows. An edit without effect is None too.
    """
    bases = window.sequence[: window.end - window.start].upper()
    return WindowBases(window.contig, window.start, bases).key(edit)


class WindowBases:
    """A window as if it were its contig, with N for every base that the window does not have.

    Args:
        contig: its name.
        start: 0-based place of the first base.
        bases: upper-case.
    """

    def __init__(self, contig: str, start: int, bases: str) -> None:
        self._contig, self._start, self._bases = chromosome(contig), start, bases
        # Where the contig ends is unknown, and no deletion that starts in the window reaches that far.
        self.length = 1 << 40

    def key(self, edit: RelEdit) -> Variant | None:
        """See `edit_key`."""
        change = trim(self._start + edit.rel_pos, edit.ref_bases.upper(), edit.alt_bases.upper())
        if change is None:
            return None
        pos, ref, alt = to_vcf(change, self)
        return None if "N" in ref else Variant(self._contig, pos, ref, alt)

    def fetch(self, start: int, end: int) -> str:
        """Bases of [start, end) of the contig."""
        first, last = start - self._start, end - self._start
        inside = self._bases[max(0, first) : max(0, last)]
        left = max(0, min(-first, end - start))
        return "N" * left + inside + "N" * (end - start - left - len(inside))
