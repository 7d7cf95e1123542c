"""Windows of what is held out, for validation: laid out as those of training, the first ones of a shuffled order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import ConfigError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.holding import CLINVAR, EVALUATION, HAPLOTYPES, labelled
from genolewm_data.dataset.regions import regions_of
from genolewm_data.dataset.windows import layout_of
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import Intervals, chromosome
from genolewm_data.parts import Touches
from genolewm_data.placed import PlacedStream
from genolewm_data.release.windows import StoredWindow, write_windows
from genolewm_data.samplers import edge_margin

__all__ = ["VALIDATION_FILE", "write_validation"]

VALIDATION_FILE = "windows/validation.parquet"

_DEFAULT = ("chr21", CLINVAR, HAPLOTYPES)


def write_validation(
    config: DatasetConfig, reference: Reference, held: HeldOut, folder: Path, blocks: Path
) -> dict[str, int]:
    """Write the windows of validation; one window may be there for several hold-outs.

    Returns:
        Windows by hold-out.

    Raises:
        ConfigError: `config-invalid`, for a hold-out that was asked for and has no window.
    """
    counts: Counter[str] = Counter()

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
            for window in islice(stream, config.validation.windows_per_holdout):
                counts[name] += 1
                yield window, name

    with publishing(folder / VALIDATION_FILE) as temporary:
        write_windows(temporary, windows())
    empty = [name for name in config.validation.holdouts or () if not counts[name]]
    if empty and config.validation.windows_per_holdout:
        raise _refused("a hold-out that has windows on this reference", ", ".join(empty))
    return dict(counts)


def _wanted(
    config: DatasetConfig, reference: Reference, held: HeldOut, blocks: Path
) -> Iterator[tuple[str, _Wanted]]:
    """Hold-outs to make windows of, and what says that a window is one."""
    margin = edge_margin(config.edits.radius_tok)
    names = _DEFAULT if config.validation.holdouts is None else config.validation.holdouts
    for name in names:
        if name == CLINVAR and config.holdouts.clinvar is not None:
            found = labelled(config.holdouts.clinvar, EVALUATION, reference.contigs)
            yield name, _WithVariants.of(found, margin)
        elif name == HAPLOTYPES and config.holdouts.haplotypes is not None:
            yield name, _WithBlocks(HaplotypeTable.read(blocks), margin)
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

    def near(self, window_bp: int) -> Intervals:
        return self.bases


@dataclass(frozen=True, slots=True)
class _WithVariants:
    """Windows with a variant that an edit may be."""

    starts: dict[str, Sequence[int]]
    margin_bp: int

    @classmethod
    def of(cls, variants: Iterable[Variant], margin_bp: int) -> _WithVariants:
        starts: dict[str, list[int]] = {}
        for variant in variants:
            starts.setdefault(variant.chrom, []).append(variant.start)
        return cls({contig: sorted(held) for contig, held in starts.items()}, margin_bp)

    def touches(self, contig: str, start: int, end: int) -> bool:
        starts = self.starts.get(contig, ())
        at = bisect_left(starts, start + self.margin_bp)
        return at < len(starts) and starts[at] < end - self.margin_bp

    def near(self, window_bp: int) -> Intervals:
        return Intervals.of({name: _around(starts, window_bp) for name, starts in self.starts.items()})


@dataclass(frozen=True, slots=True)
class _WithBlocks:
    """Windows with a haplotype block that a tuple may be."""

    table: HaplotypeTable
    margin_bp: int

    def touches(self, contig: str, start: int, end: int) -> bool:
        return bool(self.table.between(contig, start + self.margin_bp, end - self.margin_bp))

    def near(self, window_bp: int) -> Intervals:
        starts: dict[str, list[int]] = {}
        for block in self.table.counts:
            starts.setdefault(block.calls[0].called.chrom, []).append(block.calls[0].called.start)
        return Intervals.of({name: _around(found, window_bp) for name, found in starts.items()})


def _around(starts: Iterable[int], window_bp: int) -> list[tuple[int, int]]:
    return [(max(0, start - window_bp), start + window_bp) for start in starts]


def _refused(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "config-invalid",
        "Windows of validation cannot be made of a hold-out.",
        where="validation.holdouts",
        expected=expected,
        found=found,
        next_step="correct the configuration, or leave validation.holdouts out",
    )
