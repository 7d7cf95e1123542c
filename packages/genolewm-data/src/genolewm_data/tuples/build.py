"""Training tuples of a window: which edits its slots get, drawn from a seed, the window's number and the slot.

Nothing carries over from one window to the next, so a window's tuples are the same in whichever worker, order or
run they are built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import RelEdit
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.haplotypes.calls import Block
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.window import HeldOutIndex, HeldOutOfWindow
from genolewm_data.samplers import (
    SOURCES,
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
from genolewm_data.samplers.words import UInt64, below, uniform
from genolewm_data.tuples.haplotype import tuple_of_variants
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
_ORDER_WORD, _KIND_WORD, _HAPLOTYPE_WORD, _BLOCK_WORD = range(4)
"""Of a head: whether the slot gets several edits, how many, whether they are a haplotype block, and which."""
_SOURCE_WORD = 7
"""Of an edit; of a head, where the stretch of the slot's edits lies."""


@dataclass(frozen=True, slots=True)
class TupleOptions:
    """How tuples are built.

    Attributes:
        seed: of the stream, 0 up to 2^64 - 1.
        edits_per_window: tuples of a window.
        mix: of sources, for tuples of one edit and the first edit of the others exactly, for the rest by chance.
            A tuple that is a haplotype block takes the place of one of any source.
        multi_percent: tuples of several edits among 100.
        spread_bp: the edits of a tuple lie within so many bases; a haplotype block's 1 kb unless told otherwise.
        radius_tok: of pooling, which sets the margin.
        haplotype_percent: of 100 tuples of several edits in windows with haplotype blocks, those that are to be a
            block, by chance.

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
            `empty` -> how many. Edits are counted; of haplotype blocks, tuples are asked for and fall back, and
            edits are drawn. Tallies of windows add up.
    """

    tuples: tuple[TrainingTuple, ...]
    tally: Counter[str]


_ASKED = {source: f"asked.{source}" for source in SOURCES}
_DRAWN = {source: f"drawn.{source}" for source in SOURCES}
_FALLBACK_OF = {source: f"fallback.{source}" for source in SOURCES}
_REFUSED = {reason: f"refused.{reason}" for reason in Refusal}


_Refused = Callable[[WindowEdit], Refusal | None]
"""Why an edit that lies in the window is not taken all the same."""


class _Ask(NamedTuple):
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
        haplotypes: blocks that tuples of several edits may be, of the contigs that windows name.
        held_out: edits that it holds are refused, by themselves and together. Only windows with a place are asked
            about; that the windows themselves are not held out is for others to see to.

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
        self._held = None if held_out is None else HeldOutIndex(held_out)
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
        draw = _Draw(window, number, self._words, n, self._samplers, self._held_of(window))
        several = self._several(draw.words, number)
        haplotypes = draw.haplotypes(self._haplotype_slots(draw.words, several), self._blocks_of(window), ref)
        leads = draw.leads(self.options.mix.of_window(number, n), haplotypes)
        groups = draw.companions(several, leads, self.options)
        tuples, tally = [], draw.tally
        for slot in range(n):
            sample = haplotypes.get(slot)
            if sample is None:
                lead = leads.get(slot)
                if lead is None:
                    tally["empty"] += 1
                    continue
                sample = TrainingTuple(ref, slot, groups.get(slot) or (lead,))
            tally[f"edits.{len(sample.edits)}"] += 1
            for edit in sample.edits:
                tally[_DRAWN[edit.source]] += 1
            tuples.append(sample)
        return WindowTuples(tuple(tuples), tally)

    def _held_of(self, window: EditableWindow) -> HeldOutOfWindow | None:
        if self._held is None or window.contig is None:
            return None
        return self._held.of_window(window.contig, window.start, window.text)

    def _blocks_of(self, window: EditableWindow) -> Callable[[], list[Block]]:
        """The haplotype blocks that lie in a window; looked up only where a slot may be one."""

        def found() -> list[Block]:
            if self.haplotypes is None or window.contig is None:
                return []
            first, last = window.start + window.margin_bp, window.start + window.length - window.margin_bp
            return self.haplotypes.between(window.contig, first, last)

        return found

    def _several(self, words: UInt64, number: int) -> dict[int, int]:
        """Slot -> number of edits, of the slots that get several."""
        percent = self.options.multi_percent
        _, n = apportion((100 - percent, percent), len(words), number)
        if n == 0:
            return {}
        order = words[:, _HEAD, _ORDER_WORD].tolist()
        slots = sorted(range(len(order)), key=order.__getitem__)[:n]
        return {slot: MULTI_EDITS[int(words[slot, _HEAD, _KIND_WORD]) >> 62] for slot in slots}

    def _haplotype_slots(self, words: UInt64, several: Iterable[int]) -> list[int]:
        if self.haplotypes is None:
            return []
        share = self.options.haplotype_percent / 100
        return [slot for slot in several if uniform(int(words[slot, _HEAD, _HAPLOTYPE_WORD])) < share]


