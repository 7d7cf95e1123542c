"""Batches of what is held out, for validation: finite, in a fixed order, the same each time and in any job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from torch.utils.data import IterableDataset

from genolewm_core.scoring.states import Encoding
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.loader.batch import TrainingBatch
from genolewm_data.loader.columns import BuiltWindow, batch_of
from genolewm_data.loader.opened import Opened, OpensStates, Shares, this_worker
from genolewm_data.release.evaluated import BlocksIn, Group, GroupsIn, VariantsIn, elsewhere
from genolewm_data.release.release import Release
from genolewm_data.samplers import EditableWindow, EditSource, TableSampler, VariantTable
from genolewm_data.tuples import (
    TrainingTuple,
    TupleBuilder,
    TupleOptions,
    WindowRef,
    WindowTuples,
    tuple_of_variants,
)

__all__ = ["CLINVAR", "HAPLOTYPES", "GenoLeWMValDataset"]

CLINVAR = "clinvar"
"""The hold-out whose windows have a tuple for each evaluation variant."""

HAPLOTYPES = "haplotypes"
"""The hold-out whose windows have a tuple for each held-out block."""


class _Batch(NamedTuple):
    holdout: str
    numbers: tuple[int, ...]


class GenoLeWMValDataset(IterableDataset[TrainingBatch]):
    """Batches of a release's validation windows, each of one hold-out, which it names.

    Windows of held-out regions have tuples like those of training, of the variants that validation may use. A window
    for `clinvar` has one tuple for each evaluation variant, and one for `haplotypes` one for each held-out block,
    whole; windows may overlap, and what lies in several of the same hold-out is the first one's that it can be edited
    in; the others count it (`tally["repeated"]`).

    Batch b goes to rank b mod R, and worker w of n makes every n-th of a rank's.

    Args:
        release: a built release.
        rank, world_size: of this process in the job.
        windows_per_batch: at most; a hold-out's last batch may be smaller.
        options: of the tuples, instead of the release's own.
        states, encoding: see `GenoLeWMDataset`.

    Raises:
        ConfigError: `config-invalid`.
        InputError: `dataset-invalid`, `training-data-missing`.
    """

    def __init__(
        self,
        release: Release,
        *,
        rank: int = 0,
        world_size: int = 1,
        windows_per_batch: int = 32,
        options: TupleOptions | None = None,
        states: OpensStates | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        super().__init__()
        self.options = options or release.options
        self._release = release
        self._shares = Shares(rank, world_size, windows_per_batch)
        self._opened = Opened(release, "validation", self.options, states, encoding)
        numbers: dict[str, list[int]] = {}
        for number, name in enumerate(self._opened.windows().holdouts()):
            numbers.setdefault(name, []).append(number)
        self.n_windows = Counter({name: len(held) for name, held in sorted(numbers.items())})
        """Windows of each hold-out, over all ranks."""
        self._batches = [
            _Batch(name, tuple(numbers[name][i : i + windows_per_batch]))
            for name in self.n_windows
            for i in range(0, len(numbers[name]), windows_per_batch)
        ]
        self._makers = _Makers(release, self.options, self._opened, numbers)

    @property
    def n_batches(self) -> int:
        """Batches of this rank."""
        return len(self._mine())

    def __iter__(self) -> Iterator[TrainingBatch]:
        worker, n_workers = this_worker()
        for batch in self._mine()[worker::n_workers]:
            built = [self._makers.built(batch.holdout, number) for number in batch.numbers]
            yield batch_of(built, self.options.radius_tok, self._opened.states(), holdout=batch.holdout)

    def _mine(self) -> list[_Batch]:
        return self._batches[self._shares.rank :: self._shares.world_size]


class _Makers:
    """Makes the tuples of validation windows, by the hold-out that they are for."""

    def __init__(
        self, release: Release, options: TupleOptions, opened: Opened, numbers: dict[str, list[int]]
    ) -> None:
        self._opened = opened
        tables = [
            TableSampler(source, release.variants("validation", source) or VariantTable.of([]))
            for source in options.mix.sources
            if source in ("gnomad", "clinvar")
        ]
        self._builder = TupleBuilder(options, tables)
        self._groups: dict[str, GroupsIn] = {
            CLINVAR: VariantsIn(release.variants("validation", "clinvar") or VariantTable.of([])),
            HAPLOTYPES: BlocksIn(release.haplotypes("validation") or HaplotypeTable({})),
        }
        self._elsewhere = {
            name: elsewhere(((number, *self._window(number)) for number in numbers.get(name, ())), groups)
            for name, groups in self._groups.items()
        }

    def built(self, holdout: str, number: int) -> BuiltWindow:
        opened, ref = self._window(number)
        if holdout not in self._groups:
            built = self._builder.build_in(opened, ref, number)
        else:
            source: EditSource = "clinvar" if holdout == CLINVAR else "haplotype"
            built = _given(
                opened, ref, self._groups[holdout](opened), source, self._elsewhere[holdout][number]
            )
        return BuiltWindow(opened, ref, number, built)

    def _window(self, number: int) -> tuple[EditableWindow, WindowRef]:
        window = self._opened.windows()[number]
        return EditableWindow.of(window, self._builder.margin_bp), WindowRef.of(window)


def _given(
    window: EditableWindow,
    ref: WindowRef,
    groups: Iterable[Group],
    source: EditSource,
    others: Container[int],
) -> WindowTuples:
    """One tuple of each group of variants, but for those at places that are another window's."""
    tally: Counter[str] = Counter()
    samples: list[TrainingTuple] = []
    for place, variants in enumerate(groups):
        if place in others:
            tally["repeated"] += 1
            continue
        tally[f"asked.{source}"] += 1
        sample = tuple_of_variants(window, ref, len(samples), variants, source)
        if not isinstance(sample, TrainingTuple):
            tally[f"refused.{sample}"] += 1
            continue
        tally[f"edits.{len(sample.edits)}"] += 1
        tally[f"drawn.{source}"] += len(sample.edits)
        samples.append(sample)
    return WindowTuples(tuple(samples), tally)
