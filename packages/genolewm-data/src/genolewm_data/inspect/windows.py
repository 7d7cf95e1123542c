"""Where the windows of a release are from and where they lie; read without their bases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_data.holdouts.held import WHOLE_CONTIG, HeldOut
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.release.release import SPLITS, Release
from genolewm_data.release.windows import PLACED

__all__ = ["N_CELLS", "Track", "WindowFacts", "gather_windows", "sample_of"]

N_CELLS = 200
"""Cells of the longest contig's track."""

_COLUMNS = ["origin", "name", "start", "holdout"]


@dataclass(frozen=True, slots=True)
class Track:
    """One contig with placed windows.

    Attributes:
        length_bp: as far as windows or hold-outs reach; the release does not know where the contig ends.
        train, validation: windows that begin in each cell of `WindowFacts.cell_bp` bases.
        held: (start, end) of what is held out, 0-based half-open; a contig held out as a whole ends at `length_bp`.
        held_whole: whether it is held out as a whole.
    """

    contig: str
    length_bp: int
    train: tuple[int, ...]
    validation: tuple[int, ...]
    held: tuple[tuple[int, int], ...]
    held_whole: bool

    @property
    def held_bp(self) -> int:
        """Bases held out."""
        return sum(end - start for start, end in self.held)


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Windows of all splits, every one of them.

    Attributes:
        by_origin: split to origin to windows.
        by_holdout: windows of validation by the hold-out that they are for.
        touching: windows of training that have bases of a hold-out, by hold-out.
        tracks: contigs with windows, in their usual order.
        cell_bp: bases of a cell of the tracks.
        held_elsewhere: contigs that have no windows, and something held out.
    """

    by_origin: Mapping[str, Mapping[str, int]]
    by_holdout: Mapping[str, int]
    touching: Mapping[str, int]
    tracks: tuple[Track, ...]
    cell_bp: int
    held_elsewhere: tuple[str, ...]

    def n(self, split: str) -> int:
        """Windows of a split."""
        return sum(self.by_origin[split].values())


def gather_windows(release: Release) -> WindowFacts:
    """Count and place all windows.

    Raises:
        InputError: `dataset-invalid` or `holdouts-invalid`.
    """
    window_bp = release.manifest.window_bp
    by_origin: dict[str, Counter[str]] = {}
    by_holdout: Counter[str] = Counter()
    starts: dict[str, dict[str, list[int]]] = {}
    for split in SPLITS:
        by_origin[split] = Counter()
        starts[split] = {}
        for path in release.windows(split).paths:
            for batch in _batches(path):
                by_origin[split].update(batch["origin"].to_pylist())
                if split == "validation":
                    by_holdout.update(batch["holdout"].to_pylist())
                placed = batch.filter(pc.equal(batch["origin"], PLACED))
                for name, start in zip(placed["name"].to_pylist(), placed["start"].to_pylist(), strict=True):
                    starts[split].setdefault(name, []).append(start)
    held = release.held_out
    touching: Counter[str] = Counter()
    for name, places in starts["train"].items():
        for start in places:
            touching.update(held.touched(name, start, start + window_bp))
    ends: Counter[str] = Counter()
    for of_split in starts.values():
        for name, places in of_split.items():
            ends[name] = max(ends[name], max(places) + window_bp)
    tracks, cell_bp = _tracks(starts, ends, held)
    return WindowFacts(
        by_origin={split: dict(sorted(counts.items())) for split, counts in by_origin.items()},
        by_holdout=dict(sorted(by_holdout.items())),
        touching=dict(sorted(touching.items())),
        tracks=tracks,
        cell_bp=cell_bp,
        held_elsewhere=_elsewhere(ends, held),
    )


def sample_of(n: int, wanted: int, seed: int = 0) -> list[int]:
    """Up to `wanted` numbers below `n`, ascending, one in each of as many equal stretches; all where there are fewer.

    Their place in the stretch is drawn: at equal steps a sample would fall in with the cycle of the mix.
    """
    if wanted >= n:
        return list(range(n))
    edges = [i * n // wanted for i in range(wanted + 1)]
    words = np.random.Philox(seed).random_raw(wanted).tolist()
    return [low + word % (high - low) for (low, high), word in zip(pairwise(edges), words, strict=True)]


def _batches(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(65_536, columns=_COLUMNS):
                yield pa.table([_plain(column) for column in batch.columns], names=_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            "dataset-invalid",
            "A file of windows cannot be read.",
            where=str(path),
            found=type(error).__name__,
            next_step="check the release with: geno-lewm dataset verify",
        ) from None


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _tracks(
    starts: Mapping[str, Mapping[str, list[int]]], ends: Mapping[str, int], held: HeldOut
) -> tuple[tuple[Track, ...], int]:
    regions: dict[str, list[tuple[int, int]]] = {}
    whole: set[str] = set()
    for bases in held.regions.values():
        for name, start, end in bases:
            if (start, end) == WHOLE_CONTIG:
                whole.add(name)
            else:
                regions.setdefault(name, []).append((start, end))
    names = {chromosome(name): name for name in ends}
    lengths = {
        name: max([ends[name], *(end for _, end in regions.get(key, []))]) for key, name in names.items()
    }
    cell_bp = max(1, -(-max(lengths.values(), default=1) // N_CELLS))
    tracks = []
    for key, name in sorted(names.items(), key=lambda item: _order(item[0])):
        length = lengths[name]
        n_cells = -(-length // cell_bp)
        train, validation = (
            np.bincount(np.asarray(starts[split].get(name, []), dtype=np.int64) // cell_bp, minlength=n_cells)
            for split in SPLITS
        )
        tracks.append(
            Track(
                contig=name,
                length_bp=length,
                train=tuple(train.tolist()),
                validation=tuple(validation.tolist()),
                held=((0, length),) if key in whole else tuple(_joined(regions.get(key, []))),
                held_whole=key in whole,
            )
        )
    return tuple(tracks), cell_bp


def _elsewhere(ends: Mapping[str, int], held: HeldOut) -> tuple[str, ...]:
    names = {name for bases in held.regions.values() for name in bases.by_contig}
    return tuple(sorted(names - set(map(chromosome, ends)), key=_order))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _order(name: str) -> tuple[int, int, str]:
    """Chromosomes by number, then X, Y, the mitochondrion, then all others by name."""
    bare = re.sub(r"^chr", "", name)
    if bare.isascii() and bare.isdigit() and len(bare) <= 3:
        return (0, int(bare), name)
    return (1, ["X", "Y", "M", "MT"].index(bare), name) if bare in ("X", "Y", "M", "MT") else (2, 0, name)
