"""What the state of an edit is read from: layer, radius, form of the rows, pooling and distance.

One pass of each cell keeps the rows of all layers around every edit; every combination is arithmetic on
them. Displacement is measured; likelihoods depend on none of these settings.

Letters of shapes: L layers, R radii, F forms of rows, C poolings, U distances, N variants, S phases,
D width. A *setting* is one combination of the five.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import Contract
from genolewm_core.scoring.branches import Branch, Spans, plan_pass
from genolewm_core.scoring.cells import Contig, Geometry, StrandView
from genolewm_train.studies.layers import LayerBackend, split_pack
from genolewm_train.studies.parts import Arrays
from genolewm_train.studies.variants import StudyCell

__all__ = [
    "AGREEMENT_SHIFTS",
    "DISTANCES",
    "FORMS",
    "POOLS",
    "Grid",
    "Setting",
    "displacements",
    "tokens_per_variant",
]

FORMS = ("normalised", "raw")
POOLS = ("span_mean", "centered_mean")
DISTANCES = ("unit", "plain")
RADII = (0, 8, 64, 256)
AGREEMENT_SHIFTS = (0, 2, 4)
MOST_PACK_TOK = 1_100

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to read the displacement of an edit.

    Attributes:
        layer: states are read after so many layers.
        radius: reference tokens besides the first.
        form: `normalised`: each row divided by its root mean square before pooling; `raw`: as it is.
        pool: `span_mean`: tokens c..c+r; `centered_mean`: c−r..c+r, of which the left half cannot change.
        distance: `unit`: between the pooled states' unit vectors; `plain`: between the states themselves.
    """

    layer: int
    radius: int
    form: str
    pool: str
    distance: str


