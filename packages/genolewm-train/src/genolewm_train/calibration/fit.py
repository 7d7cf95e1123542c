"""From scored sites to a calibration table, and how uniform its percentiles are on other sites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genolewm_core.scoring.calibration import (
    CALIBRATED_HEADS,
    MIN_ROWS,
    Bucket,
    CalibrationKey,
    CalibrationTable,
    Regression,
    bucket_chain,
    ensemble_value,
    unusualness,
)
from genolewm_train.calibration.scored import Scored

__all__ = ["GRID", "fit_table", "ks_uniform", "percentiles"]

GRID = 501
"""Ranks that a bucket keeps: steps of 0.2 %."""


def fit_table(
    key: CalibrationKey,
    common: Sequence[Scored],
    synthetic: Mapping[str, Sequence[Scored]],
    about: Mapping[str, Any],
) -> CalibrationTable:
    """The table of a key.

    Args:
        common: sites of common variants.
        synthetic: edit class -> synthetic edits, used where the class has fewer than `MIN_ROWS` common ones.
        about: goes into the table.
    """
    gc = np.array([site.context.gc for site in common])
    low, high = np.quantile(gc, [1 / 3, 2 / 3]) if len(gc) else (1 / 3, 2 / 3)
    edges = (round(float(low), 4), round(float(high), 4))
    members: dict[str, list[Scored]] = {}
    for site in common:
        for name in bucket_chain(site.edit_class, site.context, site.region, edges):
            members.setdefault(name, []).append(site)
    regressions: dict[str, Regression] = {}
    buckets: dict[str, Bucket] = {}
    for edit_class in sorted({site.edit_class for site in common} | set(synthetic)):
        root = f"{edit_class}|*|*|*|*"
        enough = len(members.get(root, ())) >= MIN_ROWS
        null = members[root] if enough else synthetic.get(edit_class, ())
        if not null:
            continue
        line = _regression(null)
        if line is not None:
            regressions[edit_class] = line
        chosen = [name for name in sorted(members) if name.startswith(f"{edit_class}|")] if enough else [root]
        for name in chosen:
            sites = members[name] if enough else null
            if not enough or len(sites) >= MIN_ROWS:
                n_common, n_synthetic = (len(sites), 0) if enough else (0, len(sites))
                buckets[name] = _bucket(n_common, n_synthetic, sites, line)
    return CalibrationTable(key, edges, regressions, buckets, dict(about))


def _regression(sites: Sequence[Scored]) -> Regression | None:
    """Least squares of log displacement on left context; None where displacement is not there."""
    pairs = [
        (site.context.left_tok, math.log(max(site.scores["displacement"], 1e-12)))
        for site in sites
        if "displacement" in site.scores
    ]
    if len(pairs) < MIN_ROWS // 2:
        return None
    x, y = np.array(pairs).T
    slope, intercept = np.polyfit(x, y, 1)
    return Regression(float(f"{intercept:.6g}"), float(f"{slope:.6g}"))


def _unusual(site: Scored, line: Regression | None) -> dict[str, float]:
    return {
        head: unusualness(head, value, site.context.left_tok, line) for head, value in site.scores.items()
    }


def _bucket(n_rows: int, n_synthetic: int, sites: Sequence[Scored], line: Regression | None) -> Bucket:
    unusual = [_unusual(site, line) for site in sites]
    grids: dict[str, tuple[float, ...]] = {}
    for head in CALIBRATED_HEADS:
        if head == "ensemble":
            single = Bucket(n_rows, n_synthetic, dict(grids))
            found = [ensemble_value(single, values) for values in unusual]
            values = np.array([value for value in found if value is not None])
        else:
            values = np.array([values[head] for values in unusual if head in values])
        # A head that is defined for few of the bucket's edits is no measure of the bucket.
        if 2 * len(values) >= len(sites):
            quantiles = np.quantile(values, np.linspace(0.0, 1.0, GRID))
            # Rounded as the file has them, so that what is checked is what is shipped.
            grids[head] = tuple(float(f"{value:.6g}") for value in quantiles)
    return Bucket(n_rows, n_synthetic, grids)


def percentiles(
    table: CalibrationTable, sites: Sequence[Scored], heads: Mapping[str, str]
) -> dict[str, dict[str, list[float]]]:
    """edit class -> "sigma_calibrated", "ensemble" and every head -> percentiles of the sites.

    Args:
        heads: edit class -> its default head.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for site in sites:
        of_class = found.setdefault(site.edit_class, {})
        for head in dict.fromkeys([heads[site.edit_class], *site.scores]):
            result = table.calibrate(site.edit_class, head, site.scores, site.context, site.region)
            if result is None:
                continue
            columns = {head: result.sigma_calibrated}
            if head == heads[site.edit_class]:
                columns |= {"sigma_calibrated": result.sigma_calibrated, "ensemble": result.ensemble}
            for name, value in columns.items():
                if value is not None:
                    of_class.setdefault(name, []).append(value)
    return found


def ks_uniform(values: Sequence[float]) -> float:
    """Kolmogorov-Smirnov statistic of values against the uniform distribution on 0 to 1."""
    ordered = np.sort(np.asarray(values))
    n = len(ordered)
    return float(max((np.arange(1, n + 1) / n - ordered).max(), (ordered - np.arange(n) / n).max()))
