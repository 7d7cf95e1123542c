"""Percentiles of scores among common variants: buckets, back-off and the ensemble.

A raw score means nothing by itself. A calibrated one says which share of common variants, of the same edit
class and as far as possible in the same surroundings, scores lower. Common variants are those that many
people carry, so a high percentile says "unusual among what is common" and no more.

Buckets are edit class, six-mer offset, region, GC and repeat, joined by `|`. Where fewer than 1,000 common
variants stand behind a bucket, factors are dropped from the right, never the edit class (design: RFC-0009
section "calibration"; docs/calibration.md). A class with fewer is compared with synthetic edits, and says so.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from genolewm_core.artifacts.manifest import Contract, ModelDirectory
from genolewm_core.scoring.context import Context
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions

__all__ = [
    "CALIBRATED_HEADS",
    "MIN_ROWS",
    "Bucket",
    "Calibrated",
    "CalibrationKey",
    "CalibrationTable",
    "Regression",
    "bucket_chain",
    "key_of",
    "unusualness",
]

MIN_ROWS = 1_000
"""Fewest common variants that a bucket is used with."""

LOW_ROWS = 100
"""Below this number of common variants a percentile is marked as of low confidence."""

CALIBRATED_HEADS = (*HEADS, "ensemble")
_NORMAL = NormalDist()
_ANY = "*"
_GC_NAMES = ("low", "mid", "high")


@dataclass(frozen=True, slots=True)
class CalibrationKey:
    """Everything that changes a score; a table serves scores of exactly its key.

    Attributes:
        weights_sha256: digest of the model's weights.
        contract: the model's contract, with the strands and phases that were used.
        backend: name of the compute library.
    """

    weights_sha256: str
    contract: Contract
    backend: str


def key_of(model: ModelDirectory, options: PassOptions, backend: str) -> CalibrationKey:
    """The key of scores that are computed with these options."""
    contract = {
        **asdict(model.manifest.contract),
        "window_bp": options.geometry.window_bp,
        "cell_bp": options.geometry.cell_bp,
        "radius_tok": options.radius_tok,
        "ll_tok": options.ll_tok,
        "strands": "+-" if options.both_strands else "+",
        "phases": options.phases,
    }
    return CalibrationKey(model.manifest.weights_sha256, Contract(**contract), backend)


@dataclass(frozen=True, slots=True)
class Regression:
    """log(displacement) = intercept + slope * left_tok among common variants of a class."""

    intercept: float
    slope: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """The scores of the variants behind a bucket.

    Attributes:
        n_rows: common variants; 0 for a synthetic null.
        n_synthetic: synthetic edits; 0 where common variants are enough.
        grids: head or "ensemble" -> its unusualness at evenly spaced ranks, rising.
    """

    n_rows: int
    n_synthetic: int
    grids: Mapping[str, tuple[float, ...]]

    def percentile(self, head: str, value: float) -> float | None:
        """Share of the bucket's variants below a value; None when the head was not calibrated.

        Never 0 nor 1: n variants cannot say more than half a variant's share at either end.
        """
        grid = self.grids.get(head)
        if grid is None:
            return None
        edge = 0.5 / (self.n_rows or self.n_synthetic)
        return min(max(_rank(grid, value), edge), 1.0 - edge)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A score among those of common variants. Columns of the output; see docs/formats/scores.md."""

    sigma_calibrated: float | None
    bucket_id: str
    confidence: float
    low_confidence: bool
    ensemble: float | None


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """The buckets of one key.

    Attributes:
        gc_edges: the two GC shares between low, mid and high.
        regressions: edit class -> how displacement depends on the length of left context.
        buckets: bucket id -> bucket; every class has at least its root, `class|*|*|*|*`.
        about: what it was built from, for people.
    """

    key: CalibrationKey
    gc_edges: tuple[float, float]
    regressions: Mapping[str, Regression]
    buckets: Mapping[str, Bucket]
    about: Mapping[str, Any]

    def calibrate(
        self,
        edit_class: str,
        head: str | None,
        scores: Mapping[str, float | None],
        context: Context,
        region: str | None,
    ) -> Calibrated | None:
        """Compare an edit's scores with those of common variants.

        Args:
            edit_class: of the edit.
            head: the default score of its class; None when it was not computed.
            scores: head -> score; None where it was not computed or is not defined.
            context: what surrounds the edit.
            region: region class of an annotation; None without one.

        Returns:
            None when the table knows nothing of the class.
        """
        found = self.bucket(edit_class, context, region)
        if found is None:
            return None
        name, bucket = found
        regression = self.regressions.get(edit_class)
        unusual = {
            head: unusualness(head, value, context.left_tok, regression)
            for head, value in scores.items()
            if value is not None
        }
        percentile = bucket.percentile(head, unusual[head]) if head is not None and head in unusual else None
        return Calibrated(
            sigma_calibrated=percentile,
            bucket_id=name if bucket.n_rows else f"synthetic:{name}",
            confidence=min(bucket.n_rows / MIN_ROWS, 1.0),
            low_confidence=bucket.n_rows < LOW_ROWS,
            ensemble=ensemble_percentile(bucket, unusual),
        )

    def bucket(self, edit_class: str, context: Context, region: str | None) -> tuple[str, Bucket] | None:
        """The most particular bucket there is for an edit, with its id."""
        for name in bucket_chain(edit_class, context, region, self.gc_edges):
            bucket = self.buckets.get(name)
            if bucket is not None:
                return name, bucket
        return None


