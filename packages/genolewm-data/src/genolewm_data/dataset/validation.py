"""Windows of what is held out, for validation: laid out as those of training, the first ones of a shuffled order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import ConfigError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.holding import CLINVAR, EVALUATION, HAPLOTYPES, labelled
from genolewm_data.dataset.regions import regions_of
from genolewm_data.dataset.tables import Reach
from genolewm_data.dataset.windows import layout_of
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import Intervals, chromosome
from genolewm_data.parts import Touches
from genolewm_data.placed import PlacedStream
from genolewm_data.release.evaluated import BlocksIn, Group, Taken, VariantsIn
from genolewm_data.release.windows import StoredWindow, WindowTable, write_windows
from genolewm_data.samplers import EditableWindow, VariantTable, edge_margin
from genolewm_data.tuples import WindowRef

__all__ = ["VALIDATION_FILE", "WrittenValidation", "reach_of", "write_validation"]

VALIDATION_FILE = "windows/validation.parquet"

_DEFAULT = ("chr21", CLINVAR, HAPLOTYPES)


@dataclass(frozen=True, slots=True)
class WrittenValidation:
    """What was written.

    Attributes:
        windows: by hold-out.
        groups: evaluation variants and held-out blocks that there is a tuple of, by hold-out.
    """

    windows: dict[str, int]
    groups: Mapping[str, Set[Group]]


def write_validation(
    config: DatasetConfig, reference: Reference, held: HeldOut, folder: Path, blocks: Path
) -> WrittenValidation:
    """Write the windows of validation; one window may be there for several hold-outs.

    Raises:
        ConfigError: `config-invalid`, for a hold-out that was asked for and has no window.
    """
    counts: Counter[str] = Counter()
    groups: dict[str, Set[Group]] = {}

    def windows() -> Iterator[tuple[StoredWindow, str]]:
        for name, wanted in _wanted(config, reference, held, blocks):
            stream = PlacedStream(
                config.reference.path,
                layout_of(config),
                regions=_regions(config, reference, wanted),
                max_n_share=0.0 if config.windows.placed is None else config.windows.placed.max_n_share,
                held_out=_Unwanted(wanted),
                seed=config.seed,
            )
            if isinstance(wanted, _WithGroups):
                groups[name] = wanted.taken.groups
            for window in islice(filter(wanted.takes, stream), config.validation.windows_per_holdout):
                counts[name] += 1
                yield window, name

    with publishing(folder / VALIDATION_FILE) as temporary:
        write_windows(temporary, windows())
    empty = [name for name in config.validation.holdouts or () if not counts[name]]
    if empty and config.validation.windows_per_holdout:
        raise _refused("a hold-out that has windows on this reference", ", ".join(empty))
    return WrittenValidation(dict(counts), groups)


def reach_of(folder: Path, names: Container[str], margin_bp: int) -> Reach:
    """Where the edits of the windows of some hold-outs may lie."""
    table = WindowTable([folder / VALIDATION_FILE])
    spans: dict[str, list[tuple[int, int]]] = {}
    for number, name in enumerate(table.holdouts()):
        window = table[number]
        if name in names and isinstance(window, ReferenceWindow):
            spans.setdefault(window.contig, []).append((window.start + margin_bp, window.end - margin_bp))
    return Reach(spans)


def _wanted(
    config: DatasetConfig, reference: Reference, held: HeldOut, blocks: Path
) -> Iterator[tuple[str, _Wanted]]:
    """Hold-outs to make windows of, and what says that a window is one."""
    margin = edge_margin(config.edits.radius_tok)
    names = _DEFAULT if config.validation.holdouts is None else config.validation.holdouts
    for name in names:
        if name == CLINVAR and config.holdouts.clinvar is not None:
            found = labelled(config.holdouts.clinvar, EVALUATION, reference.contigs)
            yield name, _WithGroups.of_variants(VariantTable.of(found), margin)
        elif name == HAPLOTYPES and config.holdouts.haplotypes is not None:
            yield name, _WithGroups.of_blocks(HaplotypeTable.read(blocks), margin)
        elif name in held.regions:
            yield name, _Inside(held.regions[name])
        elif config.validation.holdouts is not None:
            raise _refused(f"{CLINVAR}, {HAPLOTYPES} or one of {', '.join(sorted(held.regions))}", name)


def _regions(config: DatasetConfig, reference: Reference, wanted: _Wanted) -> list[Region]:
    """Where wanted windows can lie, so that nobody has to look at all the others."""
    asked: dict[str, list[tuple[int, int]]] = {}
    for contig, start, end in regions_of(config.validation.regions, reference):
        asked.setdefault(contig, []).append((start, end))
    names = {chromosome(name): name for name in reference.contigs}
    near = wanted.near(config.windows.window_bp)
    return [Region(names[contig], start, end) for contig, start, end in Intervals.of(asked).both(near)]


class _Wanted(Protocol):
    """Says which windows are of a hold-out."""

    def touches(self, contig: str, start: int, end: int) -> bool:
        """Whether a window is."""
        ...

    def takes(self, window: ReferenceWindow) -> bool:
        """Whether a window that is has something to validate with that those before it have not."""
        ...

    def near(self, window_bp: int) -> Intervals:
        """Bases that hold every such window, and perhaps others."""
        ...


@dataclass(frozen=True, slots=True)
class _Unwanted:
    """Tells a stream to leave out all windows but the wanted ones."""

    wanted: Touches

    def touches(self, contig: str, start: int, end: int) -> bool:
        return not self.wanted.touches(contig, start, end)


@dataclass(frozen=True, slots=True)
class _Inside:
    """Windows all of whose bases are held out."""

    bases: Intervals

    def touches(self, contig: str, start: int, end: int) -> bool:
        return self.bases.overlap_bp(contig, start, end) == end - start

    def takes(self, window: ReferenceWindow) -> bool:
        return True

    def near(self, window_bp: int) -> Intervals:
        return self.bases


@dataclass(frozen=True, slots=True)
class _WithGroups:
    """Windows with an evaluation variant or a held-out block that no window before them has a tuple of.

    Attributes:
        places: contig to 0-based half-open stretches of the groups, sorted.
        taken: by the windows so far.
        margin_bp: see `edge_margin`.
    """

    places: Mapping[str, Sequence[tuple[int, int]]]
    taken: Taken
    margin_bp: int

    @classmethod
    def of_variants(cls, table: VariantTable, margin_bp: int) -> _WithGroups:
        places = {
            contig: [
                (start, start + n_bp)
                for start, n_bp in zip(held.start.tolist(), held.ref_len.tolist(), strict=True)
            ]
            for contig, held in table.contigs.items()
        }
        return cls(places, Taken(VariantsIn(table)), margin_bp)

    @classmethod
    def of_blocks(cls, table: HaplotypeTable, margin_bp: int) -> _WithGroups:
        places: dict[str, list[tuple[int, int]]] = {}
        for block in table.counts:
            called = [call.called for call in block.calls]
            places.setdefault(called[0].chrom, []).append((called[0].start, max(one.end for one in called)))
        return cls(
            {contig: sorted(found) for contig, found in places.items()}, Taken(BlocksIn(table)), margin_bp
        )

    def touches(self, contig: str, start: int, end: int) -> bool:
        places, last = self.places.get(contig, ()), end - self.margin_bp
        at = bisect_left(places, (start + self.margin_bp, 0))
        while at < len(places) and places[at][0] < last:
            if places[at][1] <= last:
                return True
            at += 1
        return False

    def takes(self, window: ReferenceWindow) -> bool:
        return bool(self.taken.take(EditableWindow.of(window, self.margin_bp), WindowRef.of(window)))

    def near(self, window_bp: int) -> Intervals:
        return Intervals.of(
            {
                contig: [(max(0, start - window_bp), start + window_bp) for start, _ in held]
                for contig, held in self.places.items()
            }
        )


def _refused(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "config-invalid",
        "Windows of validation cannot be made of a hold-out.",
        where="validation.holdouts",
        expected=expected,
        found=found,
        next_step="correct the configuration, or leave validation.holdouts out",
    )
