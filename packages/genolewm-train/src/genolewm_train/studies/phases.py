"""How far scores depend on where the six-mers are cut and on the strand, and what averaging them out costs.

Every variant is scored in twelve passes: six phases on each of two strands. A *plan* is a choice of
`phases` and `strands` as the contract has it, and its score is the mean over its passes. How repeatable a
plan is comes from two means over disjoint sets of passes: a part agrees with its whole for no good reason.

Letters of shapes: P passes, H heads, N variants, C cells, B resamples.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import Contract
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.branches import plan_pass
from genolewm_core.scoring.cells import Contig, Geometry, Strand, StrandView
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions, run_pass
from genolewm_train.brca1 import HEAD_SIGNS
from genolewm_train.studies.parts import Arrays, by_group
from genolewm_train.studies.resampling import (
    auroc_B,
    correlation_B,
    draw,
    estimate,
    ranks_BN,
    spearman_brown,
)
from genolewm_train.studies.variants import StudyCell

__all__ = ["PLANS", "TIME_FACTORS", "PhaseResults", "Plan", "gather", "score_passes", "summarise"]

PASSES: tuple[tuple[Strand, int], ...] = (
    *(("+", shift) for shift in range(6)),
    *(("-", shift) for shift in range(6)),
)
TOP_SHARE = 0.05

TIME_FACTORS = {"H100": 60 / 33, "RTX 4090": 5 / 2.7, "M3 Max": 30 / 22}
"""Machine -> how many times the tokens of one phase fit its time for 100,000 variants.

Targets of 1, 5 and 30 minutes against 33 seconds, 2.7 and 22 minutes, which Carbon-500M needs at 151 tokens a
variant by its floating-point operations and half of each machine's peak: counted, not measured."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """A choice of passes: `phases` as in the contract, on one strand or on both."""

    phases: int
    strands: str

    @property
    def name(self) -> str:
        """As a table shows it."""
        strands = "one strand" if self.strands == "+" else "both strands"
        return f"{self.phases} phase{'s' if self.phases > 1 else ''}, {strands}"

    def sets(self) -> list[tuple[int, ...]]:
        """Disjoint sets of passes of this shape, as indices into `PASSES`; the first is the contract's own."""
        step = 6 // self.phases
        signs = (0,) if self.strands == "+" else (0, 6)
        return [
            tuple(sign + shift for sign in signs for shift in range(first, 6, step)) for first in range(step)
        ]


PLANS = tuple(Plan(phases, strands) for strands in ("+", "+-") for phases in (1, 2, 3, 6))


@dataclass(frozen=True, slots=True)
class PhaseResults:
    """Scores of one set of variants in all passes.

    Attributes:
        values_PHN: NaN where a score is not defined.
        edit_class, label, consequence: per variant; label is −1 where there is none.
        n_tok_P: of the scores that the product computes by default.
        seconds_CP: the same, by cell.
    """

    values_PHN: Float
    edit_class: npt.NDArray[np.str_]
    label: npt.NDArray[np.int8]
    consequence: npt.NDArray[np.str_]
    n_tok_P: npt.NDArray[np.int64]
    seconds_CP: Float


