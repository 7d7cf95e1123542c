"""Model directories: every field of a manifest is checked, and no byte is used before its digest is."""

import copy
import dataclasses
import json
import os

import numpy as np
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES, tensor_shapes
from genolewm_core.artifacts.manifest import (
    MANIFEST_NAME,
    Architecture,
    Contract,
    FileDigest,
    Manifest,
    ModelDirectory,
    canonical_json,
    digest_file,
    read_verified,
)
from genolewm_core.errors import ConfigError, ProvenanceError
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PHASE_SHIFTS
from genolewm_core.testing.models import write_model

MISSING = object()
NESTED = "[" * 100_000
# The embedded model's numbers of layers and heads, two wide.
SMALL = dataclasses.replace(ARCHITECTURES["mini"], d_model=2, d_ffn=2, head_dim=2)
TENSORS = {
    name: np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    for name, shape in tensor_shapes(SMALL).items()
}


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path, SMALL, TENSORS, Contract(state_layer=4))


def raw_of(model):
    return json.loads((model.path / MANIFEST_NAME).read_bytes())


def changed(raw, path, value):
    raw = copy.deepcopy(raw)
    *parents, last = path.split(".")
    place = raw
    for name in parents:
        place = place[_key(place, name)]
    if value is MISSING:
        del place[_key(place, last)]
    else:
        place[_key(place, last)] = value
    return raw


def _key(place, name):
    return int(name) if isinstance(place, list) else name


def opened(folder, raw):
    text = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    (folder / MANIFEST_NAME).write_bytes(text)
    return ModelDirectory.open(folder)


