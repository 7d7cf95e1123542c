"""Scores of edits from the rows and log-probabilities of one pass.

`displacement` asks how far the state moves, `delta_ll` how much less likely the sequence becomes,
`marginal_llr` how much less likely the six-mer of a substitution is than the reference's. Definitions:
docs/scores.md. Everything is computed in double precision from the backend's single-precision rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from genolewm_core.scoring.backend import Rows
from genolewm_core.scoring.branches import Branch, PassPlan, Spans, matched_tok
from genolewm_core.scoring.sixmer import K, base_log_marginals

__all__ = ["CHOICES", "HEADS", "displacement", "score_pass", "spans_of"]

HEADS = ("marginal_llr", "delta_ll", "displacement")
"""Names of the scores, in the order of the output's columns."""

CHOICES = (*HEADS, "indel_displacement")
"""What can be asked for. `indel_displacement` fills `displacement` for edits that re-cut the later six-mers
too; it costs one more trunk per needed phase of a cell, which nearly doubles the tokens of a personal genome,
and such edits' default score is `delta_ll`."""

Float64 = npt.NDArray[np.float64]

_PLACES = np.arange(K)


def spans_of(heads: Sequence[str], *, radius_tok: int, ll_tok: int) -> Spans:
    """Which rows a choice of heads needs."""
    return Spans(
        state_tok=radius_tok + 1 if {"displacement", "indel_displacement"} & set(heads) else 0,
        ll_tok=ll_tok if "delta_ll" in heads else 0,
        marginal="marginal_llr" in heads,
        matched="indel_displacement" in heads,
    )


def score_pass(
    plan: PassPlan,
    spans: Spans,
    trunk: Rows,
    packs: Iterable[Rows],
    matched: Mapping[int, Rows],
) -> dict[str, Float64]:
    """Scores of every edit of a pass.

    Args:
        plan: what was run.
        spans: the spans that the plan was made with.
        trunk: rows of `plan.trunk`.
        packs: rows of `plan.packs`, in order. Each is dropped before the next but one is taken, so an iterator
            that runs the packs as it goes never holds a whole cell's rows.
        matched: rows of `plan.matched`, by the same keys.

    Returns:
        head -> float64 (number of replacements,); NaN where the score is not defined for the edit or the
        edit cannot be told in this phase.
    """
    scores = {name: np.full(len(plan.branches), np.nan) for name in HEADS}
    members: list[list[tuple[int, Branch]]] = [[] for _ in plan.packs]
    for i, branch in enumerate(plan.branches):
        if branch is None:
            continue
        if spans.marginal:
            scores["marginal_llr"][i] = _marginal_llr(plan, branch, trunk)
        if plan.packs:
            members[branch.pack].append((i, branch))
    for held, pack in zip(members, packs, strict=True):
        for i, branch in held:
            if spans.ll_tok:
                scores["delta_ll"][i] = _delta_ll(plan, branch, trunk, pack)
            if spans.state_tok:
                scores["displacement"][i] = _displacement_of(plan, branch, trunk, pack, matched)
    return scores


def displacement(ref_mean: Float64, delta: Float64) -> float:
    """Distance of the unit vectors of a + δ and a, without subtracting two rounded unit vectors.

    Args:
        ref_mean: a, the mean row of the reference, (D,).
        delta: δ, the mean row of the edited allele minus a, (D,).
    """
    moved = float(np.linalg.norm(ref_mean + delta))
    shrink = 1.0 - moved / float(np.linalg.norm(ref_mean))
    return float(np.linalg.norm(delta + ref_mean * shrink)) / moved


def _displacement_of(
    plan: PassPlan, branch: Branch, trunk: Rows, pack: Rows, matched: Mapping[int, Rows]
) -> float:
    first = _pack_row(plan, branch, plan.packs[branch.pack].state_rows)
    alt = pack.states[first : first + branch.alt_state_tok]
    if branch.out_of_phase:
        # Every six-mer to the right is cut elsewhere, which moves states as far as an edit does. So only
        # the tokens to the right are compared, with a trunk that cuts the same bases the same way.
        alt = alt[branch.after_tok :]
        shift = -branch.net % K
        if len(alt) == 0 or shift not in matched:
            return float("nan")
        rows, states = plan.matched[shift].state_rows, matched[shift].states
        begin = int(np.searchsorted(rows, matched_tok(branch) + 1))
    else:
        rows, states = plan.trunk.state_rows, trunk.states
        begin = int(np.searchsorted(rows, branch.first_tok + 1))
    n_ref = len(alt) if branch.out_of_phase else branch.ref_state_tok
    ref = states[begin : begin + n_ref].astype(np.float64)
    if branch.net == 0 or branch.out_of_phase:
        delta = (alt - ref).mean(axis=0)
    else:
        delta = alt.astype(np.float64).mean(axis=0) - ref.mean(axis=0)
    return displacement(ref.mean(axis=0), delta)


def _marginal_llr(plan: PassPlan, branch: Branch, trunk: Rows) -> float:
    """log p(alt six-mer) − log p(ref six-mer), for a substitution inside one six-mer."""
    if not branch.in_one_tok:
        return float("nan")
    log_probs = trunk.log_probs[np.searchsorted(plan.trunk.log_prob_rows, branch.first_tok)]
    return float(np.float64(log_probs[branch.codes[0]]) - np.float64(log_probs[plan.codes[branch.first_tok]]))


def _delta_ll(plan: PassPlan, branch: Branch, trunk: Rows, pack: Rows) -> float:
    begin = int(np.searchsorted(plan.trunk.log_prob_rows, branch.first_tok))
    ref_LV = trunk.log_probs[begin : begin + branch.ref_ll_tok]
    first = _pack_row(plan, branch, plan.packs[branch.pack].log_prob_rows)
    # The trunk's row before the branch predicts the first token of both alleles.
    alt_LV = np.concatenate([ref_LV[:1], pack.log_probs[first : first + max(branch.alt_ll_tok - 1, 0)]])
    ref = plan.codes[branch.first_tok : branch.first_tok + branch.ref_ll_tok]
    alt = branch.codes[: branch.alt_ll_tok]
    if branch.net == 0:
        known = (ref >= 0) & (alt >= 0)
        places = np.flatnonzero(known)
        gain = alt_LV[places, alt[places]].astype(np.float64) - ref_LV[places, ref[places]]
        return float(gain.sum())
    return _mean_base_ll(alt_LV[: len(alt)], alt) - _mean_base_ll(ref_LV, ref)


def _mean_base_ll(log_probs_LV: npt.NDArray[np.float32], codes: npt.NDArray[np.int32]) -> float:
    """Mean log-likelihood of a base under the factorised nucleotide marginals, over the called six-mers."""
    places = np.flatnonzero(codes >= 0)
    if len(places) == 0:
        return float("nan")
    marginals_LKB = base_log_marginals(log_probs_LV[places])
    digits_LK = (codes[places][:, None] >> (2 * (K - 1 - _PLACES))[None, :]) & 3
    picked = np.take_along_axis(marginals_LKB, digits_LK[:, :, None].astype(np.int64), axis=2)
    return float(picked.mean())


def _pack_row(plan: PassPlan, branch: Branch, rows: npt.NDArray[np.int64]) -> int:
    """Index, among a pack's wanted rows, of a branch's first token."""
    return int(np.searchsorted(rows, plan.pack_first[branch.pack][branch.slot]))
