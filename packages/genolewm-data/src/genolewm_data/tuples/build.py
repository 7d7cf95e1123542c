"""Training tuples of a window: which edits its slots get, drawn from a seed, the window's number and the slot.

Nothing carries over from one window to the next, so a window's tuples are the same in whichever worker, order or
run they are built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import RelEdit
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.samplers import (
    EditableWindow,
    EditSource,
    Refusal,
    Sampler,
    SlotWords,
    SourceMix,
    SyntheticIndel,
    SyntheticMnv,
    SyntheticSnv,
    WindowEdit,
    edge_margin,
    place,
)
from genolewm_data.samplers.mix import apportion
from genolewm_data.samplers.words import UInt64, uniform
from genolewm_data.tuples.training import TrainingTuple, WindowRef

if TYPE_CHECKING:
    from genolewm_data.corpus.windows import CorpusWindow

__all__ = ["MULTI_EDITS", "TupleBuilder", "TupleOptions", "WindowTuples", "realised_mix"]

MULTI_EDITS = (2, 3, 5, 8)
"""Numbers of edits that a tuple of several may have."""

_FALLBACK: EditSource = "synthetic_snv"
_FURTHER = 15
"""Proposals after a first one that could not be taken."""
_HEAD = 0
_SOURCE_WORD = 7
"""Of an edit; of a head, where the stretch of the slot's edits lies."""


@dataclass(frozen=True, slots=True)
class TupleOptions:
    """How tuples are built.

    Attributes:
        seed: of the stream, 0 up to 2^64 - 1.
        edits_per_window: tuples of a window.
        mix: of sources, for tuples of one edit and the first edit of the others exactly, for the rest by chance.
        multi_percent: tuples of several edits among 100.
        spread_bp: the edits of a tuple lie within so many bases; a haplotype block's 1 kb unless told otherwise.
        radius_tok: of pooling, which sets the margin.
        haplotype_percent: of 100 tuples of several edits in windows with haplotype blocks, those that are a block.

    Raises:
        ConfigError: `config-invalid`.
    """

    seed: int
    edits_per_window: int = 8
    mix: SourceMix = SourceMix.standard()  # noqa: RUF009 - a frozen value
    multi_percent: int = 10
    spread_bp: int = 1_000
    radius_tok: int = 8
    haplotype_percent: int = 50

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, (1 << 64) - 1),
            ("edits_per_window", 1, 65_536),
            ("multi_percent", 0, 100),
            ("spread_bp", 64, 24_576),
            ("radius_tok", 0, 1_024),
            ("haplotype_percent", 0, 100),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    "config-invalid",
                    "An option of the tuples has a value that cannot be used.",
                    where=name,
                    expected=f"{low} to {high}",
                    found=str(value),
                )


@dataclass(frozen=True, slots=True)
class WindowTuples:
    """What was built of one window.

    Attributes:
        tuples: in the order of their slots; fewer than asked for only where nothing fits.
        tally: `asked.SOURCE`, `drawn.SOURCE`, `fallback.SOURCE`, `refused.REASON`, `edits.K`, `shortened`,
            `empty` -> how many. Tallies of windows add up.
    """

    tuples: tuple[TrainingTuple, ...]
    tally: Counter[str]


@dataclass(frozen=True, slots=True)
class _Ask:
    slot: int
    edit: int
    source: EditSource
    low: int
    high: int