def refusal(call, code):
    with pytest.raises(ProvenanceError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def test_what_was_written_is_what_is_read(model):
    again = ModelDirectory.open(model.path)
    assert again == model
    assert again.manifest.model_id == model.manifest.model_id
    found = again.tensors()
    assert found.keys() == TENSORS.keys()
    assert all(np.array_equal(found[name], TENSORS[name]) for name in TENSORS)


def test_the_model_is_named_by_all_that_its_manifest_says(model):
    raw = raw_of(model)
    others = [
        changed(raw, "version", "0.0.1"),
        changed(raw, "contract.radius_tok", 7),
        changed(raw, "weights.0.sha256", "0" * 64),
        changed(raw, "training.recipe", "other"),
    ]
    ids = [opened(model.path, other).manifest.model_id for other in (raw, *others)]
    assert ids[0] == model.manifest.model_id
    assert len(set(ids)) == 5


REFUSED = [
    ("schema_version", ["1.0.0", "1.1.1", 1, None, [], MISSING]),
    ("name", ["", 1, None, [], "\ud800", MISSING]),
    ("version", ["", 1, None, {}, MISSING]),
    ("demonstration", [0, 1, "true", None, MISSING]),
    ("training", [[], None, "recipe", 1, {"auc": float("nan")}, {"auc": float("inf")}, MISSING]),
    ("surprise", [1]),
    ("architecture", [None, [], "mini", {}, MISSING]),
    ("architecture.surprise", [1]),
    ("architecture.n_layers", [0, -1, 6.0, "6", True, None, [], 10**9, MISSING]),
    ("architecture.d_model", [0, -1, 256.0, "256", True, None]),
    ("architecture.n_heads", [0, -4, 3, 4.0, True, {}]),
    ("architecture.n_kv_heads", [0, -2, 3, 8, 2.0, True]),
    ("architecture.head_dim", [0, -2, 1, 63, 64.0, True]),
    ("architecture.d_ffn", [0, -1, 768.0, False]),
    ("architecture.rms_norm_eps", [0, 0.0, -1e-6, 1.0, True, "1e-6", float("nan"), float("inf"), None]),
    ("architecture.rope_theta", [0, -1.0, 0.5, True, float("nan"), float("inf"), 10**400, "1e4"]),
    ("architecture.vocab_rows", [0, 4_098, 4_107.0, True, "4107"]),
    ("architecture.tied", [0, 1, "true", None]),
    ("contract", [None, [], {}, MISSING]),
    ("contract.surprise", [1]),
    ("contract.window_bp", [0, 6_143, 4_096, 49_152, -12_288, 12_288.0, "12288", True]),
    ("contract.cell_bp", [0, -12, 6, 6_150, 12_300, 6_144.0, True, None]),
    ("contract.state_layer", [0, -1, 7, 4.0, True, "4"]),
    ("contract.pool_type", ["mean", "", None, [], 1, MISSING]),
    ("contract.radius_tok", [-1, 2_048, 10**12, 8.0, True, None]),
    ("contract.ll_tok", [0, -1, 2_049, 9.0, True, None]),
    ("contract.strands", ["-", "", "-+", "both", 1, [], None]),
    ("contract.phases", [0, 4, 5, 12, -1, 1.0, True, "1"]),
    ("contract.dtype", ["bf16", "fp16", "", None, []]),
    ("contract.centre_rule", ["locus", "", None, []]),
    ("weights", [None, [], [None], [1], "model.safetensors", {}, MISSING]),
    ("weights.0", [{}, None]),
    ("weights.0.surprise", [1]),
    ("weights.0.name", ["", None, 1, []]),
    ("weights.0.sha256", ["", "0" * 63, "0" * 65, "g" * 64, "A" * 64, " " * 64, None, 0, "0" * 63 + "\n"]),
    ("weights.0.n_bytes", [-1, 1.0, True, "1", None]),
    ("vocabulary", [None, [], {}, 4_107, MISSING]),
    ("vocabulary.surprise", [1]),
    ("vocabulary.n_rows", [0, -1, 4_106, 4_107.0, True, "4107", None, MISSING]),
    ("vocabulary.dna_row", [1, -1, 4_107, 0.0, False, "0", None, MISSING]),
    ("other_files", [None, {}, "config.json", [1], MISSING]),
    ("calibration", [[], "calibration.json", {}, 0, {"name": "x"}, MISSING]),
    ("default_heads", [None, [], {}, "displacement", MISSING]),
    ("default_heads.surprise", ["displacement"]),
    ("default_heads.substitution", ["risk", "indel_displacement", "", None, [], {}, 1, MISSING]),
    ("default_heads.indel_in_phase", ["marginal_llr", "risk", None, [], MISSING]),
    ("default_heads.indel_out_of_phase", ["marginal_llr", "risk", None, [], MISSING]),
]


@pytest.mark.parametrize(("path", "values"), REFUSED, ids=[path for path, _ in REFUSED])
def test_values_that_the_schema_does_not_allow_are_refused(model, path, values):
    raw = raw_of(model)
    for value in values:
        error = refusal(lambda v=value: opened(model.path, changed(raw, path, v)), "manifest-invalid")
        assert error.where == str(model.path / MANIFEST_NAME)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("architecture.rope_theta", 500_000),
        ("architecture.n_kv_heads", 1),
        ("architecture.n_kv_heads", 4),
        ("architecture.vocab_rows", 4_099),
        ("contract.window_bp", 6_144),
        ("contract.window_bp", 24_576),
        ("contract.cell_bp", 12),
        ("contract.cell_bp", 12_288),
        ("contract.state_layer", 1),
        ("contract.state_layer", 6),
        ("contract.radius_tok", 0),
        ("contract.ll_tok", 1),
        ("contract.strands", "+-"),
        ("contract.phases", 6),
        ("weights.0.n_bytes", 0),
        ("default_heads.substitution", "marginal_llr"),
        ("default_heads.indel_out_of_phase", "displacement"),
        ("training", {}),
        ("name", "modèle"),
    ],
)
def test_values_at_the_edge_of_what_is_allowed(model, path, value):
    assert opened(model.path, changed(raw_of(model), path, value)).manifest.model_id


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"manifest"',
        b"1" * 5_000,
        NESTED.encode(),
        ('{"schema_version":' + NESTED).encode(),
        b'{"a":' * 100_000,
    ],
    ids=["empty", "cut", "binary", "list", "null", "string", "digits", "lists", "version", "objects"],
)
def test_other_than_a_json_object_is_refused(tmp_path, text):
    refusal(lambda: opened(tmp_path, text), "manifest-invalid")


@pytest.mark.parametrize("depth", [200, 2_000, 20_000])
@pytest.mark.parametrize("path", ["training", "schema_version", "name", "architecture"])
def test_deep_values_are_read_or_refused(model, path, depth):
    raw = changed(raw_of(model), path, "DEEP")
    text = json.dumps(raw).replace('"DEEP"', '{"a":' * depth + "1" + "}" * depth).encode()
    if path == "training" and depth == 200:
        assert opened(model.path, text).manifest.model_id
    else:
        refusal(lambda: opened(model.path, text), "manifest-invalid")


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    assert refusal(lambda: ModelDirectory.open(tmp_path), "manifest-invalid").next_step
    refusal(lambda: ModelDirectory.open(tmp_path / "missing"), "manifest-invalid")


