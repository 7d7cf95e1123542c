"""Score all edits of one cell: every strand and phase is a pass, and a score is the mean over the passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.backend import Backend, Rows
from genolewm_core.scoring.branches import PassPlan, Spans, plan_pass
from genolewm_core.scoring.cells import Contig, Geometry, Strand, StrandView
from genolewm_core.scoring.heads import CHOICES, HEADS, Float64, score_pass, spans_of

__all__ = ["CellScores", "PassOptions", "run_pass", "score_cell"]

PHASE_SHIFTS: dict[int, tuple[int, ...]] = {1: (0,), 2: (0, 3), 3: (0, 2, 4), 6: (0, 1, 2, 3, 4, 5)}


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What is computed for every edit; part of what a score depends on.

    Attributes:
        geometry: windows and cells.
        heads: names out of `CHOICES`.
        radius_tok, ll_tok: spans, as in the model's contract.
        both_strands: also read the reverse complement.
        phases: 1, 2, 3 or 6 six-mer phases.
    """

    geometry: Geometry
    heads: tuple[str, ...] = HEADS
    radius_tok: int = 8
    ll_tok: int = 9
    both_strands: bool = False
    phases: int = 1

    def __post_init__(self) -> None:
        if self.phases not in PHASE_SHIFTS:
            raise ConfigError(
                "config-invalid",
                "This number of six-mer phases is not offered.",
                where="phases",
                expected="1, 2, 3 or 6",
                found=str(self.phases),
            )
        unknown = [name for name in self.heads if name not in CHOICES]
        if unknown or not self.heads:
            raise ConfigError(
                "config-invalid",
                "There is no such score.",
                where="heads",
                expected=", ".join(CHOICES),
                found=", ".join(unknown) or "none",
            )

    @property
    def spans(self) -> Spans:
        """Which rows the heads read."""
        return spans_of(self.heads, radius_tok=self.radius_tok, ll_tok=self.ll_tok)

    @property
    def strands(self) -> tuple[Strand, ...]:
        """Strands to read."""
        return ("+", "-") if self.both_strands else ("+",)


@dataclass(frozen=True, slots=True)
class CellScores:
    """Scores of a cell's edits, in the order of the replacements.

    Attributes:
        values: head -> float64 (n,), NaN where undefined.
        told: bool (n,), the edit changed a readable six-mer in at least one pass.
        n_in_span, truncated: bool (n,), in any pass.
        n_tok: tokens run through the model.
    """

    values: dict[str, Float64]
    told: np.ndarray[tuple[int], np.dtype[np.bool_]]
    n_in_span: np.ndarray[tuple[int], np.dtype[np.bool_]]
    truncated: np.ndarray[tuple[int], np.dtype[np.bool_]]
    n_tok: int


def score_cell(
    backend: Backend, contig: Contig, cell: int, replacements: Sequence[Replacement], options: PassOptions
) -> CellScores:
    """Score the edits whose loci lie in one cell.

    Args:
        backend: the model.
        contig: the reference.
        cell: index of the cell.
        replacements: right-shifted along the forward strand, none twice, in any order.
        options: what to compute.

    Returns:
        Scores in the order of `replacements`. The packs depend on the set of replacements only.
    """
    n = len(replacements)
    total = {name: np.zeros(n) for name in HEADS}
    count = {name: np.zeros(n) for name in HEADS}
    told, in_span, truncated = (np.zeros(n, dtype=np.bool_) for _ in range(3))
    n_tok = 0
    for strand in options.strands:
        view = StrandView(contig, strand)
        oriented = [view.orient(r) for r in replacements]
        order = sorted(range(n), key=lambda i: (oriented[i].start, oriented[i].end, oriented[i].alt))
        edits = [oriented[i] for i in order]
        for shift in PHASE_SHIFTS[options.phases]:
            window = options.geometry.window(cell, view, shift)
            plan = plan_pass(view, window, edits, options.spans)
            values = run_pass(backend, plan, options.spans)
            n_tok += plan.n_tok
            for name in HEADS:
                defined = ~np.isnan(values[name])
                total[name][order] += np.where(defined, values[name], 0.0)
                count[name][order] += defined
            for i, branch in zip(order, plan.branches, strict=True):
                if branch is not None:
                    told[i] = True
                    in_span[i] |= branch.n_in_span
                    truncated[i] |= branch.truncated
    means = {
        name: np.divide(total[name], count[name], out=np.full(n, np.nan), where=count[name] > 0)
        for name in HEADS
    }
    return CellScores(means, told, in_span, truncated, n_tok)


def run_pass(backend: Backend, plan: PassPlan, spans: Spans) -> dict[str, Float64]:
    """Run a plan on a backend and score its edits; head -> float64 (number of replacements,)."""
    if all(branch is None for branch in plan.branches):
        nothing = Rows(np.zeros((0, backend.d_state), np.float32), np.zeros((0, 4096), np.float32))
        return score_pass(plan, spans, nothing, [], {})
    # Before the trunk, so that only one trunk's keys and values are held at a time.
    matched = {shift: backend.open(t).rows for shift, t in plan.matched.items()}
    prefix = backend.open(plan.trunk)
    packs = (backend.extend(prefix, pack) for pack in plan.packs)
    return score_pass(plan, spans, prefix.rows, packs, matched)