class _Draw:
    """One window's draws, and the tally of them."""

    def __init__(
        self,
        window: EditableWindow,
        number: int,
        words: SlotWords,
        n_slots: int,
        samplers: Mapping[EditSource, Sampler],
        held: HeldOutOfWindow | None,
    ) -> None:
        self.window, self.tally = window, Counter[str]()
        self.words = words.of_window(number, n_slots)
        self._number, self._more, self._samplers, self._held = number, words, samplers, held

    def haplotypes(
        self, slots: Sequence[int], blocks_of: Callable[[], list[Block]], ref: WindowRef
    ) -> dict[int, TrainingTuple]:
        """Slot -> a block of the window, of the slots for which one was found that can be taken."""
        blocks = blocks_of() if slots else []
        samples = {}
        for slot in slots if blocks else ():
            self.tally["asked.haplotype"] += 1
            sample = self._block(slot, blocks, [int(self.words[slot, _HEAD, _BLOCK_WORD])], ref)
            if sample is None:
                further = self._more.again(self._number, slot, _HEAD, _FURTHER)[:, 0]
                sample = self._block(slot, blocks, further.tolist(), ref)
            if sample is None:
                self.tally["fallback.haplotype"] += 1
            else:
                samples[slot] = sample
        return samples

    def _block(
        self, slot: int, blocks: Sequence[Block], words: Sequence[int], ref: WindowRef
    ) -> TrainingTuple | None:
        """The first block that can be taken, whole."""
        for index in dict.fromkeys([below(word, len(blocks)) for word in words]):
            block = blocks[index]
            if self._held is not None and self._held.holds_block(block.keys):
                self.tally[_REFUSED[Refusal.HELD_OUT]] += 1
                continue
            sample = tuple_of_variants(self.window, ref, slot, [call.called for call in block.calls])
            if isinstance(sample, TrainingTuple):
                return sample
            self.tally[_REFUSED[sample]] += 1
        return None

    def leads(self, sources: Sequence[EditSource], without: Container[int]) -> dict[int, WindowEdit]:
        """The first edit of every slot but some, none twice."""
        length = self.window.length
        asks = [
            _Ask(slot, 1, source, 0, length) for slot, source in enumerate(sources) if slot not in without
        ]
        taken: set[Replacement] = set()

        def refused(edit: WindowEdit) -> Refusal | None:
            return Refusal.OVERLAP if edit.change in taken else None

        leads = {}
        for ask in asks:
            edit = self._settle(ask, refused)
            if edit is not None:
                taken.add(edit.change)
                leads[ask.slot] = edit
        return leads

    def companions(
        self, several: Mapping[int, int], leads: Mapping[int, WindowEdit], options: TupleOptions
    ) -> dict[int, tuple[WindowEdit, ...]]:
        """The edits of every slot with a first edit that gets several, sorted by place."""
        groups = {slot: [leads[slot]] for slot in several if slot in leads}
        asks = []
        for slot, (lead,) in groups.items():
            before, *by_source = map(uniform, self.words[slot, :, _SOURCE_WORD].tolist())
            low = lead.rel.rel_pos - int(before * options.spread_bp)
            low = max(0, min(low, self.window.length - options.spread_bp))
            asks += [
                _Ask(slot, edit, options.mix.pick(by_source[edit - 1]), low, low + options.spread_bp)
                for edit in range(2, several[slot] + 1)
            ]
        for ask in asks:
            group = groups[ask.slot]
            edit = self._settle(ask, partial(self._beside, group))
            if edit is not None:
                group.append(edit)
        return {slot: self._cut(group, several[slot]) for slot, group in groups.items()}

    def _beside(self, group: Sequence[WindowEdit], edit: WindowEdit) -> Refusal | None:
        """Why an edit cannot be in one tuple with others."""
        if any(edit.touches(other) for other in group):
            return Refusal.OVERLAP
        held = self._held
        if held is not None and held.has_blocks and held.holds_together([e.rel for e in (*group, edit)]):
            return Refusal.HELD_OUT
        return None

    def _cut(self, group: list[WindowEdit], wanted: int) -> tuple[WindowEdit, ...]:
        if len(group) < wanted:
            self.tally["shortened"] += 1
            group = group[: max(n for n in (1, *MULTI_EDITS) if n <= len(group))]
        return tuple(sorted(group, key=lambda edit: edit.change.start))

    def _settle(self, ask: _Ask, refused: _Refused) -> WindowEdit | None:
        """The first proposal that can be taken: of the source that was asked, else a synthetic SNV."""
        slot, number, source, low, high = ask
        self.tally[_ASKED[source]] += 1
        sampler = self._samplers[source]
        proposed = sampler.propose(self.window, self.words[slot, number].tolist(), low, high)
        edit = None if proposed is None else self._taken(proposed, source, refused)
        if edit is not None:
            return edit
        words = self._more.again(self._number, slot, number, 2 * _FURTHER)
        if proposed is not None:
            edit = self._further(ask, source, words[:_FURTHER], refused)
        if edit is None:
            self.tally[_FALLBACK_OF[source]] += 1
            edit = self._further(ask, _FALLBACK, words[_FURTHER:], refused)
        return edit

    def _further(self, ask: _Ask, source: EditSource, words: UInt64, refused: _Refused) -> WindowEdit | None:
        """The first of some more proposals of a source that can be taken; none is looked at twice."""
        sampler = self._samplers[source]
        proposals = (sampler.propose(self.window, row.tolist(), ask.low, ask.high) for row in words)
        seen: set[RelEdit] = set()
        for proposed in proposals:
            if proposed is not None and proposed not in seen:
                seen.add(proposed)
                edit = self._taken(proposed, source, refused)
                if edit is not None:
                    return edit
        return None

    def _taken(self, proposed: RelEdit, source: EditSource, refused: _Refused) -> WindowEdit | None:
        """A proposal as it lies in the window, or None, which is counted."""
        placed = place(self.window, proposed, source)
        if isinstance(placed, WindowEdit):
            reason = refused(placed)
            if reason is None and self._held is not None and self._held.holds(proposed, placed.change):
                reason = Refusal.HELD_OUT
            if reason is None:
                return placed
        else:
            reason = placed
        self.tally[_REFUSED[reason]] += 1
        return None


def realised_mix(tally: Mapping[str, int]) -> dict[str, float]:
    """Share of every source among the edits of a tally."""
    drawn = {key.removeprefix("drawn."): n for key, n in tally.items() if key.startswith("drawn.")}
    total = sum(drawn.values())
    return {source: n / total for source, n in sorted(drawn.items())}