class TupleBuilder:
    """Builds the tuples of windows; small to pickle but for the tables of its samplers.

    Args:
        options: see `TupleOptions`.
        tables: samplers of sources that are not synthetic, such as `TableSampler`.
        haplotypes: blocks that tuples of several edits may be.
        held_out: edits that it holds are refused, by themselves and together.

    Raises:
        ConfigError: `config-invalid`, when the mix names a source that has no sampler.
    """

    def __init__(
        self,
        options: TupleOptions,
        tables: Iterable[Sampler] = (),
        *,
        haplotypes: HaplotypeTable | None = None,
        held_out: HeldOut | None = None,
    ) -> None:
        self.options = options
        self.haplotypes = haplotypes
        self.held_out = held_out
        synthetic: tuple[Sampler, ...] = (SyntheticSnv(), SyntheticIndel(), SyntheticMnv())
        self._samplers: Mapping[EditSource, Sampler] = {s.source: s for s in (*synthetic, *tables)}
        self._words = SlotWords(options.seed)
        missing = [source for source in options.mix.sources if source not in self._samplers]
        if missing:
            raise ConfigError(
                "config-invalid",
                "The mix names sources of edits that were not given.",
                where="mix",
                expected="a sampler for every source with a weight",
                found=", ".join(missing),
                next_step="give their tables, or a mix without them",
            )

    @property
    def margin_bp(self) -> int:
        """Bases between any edit and the ends of its window."""
        return edge_margin(self.options.radius_tok)

    def build(self, window: ReferenceWindow | CorpusWindow, number: int) -> WindowTuples:
        """The tuples of one window.

        Args:
            window: with or without a place; one without has no variants of tables, whose slots fall back.
            number: of the window in the whole stream, over all workers and epochs, 0 up to 2^64 - 1.
        """
        return self.build_in(EditableWindow.of(window, self.margin_bp), WindowRef.of(window), number)

    def build_in(self, window: EditableWindow, ref: WindowRef, number: int) -> WindowTuples:
        """The tuples of a window that was opened before."""
        n = self.options.edits_per_window
        draw = _Draw(window, number, self._words, n, self._samplers)
        leads = draw.leads(self.options.mix.of_window(number, n))
        groups = draw.companions(self._several(draw.words, number, leads), leads, self.options)
        tuples = []
        for slot, lead in enumerate(leads):
            if lead is None:
                draw.tally["empty"] += 1
                continue
            edits = groups.get(slot, (lead,))
            draw.tally[f"edits.{len(edits)}"] += 1
            for edit in edits:
                draw.tally[f"drawn.{edit.source}"] += 1
            tuples.append(TrainingTuple(ref, slot, edits))
        return WindowTuples(tuple(tuples), draw.tally)

    def _several(self, words: UInt64, number: int, leads: Sequence[WindowEdit | None]) -> dict[int, int]:
        """Slot -> number of edits, of the slots that get several."""
        percent = self.options.multi_percent
        _, n = apportion((100 - percent, percent), len(leads), number)
        if n == 0:
            return {}
        slots = [int(slot) for slot in np.argsort(words[:, _HEAD, 0], kind="stable")[:n]]
        kinds = (words[slots, _HEAD, 1] >> np.uint64(62)).tolist()
        return {s: MULTI_EDITS[kind] for s, kind in zip(slots, kinds, strict=True) if leads[s] is not None}