def ensemble_percentile(bucket: Bucket, unusual: Mapping[str, float]) -> float | None:
    """The mean probit of displacement's and delta_ll's percentiles, calibrated again."""
    z = ensemble_value(bucket, unusual)
    return None if z is None else bucket.percentile("ensemble", z)


def ensemble_value(bucket: Bucket, unusual: Mapping[str, float]) -> float | None:
    """Mean probit of the percentiles of displacement and delta_ll; None where one is missing."""
    if "displacement" not in unusual or "delta_ll" not in unusual:
        return None
    parts = [bucket.percentile(head, unusual[head]) for head in ("displacement", "delta_ll")]
    if any(part is None for part in parts):
        return None
    return sum(_NORMAL.inv_cdf(part) for part in parts if part is not None) / len(parts)


def unusualness(head: str, value: float, left_tok: int, regression: Regression | None) -> float:
    """A score turned so that more is less expected: −delta_ll, −marginal_llr, and the log of displacement less
    what the length of left context explains."""
    if head != "displacement":
        return -value
    logged = math.log(max(value, 1e-12))
    return logged if regression is None else logged - regression.intercept - regression.slope * left_tok


def bucket_chain(
    edit_class: str, context: Context, region: str | None, gc_edges: tuple[float, float]
) -> list[str]:
    """Ids of an edit's buckets, the most particular first, the class's root last.

    Nothing to the right of an unknown factor can be told apart.
    """
    gc = _GC_NAMES[(context.gc > gc_edges[0]) + (context.gc > gc_edges[1])]
    factors: list[str] = [str(context.offset)]
    if region is not None:
        factors += [region, gc, context.repeat]
    return [
        "|".join((edit_class, *factors[:n], *(_ANY for _ in range(4 - n))))
        for n in range(len(factors), -1, -1)
    ]


def _rank(grid: Sequence[float], value: float) -> float:
    """Rank of a value among evenly spaced quantiles, 0 to 1; the middle of its ties."""
    low, high = bisect_left(grid, value), bisect_right(grid, value)
    last = len(grid) - 1
    if low < high:
        return (low + high - 1) / 2 / last
    if low == 0:
        return 0.0
    if low > last:
        return 1.0
    below, above = grid[low - 1], grid[low]
    return (low - 1 + (value - below) / (above - below)) / last
