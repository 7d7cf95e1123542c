"""Tuples of variants that were found together, such as those on one copy of a phased genotype."""

from __future__ import annotations

from collections.abc import Iterable

from genolewm_core.genome.variant import RelEdit, Variant, edit_type
from genolewm_data.samplers import EditableWindow, EditSource, Refusal, WindowEdit, place
from genolewm_data.tuples.training import TrainingTuple, WindowRef

__all__ = ["tuple_of_variants"]


def tuple_of_variants(
    window: EditableWindow,
    ref: WindowRef,
    slot: int,
    variants: Iterable[Variant],
    source: EditSource = "haplotype",
) -> TrainingTuple | Refusal:
    """One tuple of all the variants, or why it cannot be: none of them is ever left out to make the rest fit.

    Args:
        window: with a place; the variants are on its contig.
        ref: its name.
        slot: see `TrainingTuple.slot`.
        variants: at least one, in any order.
        source: of every edit.

    Raises:
        ValueError: there is no variant, or one of another contig.
    """
    edits: list[WindowEdit] = []
    for variant in variants:
        if variant.chrom != window.contig:
            raise ValueError("a variant lies on another contig than the window")
        rel_pos = variant.start - window.start
        if rel_pos < 0:
            return Refusal.MARGIN
        rel = RelEdit(rel_pos, edit_type(variant.ref, variant.alt), variant.ref, variant.alt)
        edit = place(window, rel, source)
        if isinstance(edit, Refusal):
            return edit
        if any(edit.touches(other) for other in edits):
            return Refusal.OVERLAP
        edits.append(edit)
    if not edits:
        raise ValueError("a tuple has at least one edit")
    return TrainingTuple(ref, slot, tuple(sorted(edits, key=lambda edit: edit.change.start)))
