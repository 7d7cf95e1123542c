"""Markov models of any order: what a language model of DNA has to beat.

Axis letters: N predicted bases, b = 4 bases in `sixmer.BASE_ORDER`.

Two forms. *Single order*: counts of the base after each k-mer plus a pseudo-count. *Interpolated*: from
order 0 up, each order's prediction is mixed with the one below; how much the counts are trusted is learnt
for every order, size of the context's count and number of different bases seen after it. Counts are taken
from both strands. Orders, pseudo-counts and mixing weights are chosen on a part of the training bases that
is left out of the counts for that purpose, then everything is counted again: the test bases choose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import TrainingError
from genolewm_train.training_sequence import reverse_complement

__all__ = ["ORDERS", "Fit", "KmerCounts", "fit", "predict_interpolated", "predict_single"]

ORDERS: tuple[int, ...] = (*range(17), 18, 20, 22, 24)
"""A k-mer and the base after it are packed in 64 bits, two a base, so 31 is the highest order possible."""

_ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_STRENGTHS = 2.0 ** np.arange(-5, 15)
_SIZES = 12
_DISTINCT = 5

Digits = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]


def _packed(digits: Digits, order: int) -> npt.NDArray[np.uint64]:
    """uint64 (len − order,): the k-mer before a base and that base, two bits each, first base highest."""
    n = len(digits) - order
    if n <= 0:
        return np.zeros(0, dtype=np.uint64)
    packed = np.zeros(n, dtype=np.uint64)
    for place in range(order + 1):
        packed <<= np.uint64(2)
        packed |= digits[place : place + n]
    return packed


class KmerCounts:
    """How often each base follows each k-mer.

    Args:
        pieces: digits, uint8; nothing is counted across the end of a piece.
        order: length of the context.
    """

    def __init__(self, pieces: Iterable[Digits], order: int) -> None:
        packed = np.concatenate(
            [
                _packed(strand, order)
                for piece in pieces
                for strand in (piece, np.ascontiguousarray(reverse_complement(piece)))
            ]
        )
        self.order = order
        self._dense = order <= 10
        if self._dense:
            self._counts = np.bincount(packed.astype(np.int64), minlength=4 ** (order + 1))
        else:
            packed.sort()
            first = np.flatnonzero(np.concatenate(([True], packed[1:] != packed[:-1])))
            first = first[: len(packed)]
            self._keys = packed[first]
            self._counts = np.diff(np.append(first, len(packed)))

    def after(self, contexts: npt.NDArray[np.uint64]) -> Float:
        """Counts of the four bases after each context; float64 (N, 4)."""
        if not self._dense and not len(self._keys):
            return np.zeros((len(contexts), 4))
        wanted = (contexts[:, None] << np.uint64(2)) | np.arange(4, dtype=np.uint64)
        if self._dense:
            return self._counts[wanted.astype(np.int64)].astype(np.float64)
        at = np.searchsorted(self._keys, contexts << np.uint64(2))[:, None] + np.zeros(4, dtype=np.int64)
        found = np.zeros(wanted.shape)
        # The up to four entries of a context lie side by side from its first place on.
        for base in range(4):
            if base:
                at[:, base] = at[:, base - 1] + (found[:, base - 1] > 0)
            place = np.minimum(at[:, base], len(self._keys) - 1)
            hit = self._keys[place] == wanted[:, base]
            found[:, base] = np.where(hit, self._counts[place], 0)
        return found


@dataclass(frozen=True)
class _Targets:
    """Bases to predict with all the context their piece gives; a context may be shorter than an order."""

    pieces: tuple[Digits, ...]

    def bases(self) -> npt.NDArray[np.int64]:
        return np.concatenate(self.pieces).astype(np.int64)

    def counts(self, counts: KmerCounts) -> tuple[Float, npt.NDArray[np.bool_]]:
        """Counts (N, 4) for every base, and which bases have a full context."""
        found, full = [], []
        for piece in self.pieces:
            short = min(counts.order, len(piece))
            contexts = _packed(piece, counts.order) >> np.uint64(2)
            found.append(np.concatenate([np.zeros((short, 4)), counts.after(contexts)]))
            full.append(np.arange(len(piece)) >= counts.order)
        return np.concatenate(found), np.concatenate(full)


@dataclass(frozen=True)
class Fit:
    """What was chosen on the left-out part of the training bases.

    Attributes:
        order: best single order.
        alpha: its pseudo-count.
        orders: orders of the interpolated model, ascending from 0.
        strengths: per order of the interpolated model, the weight of the lower order in every bucket.
        single_bits: order -> bits per base with that order's best pseudo-count, on the left-out part.
        interpolated_bits: highest order -> bits per base of the interpolated model, on the left-out part.
    """

    order: int
    alpha: float
    orders: tuple[int, ...]
    strengths: tuple[Float, ...]
    single_bits: dict[int, float]
    interpolated_bits: dict[int, float]


def _buckets(counts: Float) -> npt.NDArray[np.int64]:
    """Bucket of each context: floor(log2(count)) + 1 by number of different bases seen after it."""
    size = np.minimum(np.frexp(counts.sum(axis=1))[1], _SIZES - 1)
    return np.asarray(size * _DISTINCT + (counts > 0).sum(axis=1), dtype=np.int64)


def _mixed(counts: Float, lower: Float, strength: Float) -> Float:
    return np.asarray((counts + strength[:, None] * lower) / (counts.sum(axis=1) + strength)[:, None])


def fit(train: Sequence[Digits], left_out: Sequence[Digits], orders: Sequence[int] = ORDERS) -> Fit:
    """Chooses order, pseudo-count and mixing weights: counts from `train`, choice on `left_out`.

    Raises:
        TrainingError: there are no bases to choose on.
    """
    targets = _Targets(tuple(left_out))
    bases = targets.bases() if left_out else np.zeros(0, dtype=np.int64)
    if len(bases) == 0:
        raise TrainingError(
            "training-data-missing",
            "The Markov model has no bases to choose its order on.",
            expected="at least one left-out piece",
            found="none",
            next_step="give more training sequence",
        )
    rows = np.arange(len(bases))
    lower = np.full((len(bases), 4), 0.25)
    single: dict[int, tuple[float, float]] = {}
    interpolated: dict[int, float] = {}
    strengths = []
    for order in orders:
        counts, full = targets.counts(KmerCounts(train, order))
        right, total = counts[rows, bases], counts.sum(axis=1)
        single[order] = min((float(-np.log2((right + a) / (total + 4 * a)).mean()), a) for a in _ALPHAS)
        bucket = _buckets(counts)
        chosen = np.full(_SIZES * _DISTINCT, _STRENGTHS[-1])
        right_lower = lower[rows, bases]
        for index in np.unique(bucket[full]):
            inside = full & (bucket == index)
            losses = [
                -np.log((right[inside] + s * right_lower[inside]) / (total[inside] + s)).sum()
                for s in _STRENGTHS
            ]
            chosen[index] = _STRENGTHS[int(np.argmin(losses))]
        strengths.append(chosen)
        lower = np.where(full[:, None], _mixed(counts, lower, chosen[bucket]), lower)
        interpolated[order] = float(-np.log2(lower[rows, bases]).mean())
    best = min(single, key=lambda order: single[order][0])
    highest = min(interpolated, key=lambda order: interpolated[order])
    kept = tuple(order for order in orders if order <= highest)
    return Fit(
        order=best,
        alpha=single[best][1],
        orders=kept,
        strengths=tuple(strengths[: len(kept)]),
        single_bits={order: bits for order, (bits, _) in single.items()},
        interpolated_bits=interpolated,
    )


def predict_single(train: Sequence[Digits], test: Sequence[Digits], chosen: Fit) -> Float:
    """−log2 p of every test base under the best single order; float64 (N,)."""
    targets = _Targets(tuple(test))
    counts, _ = targets.counts(KmerCounts(train, chosen.order))
    right = counts[np.arange(len(counts)), targets.bases()]
    return np.asarray(-np.log2((right + chosen.alpha) / (counts.sum(axis=1) + 4 * chosen.alpha)))


def predict_interpolated(train: Sequence[Digits], test: Sequence[Digits], chosen: Fit) -> Float:
    """−log2 p of every test base under the interpolated model; float64 (N,)."""
    targets = _Targets(tuple(test))
    probs = np.full((sum(len(piece) for piece in test), 4), 0.25)
    for order, strength in zip(chosen.orders, chosen.strengths, strict=True):
        counts, full = targets.counts(KmerCounts(train, order))
        probs = np.where(full[:, None], _mixed(counts, probs, strength[_buckets(counts)]), probs)
    return np.asarray(-np.log2(probs[np.arange(len(probs)), targets.bases()]))