def score_passes(backend: Backend, contig: Contig, cell: StudyCell, contract: Contract) -> Arrays:
    """Scores of a cell's variants in every pass, with the tokens and seconds of each.

    The displacement of indels that re-cut the later six-mers needs trunks of its own; they are run after the
    clock has stopped, because the product leaves them out unless asked.
    """
    geometry = Geometry(contract.window_bp, contract.cell_bp)
    options = PassOptions(geometry, radius_tok=contract.radius_tok, ll_tok=contract.ll_tok)
    alone = replace(options, heads=("indel_displacement",))
    n = len(cell.edits)
    values_PHN = np.full((len(PASSES), len(HEADS), n), np.nan)
    n_tok, seconds = np.zeros(len(PASSES), np.int64), np.zeros(len(PASSES))
    for at, (strand, shift) in enumerate(PASSES):
        view = StrandView(contig, strand)
        window = geometry.window(cell.cell, view, shift)
        oriented = [view.orient(edit.replacement) for edit in cell.edits]
        order = np.array(
            sorted(range(n), key=[(o.start, o.end, o.alt) for o in oriented].__getitem__), dtype=np.intp
        )
        began = time.perf_counter()
        plan = plan_pass(view, window, [oriented[i] for i in order], options.spans)
        scores = run_pass(backend, plan, options.spans)
        seconds[at] = time.perf_counter() - began
        n_tok[at] = plan.n_tok
        for h, head in enumerate(HEADS):
            values_PHN[at, h, order] = scores[head]
        recut = [i for i in order if oriented[i].net % 6]
        if recut:
            plan = plan_pass(view, window, [oriented[i] for i in recut], alone.spans)
            scores = run_pass(backend, plan, alone.spans)
            values_PHN[at, HEADS.index("displacement"), recut] = scores["displacement"]
    return {"values": values_PHN, "n_tok": n_tok, "seconds": seconds}


def gather(results: Iterable[tuple[StudyCell, Arrays]]) -> dict[str, PhaseResults]:
    """Results of all cells by the name of their set."""
    found = {}
    for group, (edits, parts) in by_group(results).items():
        found[group] = PhaseResults(
            np.concatenate([arrays["values"] for arrays in parts], axis=2),
            np.array([edit.edit_class for edit in edits]),
            np.array([-1 if edit.label is None else int(edit.label) for edit in edits], dtype=np.int8),
            np.array([edit.consequence for edit in edits]),
            np.sum([arrays["n_tok"] for arrays in parts], axis=0),
            np.array([arrays["seconds"] for arrays in parts]),
        )
    return found


def summarise(results: Mapping[str, PhaseResults], resamples: int) -> dict[str, Any]:
    """Every number of the page.

    Args:
        results: by the sets' names: `personal`, `in_phase_indels` and `brca1`.
        resamples: bootstrap resamples.
    """
    agreement: dict[str, Any] = {}
    for name, (groups, edit_class) in _CLASSES.items():
        values_PHN = _of_class([results[g] for g in groups if g in results], edit_class)
        agreement[name] = {}
        for h, head in enumerate(HEADS):
            known_PN = values_PHN[:, h, ~np.isnan(values_PHN[:, h]).any(axis=0)]
            if known_PN.shape[1] >= _FEWEST:
                agreement[name][head] = _agreement(HEAD_SIGNS[head] * known_PN, resamples)
    return {
        "agreement": agreement,
        "cost": _cost(results["personal"]),
        "auroc": _brca1(results["brca1"], resamples),
        "budget": {machine: round(factor, 2) for machine, factor in TIME_FACTORS.items()},
    }


_FEWEST = 5
_CLASSES = {
    "substitution": (("personal",), "substitution"),
    "indel_in_phase": (("in_phase_indels",), "indel_in_phase"),
    "indel_out_of_phase": (("personal",), "indel_out_of_phase"),
    "brca1_substitution": (("brca1",), "substitution"),
}


def _of_class(results: Sequence[PhaseResults], edit_class: str) -> Float:
    return np.concatenate([r.values_PHN[:, :, r.edit_class == edit_class] for r in results], axis=2)


