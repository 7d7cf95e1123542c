"""Buckets, back-off, percentiles and the calibration file."""

import dataclasses
import json
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.artifacts.manifest import (
    Architecture,
    Contract,
    FileDigest,
    ModelDirectory,
    digest_file,
    write_manifest,
)
from genolewm_core.errors import ProvenanceError
from genolewm_core.scoring.calibration import (
    Bucket,
    CalibrationKey,
    CalibrationTable,
    Regression,
    bucket_chain,
    key_of,
    unusualness,
)
from genolewm_core.scoring.calibration_file import load_calibration, parse_calibration, render_calibration
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.context import Context
from genolewm_core.scoring.passes import PassOptions
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model

CONTRACT = Contract(window_bp=6_144, cell_bp=1_200, state_layer=1)
KEY = CalibrationKey("0" * 64, CONTRACT, "onnx")
PLACE = Context(offset=3, gc=0.41, repeat="none", left_tok=700)
TEN = tuple(float(x) for x in range(11))


def table(**buckets):
    return CalibrationTable(KEY, (0.38, 0.46), {}, buckets, {})


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (None, ["substitution|3|*|*|*", "substitution|*|*|*|*"]),
        (
            "intron",
            [
                "substitution|3|intron|mid|none",
                "substitution|3|intron|mid|*",
                "substitution|3|intron|*|*",
                "substitution|3|*|*|*",
                "substitution|*|*|*|*",
            ],
        ),
    ],
)
def test_factors_are_dropped_from_the_right_and_never_the_class(region, expected):
    assert bucket_chain("substitution", PLACE, region, (0.38, 0.46)) == expected


@pytest.mark.parametrize(
    ("gc", "name"), [(0.0, "low"), (0.38, "low"), (0.39, "mid"), (0.46, "mid"), (0.47, "high")]
)
def test_gc_classes(gc, name):
    place = dataclasses.replace(PLACE, gc=gc)
    assert bucket_chain("substitution", place, "intron", (0.38, 0.46))[0].split("|")[3] == name


@pytest.mark.parametrize(
    ("grid", "value", "expected"),
    [
        (TEN, 2.5, 0.25),
        (TEN, 4.0, 0.4),
        (TEN, -1.0, 0.0005),
        (TEN, 99.0, 0.9995),
        ((0.0, 1.0, 1.0, 1.0, 2.0), 1.0, 0.5),  # the middle of the ties
        ((1.0, 1.0, 1.0, 1.0, 2.0), 1.0, 0.375),
        ((0.0, 0.0), 0.0, 0.5),
    ],
)  # fmt: skip
def test_percentiles(grid, value, expected):
    assert Bucket(1_000, 0, {"delta_ll": grid}).percentile("delta_ll", value) == pytest.approx(expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-2e6, 2e6), st.floats(-2e6, 2e6))
def test_percentiles_never_fall(values, a, b):
    bucket = Bucket(1_000, 0, {"delta_ll": tuple(sorted(values))})
    low, high = sorted((a, b))
    assert 0.0 < bucket.percentile("delta_ll", low) <= bucket.percentile("delta_ll", high) < 1.0


def test_the_most_particular_bucket_is_used():
    found = table(
        **{
            "substitution|3|intron|*|*": Bucket(1_200, 0, {"displacement": TEN}),
            "substitution|3|*|*|*": Bucket(2_000, 0, {"displacement": TEN}),
            "substitution|*|*|*|*": Bucket(9_000, 0, {"displacement": TEN}),
        }
    )
    for region, offset, expected in [
        ("intron", 3, "substitution|3|intron|*|*"),
        ("utr5", 3, "substitution|3|*|*|*"),
        (None, 3, "substitution|3|*|*|*"),
        ("intron", 4, "substitution|*|*|*|*"),
    ]:
        context = dataclasses.replace(PLACE, offset=offset)
        result = found.calibrate("substitution", "displacement", {"displacement": 1.0}, context, region)
        assert (result.bucket_id, result.confidence, result.low_confidence) == (expected, 1.0, False)
    assert found.calibrate("indel_in_phase", "displacement", {"displacement": 1.0}, PLACE, None) is None


def test_left_context_is_regressed_out_of_displacement_only():
    line = Regression(intercept=-3.0, slope=-0.001)
    assert unusualness("displacement", 0.05, 700, line) == pytest.approx(-2.995732273 + 3.0 + 0.7)
    assert unusualness("delta_ll", -2.0, 700, line) == 2.0
    assert unusualness("marginal_llr", -2.0, 700, line) == 2.0
    assert unusualness("displacement", 0.0, 700, None) < -20


def test_the_ensemble_is_the_calibrated_mean_probit():
    grids = {"displacement": TEN, "delta_ll": TEN, "ensemble": (-2.0, -1.0, 0.0, 1.0, 2.0)}
    found = table(**{"substitution|*|*|*|*": Bucket(5_000, 0, grids)})
    scores = {"displacement": 2.718281828459045**8.0, "delta_ll": -6.0, "marginal_llr": None}
    result = found.calibrate("substitution", "displacement", scores, PLACE, None)
    normal = NormalDist()
    z = (normal.inv_cdf(0.8) + normal.inv_cdf(0.6)) / 2
    assert result.sigma_calibrated == pytest.approx(0.8)
    assert result.ensemble == pytest.approx(0.5 + z / 4)
    alone = found.calibrate("substitution", "delta_ll", {"delta_ll": -6.0}, PLACE, None)
    assert (alone.sigma_calibrated, alone.ensemble) == (pytest.approx(0.6), None)


