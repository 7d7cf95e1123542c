"""How much a saturation is, before it is begun: bases, cells, tokens; and time and size out of one measured cell."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_core.scoring.saturation import ALT_ORDER, saturate_cell
from genolewm_core.scoring.sixmer import K
from genolewm_runtime.saturate.shards import substitutions_of
from genolewm_runtime.saturate.tables import PARQUET, TEXT, write_text

__all__ = ["LARGE_BP", "Amount", "Rate", "amount_of", "measure"]

LARGE_BP = 10_000_000
"""Bases from which on a run shows its plan and asks first: minutes on the embedded model, days on a large one."""

_LONG_S = 5.0
_MOSTLY = 0.9
_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Amount:
    """What there is to do.

    Attributes:
        n_bp: bases of the regions; N are among them, so that there are at most `n_snv` substitutions.
        n_cells: cells that the regions lie in.
        n_tok: tokens to run, at most: six-mers of N are left out where they lead a window.
    """

    n_bp: int
    n_cells: int
    n_tok: int

    @property
    def n_snv(self) -> int:
        """Substitutions, at most."""
        return 3 * self.n_bp


@dataclass(frozen=True, slots=True)
class Rate:
    """What one cell took on this machine, on all cores: network, table, text and compression.

    Attributes:
        tok_per_s: tokens a second.
        bytes_per_snv: ending of a file -> bytes in it for one substitution.
    """

    tok_per_s: float
    bytes_per_snv: dict[str, float]


def amount_of(regions: Sequence[Region], reference: Reference, options: PassOptions) -> Amount:
    """Count bases, cells and tokens; reads no bases."""
    n_cells = n_tok = 0
    for contig, cell in _cells(regions, options.geometry.cell_bp):
        n_cells += 1
        n_tok += _cell_tok(cell, reference.contigs[contig], options)
    return Amount(sum(r.end - r.start for r in regions), n_cells, n_tok)


def measure(
    regions: Sequence[Region], reference: Reference, options: PassOptions, backend: Backend
) -> Rate | None:
    """Time one cell of the regions; None where none has six-mers to read."""
    found = _called_cell(regions, reference, options)
    if found is None:
        return None
    contig, cell = found
    seconds, rate = _timed(reference, contig, cell, options, backend)
    if seconds < _LONG_S:  # the first pass of a session also prepares it
        seconds, rate = _timed(reference, contig, cell, options, backend)
    return rate if rate.tok_per_s else None


def _timed(
    reference: Reference, contig: str, cell: int, options: PassOptions, backend: Backend
) -> tuple[float, Rate]:
    started = time.perf_counter()
    result = saturate_cell(backend, reference.contig(contig), cell, options)
    table = substitutions_of(result, Region(contig, result.start, result.start + len(result.ref)))
    parquet, text = io.BytesIO(), io.BytesIO()
    table.write_parquet(parquet, compression="zstd")
    write_text(iter([table]), text)
    seconds = time.perf_counter() - started
    sizes = {PARQUET: parquet.tell() / len(table), TEXT: text.tell() / len(table)}
    return seconds, Rate(result.n_tok / seconds, sizes)


def _called_cell(
    regions: Sequence[Region], reference: Reference, options: PassOptions
) -> tuple[str, int] | None:
    """The first of some cells all along the regions that is mostly called, or the best of them."""
    ends = np.cumsum([r.end - r.start for r in regions])
    best, most = None, 0
    for place in np.linspace(0, ends[-1], _CANDIDATES, endpoint=False).astype(np.int64):
        number = int(np.searchsorted(ends, place, side="right"))
        contig = regions[number].contig
        cell = options.geometry.cell(regions[number].end - int(ends[number] - place))
        start = cell * options.geometry.cell_bp
        end = min(start + options.geometry.cell_bp, reference.contigs[contig])
        bases = reference.contig(contig).fetch(start, end)
        called = sum(map(bases.count, ALT_ORDER))
        if called > most:
            best, most = (contig, cell), called
        if called >= _MOSTLY * options.geometry.cell_bp:
            break
    return best


def _cells(regions: Sequence[Region], cell_bp: int) -> Iterator[tuple[str, int]]:
    last: tuple[str, int] | None = None
    for region in regions:
        for cell in range(region.start // cell_bp, (region.end - 1) // cell_bp + 1):
            if (region.contig, cell) != last:
                last = region.contig, cell
                yield last


def _cell_tok(cell: int, length_bp: int, options: PassOptions) -> int:
    """Tokens of a cell's trunks without N: six-mers from the window's start to the cell's end."""
    geometry = options.geometry
    start = cell * geometry.cell_bp
    end = min(start + geometry.cell_bp, length_bp)
    left = {"+": min(start, geometry.left_bp), "-": min(length_bp - end, geometry.left_bp)}
    return options.phases * sum(-(-(end - start + left[strand]) // K) for strand in options.strands)