def _agreement(values_PN: Float, resamples: int) -> dict[str, Any]:
    """Agreement of passes and of plans on one class of edits; a larger value is a more unusual edit."""
    n = values_PN.shape[1]
    weights_BN = draw(n, resamples)
    held: dict[tuple[int, ...], npt.NDArray[np.float32]] = {}

    def ranks(passes: tuple[int, ...]) -> npt.NDArray[np.float32]:
        if passes not in held:
            held[passes] = ranks_BN(values_PN[list(passes)].mean(axis=0), weights_BN)
        return held[passes]

    def mean_of(pairs: Iterable[tuple[tuple[int, ...], tuple[int, ...]]]) -> tuple[Float, list[float]]:
        each = np.array([correlation_B(ranks(a), ranks(b)) for a, b in pairs])
        return each.mean(axis=0), [round(float(v), 4) for v in (each[:, 0].min(), each[:, 0].max())]

    forward, reverse = tuple(range(6)), tuple(range(6, 12))
    within = [((a,), (b,)) for strand in (forward, reverse) for a, b in combinations(strand, 2)]
    phases, phase_range = mean_of(within)
    strands, strand_range = mean_of(((a,), (b,)) for a in forward for b in reverse)
    every = (*forward, *reverse)
    plans = {}
    for plan in PLANS:
        own, *others = plan.sets()
        if others:
            repeat, _ = mean_of(combinations((own, *others), 2))
        else:
            half, _ = mean_of([tuple(replace(plan, phases=3).sets())])  # type: ignore[list-item]
            repeat = spearman_brown(half, 2)
        rest = tuple(sorted(set(every) - set(own)))
        plans[plan.name] = {
            "repeatability": estimate(repeat),
            "by_spearman_brown": not others,
            "with_all": estimate(correlation_B(ranks(own), ranks(every))),
            "with_rest": estimate(correlation_B(ranks(own), ranks(rest))) if rest else None,
            "top_overlap": _top_overlap(values_PN, own, rest) if rest else None,
        }
    return {
        "n": n,
        "phases": {**estimate(phases), "range": phase_range},
        "strands": {**estimate(strands), "range": strand_range},
        "strand_means": estimate(correlation_B(ranks(forward), ranks(reverse))),
        "plans": plans,
    }


def _top_overlap(values_PN: Float, own: Sequence[int], rest: Sequence[int]) -> float:
    """Share of the most unusual twentieth by `own` that is in the most unusual twentieth by `rest`."""
    size = max(1, int(TOP_SHARE * values_PN.shape[1] + 0.5))
    tops = [
        set(np.argsort(-values_PN[list(passes)].mean(axis=0), kind="stable")[:size].tolist())
        for passes in (own, rest)
    ]
    return round(len(tops[0] & tops[1]) / size, 4)


def _cost(personal: PhaseResults) -> dict[str, Any]:
    """Tokens a variant of a personal genome, and seconds relative to one pass, both from the same run.

    Seconds are compared cell by cell and the median is taken, so that a moment at which the machine had other
    work counts little.
    """
    n = personal.values_PHN.shape[2]
    first_C = personal.seconds_CP[:, 0]
    return {
        "n": n,
        "plans": {
            plan.name: {
                "tokens": round(float(personal.n_tok_P[list(plan.sets()[0])].sum()) / n, 1),
                "seconds": round(
                    float(np.median(personal.seconds_CP[:, list(plan.sets()[0])].sum(axis=1) / first_C)), 2
                ),
            }
            for plan in PLANS
        },
    }


def _brca1(brca1: PhaseResults, resamples: int) -> dict[str, Any]:
    """AUROC of every head and plan, and its difference from one phase on the same resamples."""
    labels = brca1.label == 1
    found: dict[str, Any] = {}
    for name, kept in (("missense", brca1.consequence == "Missense"), ("all", np.ones(len(labels), bool))):
        weights_BN = draw(int(kept.sum()), resamples, strata=labels[kept])
        found[name] = {"n": int(kept.sum()), "n_lof": int(labels[kept].sum())}
        for h, head in enumerate(HEADS):
            base: Float | None = None
            for plan in PLANS:
                mean = HEAD_SIGNS[head] * brca1.values_PHN[list(plan.sets()[0]), h][:, kept].mean(axis=0)
                area = auroc_B(mean, labels[kept], weights_BN)
                base = area if base is None else base
                found[name].setdefault(head, {})[plan.name] = {
                    **estimate(area),
                    "gain": estimate(area - base),
                }
    return found