@dataclass(frozen=True, slots=True)
class Grid:
    """The settings that are compared: every combination."""

    layers: tuple[int, ...]
    radii: tuple[int, ...]

    @classmethod
    def around(cls, contract: Contract, layers: Sequence[int]) -> Grid:
        """The given layers and the usual radii, those of the contract among them."""
        return cls(
            tuple(sorted({*layers, contract.state_layer})),
            tuple(sorted({*RADII, contract.radius_tok})),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(L, R, F, C, U)."""
        return len(self.layers), len(self.radii), len(FORMS), len(POOLS), len(DISTANCES)

    def settings(self) -> Iterator[Setting]:
        """In the order of the score arrays' axes."""
        for layer, radius, form, pool, distance in product(self.layers, self.radii, FORMS, POOLS, DISTANCES):
            yield Setting(layer, radius, form, pool, distance)


def displacements(
    backend: LayerBackend,
    contig: Contig,
    cell: StudyCell,
    contract: Contract,
    grid: Grid,
    shifts: Sequence[int],
) -> Arrays:
    """Displacement of a cell's edits in every setting, forward strand.

    Returns:
        `scores`: float64 (S, N, L, R, F, C, U), NaN for edits that re-cut the later six-mers and for those
        that cannot be told in a phase; `whole`: bool (N,), the widest span of every phase is free of N and
        not cut short.
    """
    geometry = Geometry(contract.window_bp, contract.cell_bp)
    view = StrandView(contig)
    edits = [edit.replacement for edit in cell.edits]
    shape = (
        len(shifts),
        len(edits),
        len(grid.layers),
        len(grid.radii),
        len(FORMS),
        len(POOLS),
        len(DISTANCES),
    )
    scores, whole = np.full(shape, np.nan), np.ones(len(edits), dtype=np.bool_)
    for at, shift in enumerate(shifts):
        window = geometry.window(cell.cell, view, shift)
        plans = [plan_pass(view, window, edits, _states_only(radius)) for radius in grid.radii]
        widest = plans[-1]
        whole &= [b is not None and not b.n_in_span and not b.truncated for b in widest.branches]
        prefix, trunk_LTD = backend.open_layers(widest.trunk)
        for number, pack in enumerate(widest.packs):
            for part, begin in split_pack(pack, MOST_PACK_TOK):
                rows_LND = backend.extend_layers(prefix, part)
                for i, branch in enumerate(widest.branches):
                    if branch is None or branch.pack != number or branch.out_of_phase:
                        continue
                    first = int(widest.pack_first[number][branch.slot]) - begin
                    if 0 <= first < len(part.token_ids):
                        spans = [plan.branches[i] for plan in plans]
                        alt_LND = rows_LND[:, first : first + branch.alt_state_tok]
                        scores[at, i] = _of_edit(trunk_LTD, alt_LND, spans, grid, backend.eps)
    return {"scores": scores, "whole": whole}


def tokens_per_variant(
    cells: Iterable[tuple[StudyCell, Contig]], contract: Contract, radii: Sequence[int]
) -> dict[int, float]:
    """Tokens that one pass with the default scores runs for a variant, by radius; nothing is run."""
    geometry = Geometry(contract.window_bp, contract.cell_bp)
    total, n = dict.fromkeys(radii, 0), 0
    for cell, contig in cells:
        view = StrandView(contig)
        window = geometry.window(cell.cell, view)
        edits = [edit.replacement for edit in cell.edits]
        n += len(edits)
        for radius in radii:
            total[radius] += plan_pass(view, window, edits, Spans(radius + 1, contract.ll_tok, True)).n_tok
    return {radius: round(tokens / n, 1) for radius, tokens in total.items()}


def _states_only(radius: int) -> Spans:
    return Spans(state_tok=radius + 1, ll_tok=0, marginal=False)


def _of_edit(
    trunk_LTD: npt.NDArray[np.float32],
    alt_LND: npt.NDArray[np.float32],
    spans: Sequence[Branch | None],
    grid: Grid,
    eps: float,
) -> Float:
    """(L, R, F, C, U) displacements of one edit."""
    found = np.full(grid.shape, np.nan)
    for r, (radius, span) in enumerate(zip(grid.radii, spans, strict=True)):
        if span is None:
            continue
        c = span.first_tok + 1  # row 0 is <dna>
        left = trunk_LTD[:, max(1, c - radius) : c].astype(np.float64)
        ref = trunk_LTD[:, c : c + span.ref_state_tok].astype(np.float64)
        alt = alt_LND[:, : span.alt_state_tok].astype(np.float64)
        for f, form in enumerate(FORMS):
            rows = [left, ref, alt]
            if form == "normalised":
                rows = [_divided(x, eps) for x in rows]
            for p, pool in enumerate(POOLS):
                kept = rows[0] if pool == "centered_mean" else rows[0][:, :0]
                a_LD, delta_LD = _pooled(kept, rows[1], rows[2])
                found[:, r, f, p] = np.stack(_distances(a_LD, delta_LD), axis=1)
    return found


def _divided(rows_LND: Float, eps: float) -> Float:
    return np.asarray(rows_LND / np.sqrt((rows_LND**2).mean(axis=-1, keepdims=True) + eps))


def _pooled(left_LND: Float, ref_LND: Float, alt_LND: Float) -> tuple[Float, Float]:
    """Mean of the reference's rows, and how far the edited allele's mean lies from it."""
    kept = left_LND.shape[1]
    shared = left_LND.sum(axis=1)
    n_ref, n_alt = kept + ref_LND.shape[1], kept + alt_LND.shape[1]
    mean = (shared + ref_LND.sum(axis=1)) / n_ref
    if n_ref == n_alt:
        return mean, (alt_LND - ref_LND).sum(axis=1) / n_ref
    return mean, (shared + alt_LND.sum(axis=1)) / n_alt - mean


def _distances(a_LD: Float, delta_LD: Float) -> tuple[Float, Float]:
    """Distance of the unit vectors of a + δ and a, as `heads.displacement` has it, and |δ|."""
    moved_L = np.linalg.norm(a_LD + delta_LD, axis=1)
    shrink_L = 1 - moved_L / np.linalg.norm(a_LD, axis=1)
    unit_L = np.linalg.norm(delta_LD + a_LD * shrink_L[:, None], axis=1) / moved_L
    return unit_L, np.linalg.norm(delta_LD, axis=1)
