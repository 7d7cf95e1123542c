"""Fitting calibration tables, on scores whose distribution is known."""

import math

import numpy as np
import pytest

from genolewm_core.artifacts.manifest import Contract
from genolewm_core.scoring.calibration import CalibrationKey
from genolewm_core.scoring.context import Context
from genolewm_train.calibration.fit import GRID, fit_table, ks_uniform, percentiles
from genolewm_train.calibration.scored import Scored

KEY = CalibrationKey("0" * 64, Contract(), "onnx")
HEADS = {"substitution": "displacement", "indel_in_phase": "displacement", "indel_out_of_phase": "delta_ll"}


def sites(n, seed, edit_class="substitution", left_slope=-0.002, offset_shift=1.0):
    """Displacement is log-normal, moves with the offset and falls with left context; delta_ll is normal."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        offset, left = int(rng.integers(6)), int(rng.integers(512, 1_536))
        log_d = -3 + offset_shift * offset + left_slope * left + 0.5 * rng.normal()
        found.append(
            Scored(
                f"20:{i}:A:C",
                edit_class,
                "intron" if rng.random() < 0.9 else "splice",
                Context(offset, float(rng.uniform(0.3, 0.6)), "none", left),
                {"displacement": math.exp(log_d), "delta_ll": float(rng.normal())},
            )
        )
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5], 0.5), ([0.25, 0.75], 0.25), ([0.0, 0.0], 1.0), ([1.0], 1.0), ([0.1, 0.2, 0.3, 0.4], 0.6)],
)
def test_ks_statistic(values, expected):
    assert ks_uniform(values) == pytest.approx(expected)


def test_percentiles_of_other_sites_are_uniform():
    table = fit_table(KEY, sites(9_000, 1), {}, {})
    found = percentiles(table, sites(4_000, 2), HEADS)["substitution"]
    for name in ("sigma_calibrated", "ensemble", "delta_ll"):
        assert ks_uniform(found[name]) < 0.03, name
    # What is measured can fail: another slope of left context, and another effect of the offset, show.
    for changed in (sites(4_000, 3, left_slope=-0.001), sites(4_000, 3, offset_shift=1.2)):
        assert ks_uniform(percentiles(table, changed, HEADS)["substitution"]["sigma_calibrated"]) > 0.1


def test_buckets_are_as_particular_as_there_are_rows():
    table = fit_table(KEY, sites(9_000, 1), {}, {})
    names = set(table.buckets)
    assert names >= {"substitution|*|*|*|*", *(f"substitution|{k}|*|*|*" for k in range(6))}
    assert {name.split("|")[2] for name in names} == {"*", "intron"}  # 150 of splice an offset are too few
    assert all(bucket.n_rows >= 1_000 and bucket.n_synthetic == 0 for bucket in table.buckets.values())
    assert {len(grid) for bucket in table.buckets.values() for grid in bucket.grids.values()} == {GRID}
    low, high = table.gc_edges
    assert (low, high) == (pytest.approx(0.4, abs=0.01), pytest.approx(0.5, abs=0.01))
    assert table.regressions["substitution"].slope == pytest.approx(-0.002, abs=2e-4)


def test_a_class_with_few_common_variants_gets_its_synthetic_null_and_no_other_bucket():
    common = sites(1_500, 1) + sites(999, 2, "indel_in_phase")
    null = sites(2_000, 3, "indel_in_phase")
    table = fit_table(KEY, common, {"indel_in_phase": null}, {})
    of_class = {name: bucket for name, bucket in table.buckets.items() if name.startswith("indel_in_phase")}
    assert list(of_class) == ["indel_in_phase|*|*|*|*"]
    assert (of_class["indel_in_phase|*|*|*|*"].n_rows, of_class["indel_in_phase|*|*|*|*"].n_synthetic) == (
        0,
        2_000,
    )
    # One more common variant, and the synthetic ones are not looked at.
    enough = fit_table(KEY, [*common, *sites(1, 9, "indel_in_phase")], {"indel_in_phase": null}, {})
    assert enough.buckets["indel_in_phase|*|*|*|*"].n_rows == 1_000


def test_a_head_that_few_edits_have_gets_no_grid():
    some = [
        Scored(s.name, s.edit_class, s.region, s.context, {**s.scores, "marginal_llr": -1.0})
        if i % 3 == 0
        else s
        for i, s in enumerate(sites(3_000, 1))
    ]
    assert "marginal_llr" not in fit_table(KEY, some, {}, {}).buckets["substitution|*|*|*|*"].grids