class _Draw:
    """One window's draws, and the tally of them."""

    def __init__(
        self,
        window: EditableWindow,
        number: int,
        words: SlotWords,
        n_slots: int,
        samplers: Mapping[EditSource, Sampler],
    ) -> None:
        self.window, self.tally = window, Counter[str]()
        self.words = words.of_window(number, n_slots)
        self._number, self._more, self._samplers = number, words, samplers

    def leads(self, sources: Sequence[EditSource]) -> list[WindowEdit | None]:
        """The first edit of every slot, none twice."""
        asks = [_Ask(slot, 1, source, 0, self.window.length) for slot, source in enumerate(sources)]
        taken: set[Replacement] = set()
        leads = []
        for ask, proposed in zip(asks, self._propose(asks), strict=True):
            edit = self._settle(ask, proposed, lambda edit: edit.change not in taken)
            if edit is not None:
                taken.add(edit.change)
            leads.append(edit)
        return leads

    def companions(
        self, several: Mapping[int, int], leads: Sequence[WindowEdit | None], options: TupleOptions
    ) -> dict[int, tuple[WindowEdit, ...]]:
        """The edits of every slot that gets several, sorted by place."""
        groups = {slot: [lead] for slot in several if (lead := leads[slot]) is not None}
        asks = []
        for slot, (lead,) in groups.items():
            before, *by_source = uniform(self.words[slot, :, _SOURCE_WORD]).tolist()
            low = lead.rel.rel_pos - int(before * options.spread_bp)
            low = max(0, min(low, self.window.length - options.spread_bp))
            asks += [
                _Ask(slot, edit, options.mix.pick(by_source[edit - 1]), low, low + options.spread_bp)
                for edit in range(2, several[slot] + 1)
            ]
        for ask, proposed in zip(asks, self._propose(asks), strict=True):
            group = groups[ask.slot]
            edit = self._settle(ask, proposed, partial(_apart, group))
            if edit is not None:
                group.append(edit)
        return {slot: self._cut(group, several[slot]) for slot, group in groups.items()}

    def _cut(self, group: list[WindowEdit], wanted: int) -> tuple[WindowEdit, ...]:
        if len(group) < wanted:
            self.tally["shortened"] += 1
            group = group[: max(n for n in (1, *MULTI_EDITS) if n <= len(group))]
        return tuple(sorted(group, key=lambda edit: edit.change.start))

    def _propose(self, asks: Sequence[_Ask]) -> list[RelEdit | None]:
        """First proposals, all of a source at once."""
        proposals: list[RelEdit | None] = [None] * len(asks)
        rows_of: dict[EditSource, list[int]] = {}
        for row, ask in enumerate(asks):
            rows_of.setdefault(ask.source, []).append(row)
        for source, rows in rows_of.items():
            self.tally[f"asked.{source}"] += len(rows)
            held = [asks[row] for row in rows]
            words = self.words[[ask.slot for ask in held], [ask.edit for ask in held]]
            low = np.array([ask.low for ask in held], dtype=np.int64)
            high = np.array([ask.high for ask in held], dtype=np.int64)
            proposed = self._samplers[source].propose(self.window, words, low, high)
            for row, rel in zip(rows, proposed, strict=True):
                proposals[row] = rel
        return proposals

    def _settle(
        self, ask: _Ask, proposed: RelEdit | None, fits: Callable[[WindowEdit], bool]
    ) -> WindowEdit | None:
        """The first proposal that can be taken: of the source that was asked, else a synthetic SNV."""
        edit = None if proposed is None else self._first((proposed,), ask.source, fits)
        if edit is not None:
            return edit
        words = self._more.again(self._number, ask.slot, ask.edit, 2 * _FURTHER)
        if proposed is not None:
            edit = self._first(self._further(ask, ask.source, words[:_FURTHER]), ask.source, fits)
        if edit is None:
            self.tally[f"fallback.{ask.source}"] += 1
            edit = self._first(self._further(ask, _FALLBACK, words[_FURTHER:]), _FALLBACK, fits)
        return edit

    def _further(self, ask: _Ask, source: EditSource, words: UInt64) -> list[RelEdit | None]:
        low, high = (np.full(len(words), bound, dtype=np.int64) for bound in (ask.low, ask.high))
        return self._samplers[source].propose(self.window, words, low, high)

    def _first(
        self, proposals: Iterable[RelEdit | None], source: EditSource, fits: Callable[[WindowEdit], bool]
    ) -> WindowEdit | None:
        for proposed in dict.fromkeys(proposals):
            if proposed is None:
                continue
            edit = place(self.window, proposed, source)
            if isinstance(edit, WindowEdit):
                if fits(edit):
                    return edit
                edit = Refusal.OVERLAP
            self.tally[f"refused.{edit}"] += 1
        return None


def _apart(group: Sequence[WindowEdit], edit: WindowEdit) -> bool:
    return not any(edit.touches(other) for other in group)


def realised_mix(tally: Mapping[str, int]) -> dict[str, float]:
    """Share of every source among the edits of a tally."""
    drawn = {key.removeprefix("drawn."): n for key, n in tally.items() if key.startswith("drawn.")}
    total = sum(drawn.values())
    return {source: n / total for source, n in sorted(drawn.items())}
