"""Which window of validation has which evaluation variant or held-out block: each is in the first that it fits in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from genolewm_core.genome.variant import Variant
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.samplers import EditableWindow, VariantTable
from genolewm_data.tuples import TrainingTuple, WindowRef, tuple_of_variants

__all__ = ["BlocksIn", "Group", "GroupsIn", "Taken", "VariantsIn", "elsewhere"]

Group = tuple[Variant, ...]
"""The variants of one tuple: an evaluation variant alone, or a held-out block whole."""


class GroupsIn(Protocol):
    """Says which groups lie between the margins of a window; it may not be possible to edit them there."""

    def __call__(self, window: EditableWindow) -> Iterator[Group]:
        """The groups, in an order that is always the same."""
        ...


@dataclass(frozen=True, slots=True)
class VariantsIn:
    """Each variant of a table by itself."""

    table: VariantTable

    def __call__(self, window: EditableWindow) -> Iterator[Group]:
        """See `GroupsIn`."""
        held = None if window.contig is None else self.table.contigs.get(window.contig)
        if held is None or window.contig is None:
            return
        first, last = _between_margins(window)
        for index in range(*held.between(first, last)):
            variant = Variant(window.contig, int(held.start[index]) + 1, *held.alleles_of(index))
            if variant.end <= last:
                yield (variant,)


@dataclass(frozen=True, slots=True)
class BlocksIn:
    """The blocks of a table."""

    table: HaplotypeTable

    def __call__(self, window: EditableWindow) -> Iterator[Group]:
        """See `GroupsIn`."""
        if window.contig is not None:
            for block in self.table.between(window.contig, *_between_margins(window)):
                yield tuple(call.called for call in block.calls)


@dataclass(frozen=True, slots=True)
class Taken:
    """Groups that some windows have, each in the first window that it can be edited in.

    Attributes:
        groups_in: see `GroupsIn`.
        groups: those that a window was found for.
    """

    groups_in: GroupsIn
    groups: set[Group] = field(default_factory=set)

    def take(self, window: EditableWindow, ref: WindowRef) -> set[Group]:
        """The groups of a window that no window had before it."""
        new = {
            group
            for group in self.groups_in(window)
            if group not in self.groups
            and isinstance(tuple_of_variants(window, ref, 0, group), TrainingTuple)
        }
        self.groups.update(new)
        return new


def elsewhere(
    windows: Iterable[tuple[int, EditableWindow, WindowRef]], groups_in: GroupsIn
) -> dict[int, frozenset[int]]:
    """Window number to the places, in the order of `groups_in`, of the groups that another window has.

    What can be edited in no window is the first one's that it lies in.
    """
    taken, owner = Taken(groups_in), dict[Group, int]()
    seen: list[tuple[int, list[Group]]] = []
    for number, window, ref in windows:
        groups = list(groups_in(window))
        seen.append((number, groups))
        owner.update(dict.fromkeys(taken.take(window, ref), number))
    for number, groups in seen:
        for group in groups:
            owner.setdefault(group, number)
    return {
        number: frozenset(place for place, group in enumerate(groups) if owner[group] != number)
        for number, groups in seen
    }


def _between_margins(window: EditableWindow) -> tuple[int, int]:
    return window.start + window.margin_bp, window.start + window.length - window.margin_bp
