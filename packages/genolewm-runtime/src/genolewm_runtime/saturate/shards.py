"""Regions cut into shards of cells, and a shard scored to a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Seat
from genolewm_core.logs import emit
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_core.scoring.saturation import ALT_ORDER, CellSubstitutions, saturate_cell
from genolewm_runtime import guard
from genolewm_runtime.run_log import log_shard
from genolewm_runtime.shards import ShardOutcome
from genolewm_runtime.writers.table import write_shard_table

__all__ = [
    "SCHEMA",
    "SaturateWork",
    "Shard",
    "ShardFile",
    "base_outcomes",
    "shards_of",
    "substitutions_of",
]

MAX_SHARD_CELLS = 16
"""A shard is the unit of resuming, and a worker holds one: 300,000 substitutions where cells have 6,144 bases."""

SCHEMA: dict[str, type[pl.DataType]] = {
    "chrom": pl.String,
    "pos": pl.Int64,
    "ref": pl.String,
    "alt": pl.String,
    "marginal_llr": pl.Float32,
    "reason": pl.String,
}
"""Columns of the table: docs/formats/saturation.md."""

UNREADABLE = "sixmer_unreadable"
NOT_CALLED = "reference_n"

_LETTERS = pl.Series(list(ALT_ORDER), dtype=pl.String)
_INDEX = np.full(256, -1, dtype=np.int8)
for _at, _base in enumerate(ALT_ORDER):
    _INDEX[ord(_base)] = _at


@dataclass(frozen=True, slots=True)
class Shard:
    """Regions, in order, whose cells lie in no other shard."""

    index: int
    regions: tuple[Region, ...]

    @property
    def n_bp(self) -> int:
        """Bases of the shard."""
        return sum(r.end - r.start for r in self.regions)


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard, and where its file shall lie."""

    shard: Shard
    path: Path


@dataclass(frozen=True, slots=True)
class SaturateWork:
    """What a process loads to score shards; see `genolewm_core.jobs.Work`.

    Attributes:
        guard_level: what closes the network: a worker installs the same and refuses to start with less.
        loaded: a model that this process holds already; not to be sent to workers.
    """

    model: Path
    reference: Path
    backend: str
    options: PassOptions
    guard_level: str
    loaded: Backend | None = None

    def start(self, seat: Seat) -> Callable[[ShardFile], ShardOutcome]:
        """Load the model and open the reference."""
        if seat.worker and self.guard_level != "none":
            guard.install(allow_unenforced=self.guard_level == "python-only")
        started = time.monotonic()
        reference = Reference(self.reference)
        backend = self.loaded or load_backend(
            self.backend, ModelDirectory.open(self.model), threads=seat.cpus
        )
        emit("model_loaded", backend=self.backend, worker=seat.worker, seconds=time.monotonic() - started)
        return lambda task: self._score(task, reference, backend)

    def _score(self, task: ShardFile, reference: Reference, backend: Backend) -> ShardOutcome:
        started = time.monotonic()
        counts: Counter[tuple[str, str | None]] = Counter()
        tables = [pl.DataFrame(schema=SCHEMA)]
        n_tok = 0
        held: tuple[str, CellSubstitutions] | None = None
        cell_bp = self.options.geometry.cell_bp
        for piece in _by_cell(task.shard.regions, cell_bp):
            first = piece.start // cell_bp * cell_bp
            if held is None or (held[0], held[1].start) != (piece.contig, first):
                contig = reference.contig(piece.contig)
                held = piece.contig, saturate_cell(backend, contig, first // cell_bp, self.options)
                n_tok += held[1].n_tok
            counts.update(base_outcomes(held[1], piece))
            tables.append(substitutions_of(held[1], piece))
        outcome = ShardOutcome(task.shard.index, dict(counts), task.shard.n_bp, n_tok, self.guard_level)
        write_shard_table(task.path, pl.concat(tables), outcome.to_json())
        log_shard(outcome, time.monotonic() - started)
        return outcome


def shards_of(regions: Iterable[Region], cell_bp: int) -> Iterator[Shard]:
    """Cut regions, merged and in order, at borders of cells."""
    held: list[Region] = []
    index = n_cells = 0
    last: tuple[str, int] | None = None
    for piece in _by_cell(regions, cell_bp):
        cell = piece.contig, piece.start // cell_bp
        if cell != last:
            if n_cells == MAX_SHARD_CELLS:
                yield Shard(index, tuple(held))
                held, index, n_cells = [], index + 1, 0
            n_cells, last = n_cells + 1, cell
        if held and held[-1].contig == piece.contig and held[-1].end == piece.start:
            held[-1] = held[-1]._replace(end=piece.end)
        else:
            held.append(piece)
    if held:
        yield Shard(index, tuple(held))


def base_outcomes(cell: CellSubstitutions, region: Region) -> dict[tuple[str, str | None], int]:
    """Bases of a region of a cell by (status, reason), as in a score table."""
    called, scored = _outcomes(cell, region)
    counts = {
        ("scored", None): int(scored.sum()),
        ("skipped", UNREADABLE): int((called & ~scored).sum()),
        ("skipped", NOT_CALLED): int((~called).sum()),
    }
    return {key: n for key, n in counts.items() if n}


def substitutions_of(cell: CellSubstitutions, region: Region) -> pl.DataFrame:
    """The rows of a region of a cell: three for each called base, by position and alternate base."""
    place = slice(region.start - cell.start, region.end - cell.start)
    ref_L = _INDEX[cell.ref[place]]
    base_R, alt_R = np.nonzero((ref_L[:, None] >= 0) & (np.arange(len(ALT_ORDER)) != ref_L[:, None]))
    _, scored = _outcomes(cell, region)
    llr = pl.Series(cell.llr[place][base_R, alt_R], dtype=pl.Float32, nan_to_null=True)
    reasons = pl.Series([UNREADABLE, None], dtype=pl.String)
    columns = {
        "chrom": pl.repeat(region.contig, len(base_R), dtype=pl.String, eager=True),
        "pos": pl.Series(base_R + (region.start + 1), dtype=pl.Int64),
        "ref": _LETTERS.gather(ref_L[base_R].astype(np.uint32)),
        "alt": _LETTERS.gather(alt_R.astype(np.uint32)),
        "marginal_llr": llr,
        "reason": reasons.gather(scored[base_R].astype(np.uint32)),
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _outcomes(cell: CellSubstitutions, region: Region) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which bases of a region are called, and which of them have scores."""
    place = slice(region.start - cell.start, region.end - cell.start)
    called = _INDEX[cell.ref[place]] >= 0
    return called, called & ~np.isnan(cell.llr[place]).all(axis=1)


def _by_cell(regions: Iterable[Region], cell_bp: int) -> Iterator[Region]:
    for region in regions:
        start = region.start
        while start < region.end:
            end = min(region.end, (start // cell_bp + 1) * cell_bp)
            yield region._replace(start=start, end=end)
            start = end
