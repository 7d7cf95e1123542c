"""The embedded model's calibration: what it promises, what the page says, what a run writes."""

from pathlib import Path

import pytest

from genolewm_core.artifacts.manifest import ModelDirectory, read_verified
from genolewm_core.scoring.calibration import MIN_ROWS, key_of
from genolewm_core.scoring.calibration_file import load_calibration, parse_calibration
from genolewm_runtime.models import embedded_model
from genolewm_runtime.runtime import options_of
from genolewm_train.calibration.page import with_measured

ROOT = Path(__file__).resolve().parent.parent
KS_LIMIT = 0.03


@pytest.fixture(scope="module")
def tables():
    model = ModelDirectory.open(embedded_model())
    assert model.manifest.calibration is not None
    return parse_calibration(read_verified(model.path, model.manifest.calibration), model.path)


def test_the_default_options_are_calibrated_on_both_backends():
    model = ModelDirectory.open(embedded_model())
    options = options_of(model.manifest.contract)
    for backend in ("onnx", "torch"):
        assert load_calibration(model, key_of(model, options, backend)) is not None


def test_held_back_percentiles_are_uniform(tables):
    checked = 0
    for table in tables:
        for columns in table.about["held_back"].values():
            for name in ("sigma_calibrated", "ensemble"):
                result = columns.get(name)
                if result is not None and result["n"] >= MIN_ROWS:
                    assert result["ks"] <= KS_LIMIT, (table.key.backend, name, result)
                    checked += 1
    assert checked >= 4  # substitutions, on both backends


def test_buckets_never_leave_their_class_and_synthetic_ones_are_roots(tables):
    for table in tables:
        for name, bucket in table.buckets.items():
            assert bucket.n_rows >= MIN_ROWS or (name.endswith("|*|*|*|*") and bucket.n_synthetic >= MIN_ROWS)
        assert all(not region.startswith(("21:", "chr21:")) for region in table.about["regions"])


def test_the_page_says_what_was_measured(tables):
    page = (ROOT / "docs/calibration.md").read_text()
    assert page == with_measured(page, tables)
    assert "KS of" in page