def test_a_refusal_does_not_repeat_an_endless_value(model):
    raw = changed(raw_of(model), "contract.dtype", "fp32" * 100_000)
    assert len(str(refusal(lambda: opened(model.path, raw), "manifest-invalid"))) < 1_000


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Contract, {"pool_type": "mean"}),
        (Contract, {"phases": 4}),
        (Contract, {"cell_bp": 12_300}),
        (FileDigest, {"name": "x", "sha256": "0", "n_bytes": 1}),
    ],
)
def test_records_made_in_a_program_are_checked_too(kind, fields):
    with pytest.raises(ValueError, match=kind.__name__):
        kind(**fields)


def test_architectures_are_checked_when_made():
    with pytest.raises(ValueError, match="n_kv_heads"):
        dataclasses.replace(ARCHITECTURES["mini"], n_kv_heads=3)
    assert isinstance(ARCHITECTURES["mini"], Architecture)


def test_the_state_layer_is_checked_against_the_models_depth(model):
    with pytest.raises(ValueError, match="state_layer 20 of a model of 6 layers"):
        dataclasses.replace(model.manifest, contract=Contract())


@pytest.mark.parametrize("window_bp", [3_072, 6_144, 12_288, 24_576, 49_152])
@pytest.mark.parametrize("cell_bp", [0, 6, 12, 18, 6_144, 12_288, 24_576, 24_588])
def test_contracts_allow_the_geometries_that_scoring_has(window_bp, cell_bp):
    def allowed(kind, error):
        try:
            kind(window_bp=window_bp, cell_bp=cell_bp)
        except error:
            return False
        return True

    assert allowed(Contract, ValueError) == allowed(Geometry, ConfigError)


def test_contracts_allow_the_scores_and_phases_that_scoring_has(model):
    heads = model.manifest.default_heads
    for name in HEADS:
        dataclasses.replace(model.manifest, default_heads={**heads, "substitution": name})
    assert [n for n in range(8) if n in PHASE_SHIFTS] == [1, 2, 3, 6]


def test_canonical_json_is_pinned():
    assert canonical_json({"b": [1, 2.5, True, None], "a": "é"}) == '{"a":"é","b":[1,2.5,true,null]}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def test_a_verified_file(file):
    assert read_verified(file.parent, digest_file(file)) == b"weights"


@pytest.mark.parametrize("data", [b"", b"weight", b"Weights", b"weights and more"])
def test_other_bytes_are_refused(file, data):
    promised = digest_file(file)
    file.write_bytes(data)
    refusal(lambda: read_verified(file.parent, promised), "artifact-digest")


def test_a_file_of_another_size_is_not_read(file):
    promised = digest_file(file)
    # Reading either would need more memory than there is.
    endless = dataclasses.replace(promised, n_bytes=2**62)
    assert refusal(lambda: read_verified(file.parent, endless), "artifact-digest").found == "7 bytes"
    os.truncate(file, 2**40)
    assert refusal(lambda: read_verified(file.parent, promised), "artifact-digest").expected == "7 bytes"


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b", ".", "..", "a\0b", "a/"])
def test_names_that_leave_the_folder_are_refused(file, name):
    digest = dataclasses.replace(digest_file(file), name=name)
    refusal(lambda: read_verified(file.parent, digest), "artifact-path")


def test_links_pipes_folders_and_missing_files_are_refused(file):
    promised = digest_file(file)
    (file.parent / "link").symlink_to(file)
    os.mkfifo(file.parent / "pipe")
    (file.parent / "folder").mkdir()
    for name in ("link", "pipe", "folder", "missing"):
        digest = dataclasses.replace(promised, name=name)
        refusal(lambda d=digest: read_verified(file.parent, d), "artifact-path")


def test_changed_weights_are_never_parsed(model):
    weights = model.path / model.manifest.weights[0].name
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    refusal(model.tensors, "artifact-digest")


def test_every_field_has_a_row_in_the_table(model):
    def paths(raw, prefix=""):
        for name, value in raw.items():
            yield prefix + name
            if isinstance(value, list) and value:
                yield f"{prefix}{name}.0"
                yield from paths(value[0], f"{prefix}{name}.0.")
            if isinstance(value, dict) and prefix + name != "training":
                yield from paths(value, f"{prefix}{name}.")

    assert set(paths(raw_of(model))) == {path for path, _ in REFUSED if "surprise" not in path}
    assert {f.name for f in dataclasses.fields(Manifest)} == set(raw_of(model))
