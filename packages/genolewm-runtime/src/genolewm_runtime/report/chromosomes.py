"""Where on the contigs the scored variants lie: density and marks, one track a contig."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

__all__ = ["Ideogram", "Track", "ideogram_of"]

UNITS = 1000
"""Width of the longest track, in its own units."""

_N_LEVELS = 4
_MAX_TRACKS = 30
_LEAST_CELL, _MOST_CELL = 4, 20
_PER_CELL = 5


@dataclass(frozen=True, slots=True)
class Track:
    """One contig.

    Attributes:
        width: of the track, in units.
        shades: for each level of density, 1 to 4, the path of its cells in a height of 1.
        marks: places of the high variants, in units.
    """

    chrom: str
    n: int
    n_high: int
    first_pos: int
    last_pos: int
    width: float
    shades: tuple[str, ...]
    marks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Ideogram:
    """All contigs on one scale.

    Attributes:
        start, end: positions at the two ends of the scale, 1-based.
        n_other_contigs, n_other: contigs without a track of their own, and the variants on them.
    """

    tracks: tuple[Track, ...]
    start: int
    end: int
    n_other_contigs: int
    n_other: int


def ideogram_of(scored: pl.DataFrame) -> Ideogram | None:
    """Tracks of the contigs with the most variants, in the usual order of chromosomes; None without rows.

    A table does not know the contigs' lengths: each track reaches to its last variant. One contig alone is
    shown from its first variant on, so that a slice of a chromosome fills the width.

    Args:
        scored: rows of `with_standing`.
    """
    if len(scored) == 0:
        return None
    groups = {str(name): rows for (name,), rows in scored.group_by("chrom", maintain_order=True)}
    kept = sorted(groups, key=lambda name: -len(groups[name]))[:_MAX_TRACKS]
    last = max(_extreme(groups[name], "max") for name in kept)
    start = _extreme(groups[kept[0]], "min") if len(kept) == 1 else 0
    scale = UNITS / max(last - start, 1)
    # As fine as the density allows: cells of one variant or none would show where there is none by chance.
    drawn = sum((_extreme(groups[name], "max") - start) * scale for name in kept)
    cell = int(min(max(_PER_CELL * drawn / len(scored), _LEAST_CELL), _MOST_CELL))
    tracks = tuple(_track(name, groups[name], start, scale, cell) for name in sorted(kept, key=contig_order))
    return Ideogram(
        tracks=tracks,
        start=start,
        end=last,
        n_other_contigs=len(groups) - len(kept),
        n_other=len(scored) - sum(track.n for track in tracks),
    )


def contig_order(name: str) -> tuple[int, int, str]:
    """1, 2, … 22, X, Y, M, then all others by name; with or without `chr`."""
    bare = re.sub(r"^chr", "", name, flags=re.IGNORECASE)
    if bare.isascii() and bare.isdigit() and len(bare) <= 3:
        return (0, int(bare), name)
    special = {"X": 1, "Y": 2, "M": 3, "MT": 3}.get(bare.upper())
    return (2, 0, name) if special is None else (1, special, name)


def _track(chrom: str, rows: pl.DataFrame, start: int, scale: float, cell: int) -> Track:
    places = (rows["pos"].to_numpy() - start) * scale
    width = max(round(float(places.max()), 2), 2.0)
    cells = np.minimum(places // cell, max(np.ceil(width / cell) - 1, 0)).astype(np.int64)
    counts = np.bincount(cells)
    # Levels by the contig's own fullest cell: the scale says where on it variants lie, not how many.
    levels = np.ceil(np.sqrt(counts / counts.max()) * _N_LEVELS).astype(np.int64)
    marks = np.unique(np.round(places[rows["high"].to_numpy()], 1))
    return Track(
        chrom=chrom,
        n=len(rows),
        n_high=int(rows["high"].sum()),
        first_pos=_extreme(rows, "min"),
        last_pos=_extreme(rows, "max"),
        width=width,
        shades=tuple(_cells_path(levels == level, width, cell) for level in range(1, _N_LEVELS + 1)),
        marks=tuple(float(mark) for mark in marks),
    )


def _cells_path(inside: np.ndarray[tuple[int], np.dtype[np.bool_]], width: float, cell: int) -> str:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(np.int8)))
    spans = [(int(a) * cell, min(int(b) * cell, width)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return "".join(f"M{a} 0H{b:g}V1H{a}z" for a, b in spans)


def _extreme(rows: pl.DataFrame, which: str) -> int:
    found = rows["pos"].min() if which == "min" else rows["pos"].max()
    return int(found)  # type: ignore[arg-type]