def test_a_synthetic_null_is_labelled():
    found = table(**{"indel_in_phase|*|*|*|*": Bucket(0, 2_000, {"displacement": TEN})})
    result = found.calibrate("indel_in_phase", "displacement", {"displacement": 2.0}, PLACE, "intron")
    assert result.bucket_id == "synthetic:indel_in_phase|*|*|*|*"
    assert (result.confidence, result.low_confidence) == (0.0, True)


def test_a_head_that_was_not_computed_has_no_percentile():
    found = table(**{"substitution|*|*|*|*": Bucket(5_000, 0, {"delta_ll": TEN})})
    for head in (None, "displacement"):
        result = found.calibrate("substitution", head, {"delta_ll": -1.0, "displacement": None}, PLACE, None)
        assert result.sigma_calibrated is None


FULL = CalibrationTable(
    KEY,
    (0.38, 0.46),
    {"substitution": Regression(-3.25, -0.0001)},
    {
        "substitution|*|*|*|*": Bucket(5_000, 0, {"displacement": (-1.5, 0.25, 2.0)}),
        "indel_in_phase|*|*|*|*": Bucket(0, 2_000, {"delta_ll": (-1.0, 1.0)}),
    },
    {"min_af": 0.01},
)


def test_the_file_is_pinned():
    data = render_calibration([FULL])
    assert parse_calibration(data, Path("calibration.json")) == [FULL]
    raw = json.loads(data)
    assert raw["schema_version"] == "1.0.0"
    assert raw["tables"][0]["buckets"]["substitution|*|*|*|*"] == {
        "grids": {"displacement": [-1.5, 0.25, 2.0]},
        "n_rows": 5_000,
        "n_synthetic": 0,
    }
    assert raw["tables"][0]["key"]["contract"] == dataclasses.asdict(CONTRACT)


def _changed(change):
    raw = json.loads(render_calibration([FULL]))
    change(raw)
    return json.dumps(raw).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        _changed(lambda raw: raw.update(schema_version="2.0.0")),
        _changed(lambda raw: raw["tables"][0].pop("key")),
        _changed(lambda raw: raw["tables"][0]["key"]["contract"].update(phases=5)),
        _changed(lambda raw: raw["tables"][0]["key"]["contract"].update(surprise=1)),
        _changed(lambda raw: raw["tables"][0].update(gc_edges=[1])),
        _changed(lambda raw: raw["tables"][0].update(buckets=[])),
        _changed(lambda raw: raw["tables"][0]["buckets"]["indel_in_phase|*|*|*|*"].update(n_rows=3)),
        _changed(lambda raw: raw["tables"][0]["buckets"]["indel_in_phase|*|*|*|*"].update(n_synthetic=0)),
        _changed(
            lambda raw: raw["tables"][0]["buckets"]["indel_in_phase|*|*|*|*"].update(grids={"risk": [0, 1]})
        ),
        _changed(
            lambda raw: raw["tables"][0]["buckets"]["indel_in_phase|*|*|*|*"].update(
                grids={"delta_ll": [1, 0]}
            )
        ),
        _changed(
            lambda raw: raw["tables"][0]["buckets"]["indel_in_phase|*|*|*|*"].update(grids={"delta_ll": [1]})
        ),
    ],
)
def test_damaged_files_are_refused(data):
    with pytest.raises(ProvenanceError) as caught:
        parse_calibration(data, Path("calibration.json"))
    assert caught.value.code == "calibration-invalid"


SMALL = Architecture(1, 8, 2, 1, 4, 8, 1e-6, 1e4)


@pytest.fixture
def model(tmp_path):
    plain = write_model(tmp_path / "model", SMALL, random_model(SMALL, seed=1), CONTRACT)
    options = PassOptions(Geometry(6_144, 1_200))
    stored = dataclasses.replace(FULL, key=key_of(plain, options, "onnx"))
    (plain.path / "c.json").write_bytes(render_calibration([stored]))
    write_manifest(
        plain.path, dataclasses.replace(plain.manifest, calibration=digest_file(plain.path / "c.json"))
    )
    return ModelDirectory.open(plain.path), options


def test_a_table_serves_its_own_key_only(model):
    directory, options = model
    assert load_calibration(directory, key_of(directory, options, "onnx")) is not None
    for other in (
        {"phases": 2},
        {"both_strands": True},
        {"radius_tok": 3},
        {"ll_tok": 4},
        {"geometry": Geometry(6_144, 600)},
    ):
        key = key_of(directory, dataclasses.replace(options, **other), "onnx")
        assert load_calibration(directory, key) is None
    assert load_calibration(directory, key_of(directory, options, "torch")) is None
    # Which scores are computed changes none of them.
    fewer = dataclasses.replace(options, heads=("delta_ll",))
    assert load_calibration(directory, key_of(directory, fewer, "onnx")) is not None


def test_the_file_is_hashed_before_it_is_parsed(model):
    directory, options = model
    path = directory.path / "c.json"
    path.write_bytes(path.read_bytes().replace(b"5000", b"6000"))
    with pytest.raises(ProvenanceError) as caught:
        load_calibration(directory, key_of(directory, options, "onnx"))
    assert caught.value.code == "artifact-digest"
    none = dataclasses.replace(directory.manifest, calibration=None)
    assert (
        load_calibration(dataclasses.replace(directory, manifest=none), key_of(directory, options, "onnx"))
        is None
    )
    assert isinstance(directory.manifest.calibration, FileDigest)
