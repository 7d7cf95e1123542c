"""Rank correlation and AUROC with bootstrap intervals over variants, computed for all resamples at once.

A resample is a row of weights: how often each variant was drawn. Row 0 is the data as it is, so that every
statistic comes as a vector whose first entry is the value. Ranks are taken anew in every resample.

Letters of shapes: B resamples and the data themselves, N variants.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import EvaluationError

__all__ = ["Estimate", "auroc_B", "correlation_B", "draw", "estimate", "ranks_BN", "spearman_brown"]

Float = npt.NDArray[np.float64]
Estimate = dict[str, float]


def draw(n: int, resamples: int, *, strata: npt.NDArray[np.bool_] | None = None, seed: int = 0) -> Float:
    """Weights (1 + resamples, n); row 0 is all ones. The number drawn within each of two `strata` stays."""
    rng = np.random.default_rng(seed)
    weights = np.ones((resamples + 1, n))
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata), np.flatnonzero(~strata)]
    for members in groups:
        if len(members):
            weights[1:, members] = rng.multinomial(
                len(members), np.full(len(members), 1 / len(members)), size=resamples
            )
    return weights


def ranks_BN(values: Float, weights_BN: Float) -> npt.NDArray[np.float32]:
    """Standardised mid-ranks of every resample, times the root of the weights.

    The scalar product of two such rows is the Spearman correlation in that resample. A resample that drew
    one value only has rank variance 0 and gives zeros.
    """
    order, starts, group = _tied(values)
    drawn = np.add.reduceat(weights_BN[:, order], starts, axis=1)
    rank = np.cumsum(drawn, axis=1) - (drawn - 1) / 2
    total = weights_BN.sum(axis=1, keepdims=True)
    centred = (rank - (total + 1) / 2)[:, group]
    weighted = centred * np.sqrt(weights_BN)
    length = np.sqrt((weighted**2).sum(axis=1, keepdims=True))
    unit = np.divide(weighted, length, out=np.zeros_like(weighted), where=length > 0)
    return np.asarray(unit, dtype=np.float32)


def correlation_B(a_BN: npt.NDArray[np.float32], b_BN: npt.NDArray[np.float32]) -> Float:
    """Spearman correlation of two variables in every resample, from `ranks_BN` with the same weights."""
    return np.asarray(np.einsum("bn,bn->b", a_BN, b_BN, dtype=np.float64))


def auroc_B(scores: Float, labels: npt.NDArray[np.bool_], weights_BN: Float) -> Float:
    """Area under the ROC curve in every resample; ties count half.

    Raises:
        EvaluationError: `training-data-missing`, one of the classes is empty.
    """
    if labels.all() or not labels.any():
        raise EvaluationError(
            "training-data-missing",
            "Two classes are to be told apart, and one of them is empty.",
            expected="variants of both classes",
            found=f"{int(labels.sum())} of one class among {len(labels)} variants",
            next_step="ask for more with --variants",
        )
    order, starts, _ = _tied(scores)
    positive = np.add.reduceat(weights_BN[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(weights_BN[:, order] * ~labels[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * below).sum(axis=1)
    return np.asarray(won / pairs)


def estimate(values_B: Float) -> Estimate:
    """Value and 95 % percentile interval, to four places."""
    low, high = np.percentile(values_B[1:], [2.5, 97.5])
    return {"value": _rounded(values_B[0]), "low": _rounded(low), "high": _rounded(high)}


def spearman_brown(reliability: Float, factor: float) -> Float:
    """Reliability of a mean of `factor` times as many parallel measurements."""
    return np.asarray(factor * reliability / (1 + (factor - 1) * reliability))


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _tied(values: Float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Ascending order, where each group of equal values starts in it, and each variant's group."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    group = np.empty(len(values), dtype=np.intp)
    group[order] = np.cumsum(new) - 1
    return order, np.flatnonzero(new), group
