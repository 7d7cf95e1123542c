"""The ONNX Runtime backend on the embedded model's shape, with random weights."""

import dataclasses
from importlib.metadata import requires

import numpy as np
import onnxruntime
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.errors import DeploymentError, ProvenanceError
from genolewm_core.scoring.backend import Pack, Trunk
from genolewm_core.testing.conformance import CHECKS, check_name, random_model
from genolewm_core.testing.numpy_backend import NumpyBackend
from genolewm_runtime import onnx_backend
from genolewm_runtime.onnx_backend import OnnxBackend

MINI = ARCHITECTURES["mini"]
STATE_LAYER = 5
NONE = np.arange(0)


@pytest.fixture(scope="module")
def tensors():
    return random_model(MINI)


@pytest.fixture(scope="module")
def backend(tensors):
    return OnnxBackend(MINI, tensors, STATE_LAYER)


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_conforms(backend, check):
    check(backend)


def _trunk(n_tok, **options):
    ids = np.random.default_rng(3).integers(3, 4_099, n_tok).astype(np.int32)
    ids[0] = 0
    return Trunk(
        ids, np.arange(0, n_tok, 5), options.pop("log_prob_rows", np.arange(3, n_tok, 7)), True, **options
    )


def _pack(n_branches, length):
    n = n_branches * length
    first = np.repeat(np.random.default_rng(4).integers(1, 300, n_branches), length)
    return Pack(
        token_ids=np.random.default_rng(5).integers(2, 4_099, n).astype(np.int32),
        positions=(first + np.tile(np.arange(length), n_branches)).astype(np.int32),
        branch=np.repeat(np.arange(n_branches), length).astype(np.int32),
        prefix_tok=first.astype(np.int32),
        state_rows=np.arange(n),
        log_prob_rows=np.arange(0, n, 3),
    )


def test_equals_double_precision(backend, tensors):
    """Several blocks against numpy in fp64; fp32 rounds a rotary angle by 1.5e-5 at position 400."""
    exact = NumpyBackend(MINI, tensors, STATE_LAYER)
    trunk, pack = _trunk(400), _pack(30, 9)
    found, expected = backend.open(trunk), exact.open(trunk)
    for a, b in ((found.rows, expected.rows), (backend.extend(found, pack), exact.extend(expected, pack))):
        np.testing.assert_allclose(a.states, b.states, atol=1e-4)
        np.testing.assert_allclose(a.log_probs, b.log_probs, atol=1e-4)


def test_read_only_weights_and_no_prepacking_change_nothing(backend, tensors):
    for array in (frozen := {name: array.copy() for name, array in tensors.items()}).values():
        array.flags.writeable = False
    plain = OnnxBackend(MINI, frozen, STATE_LAYER, prepack=False, threads=1)
    trunk = _trunk(300)
    np.testing.assert_allclose(plain.open(trunk).rows.states, backend.open(trunk).rows.states, atol=2e-5)


def test_refuses_what_a_trunk_cannot_give(backend):
    with pytest.raises(ValueError, match="full depth"):
        backend.open(dataclasses.replace(_trunk(20), full_depth=False))
    shallow = backend.open(dataclasses.replace(_trunk(20, log_prob_rows=NONE), full_depth=False))
    with pytest.raises(ValueError, match="full depth"):
        backend.extend(shallow, _pack(2, 3))
    with pytest.raises(ValueError, match="kept"):
        backend.extend(backend.open(_trunk(20, keep=False)), _pack(2, 3))


def test_refuses_other_tensors_and_unknown_shapes(tensors):
    with pytest.raises(ProvenanceError) as wrong:
        OnnxBackend(MINI, {**tensors, "model.norm.weight": np.ones(3, np.float32)}, STATE_LAYER)
    assert wrong.value.code == "tensor-file-invalid"
    with pytest.raises(DeploymentError) as missing:
        onnx_backend.shipped_graph(dataclasses.replace(MINI, n_layers=9))
    assert missing.value.code == "graph-missing"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_graphs_are_shipped(name):
    assert onnx_backend.shipped_graph(ARCHITECTURES[name]).is_file()


@pytest.mark.parametrize(
    ("lengths", "blocks"),
    [
        ([9] * 64, [(0, 252), (252, 504), (504, 576)]),
        ([300, 2, 254, 1], [(0, 300), (300, 556), (556, 557)]),
        ([5], [(0, 5)]),
        ([], []),
    ],
)
def test_blocks_are_whole_branches(lengths, blocks):
    branch = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    assert onnx_backend._branch_blocks(branch) == blocks


@pytest.mark.parametrize(("n_tok", "n_blocks"), [(1, 1), (256, 1), (383, 1), (1_033, 4), (2_049, 8)])
def test_trunk_blocks_are_even(n_tok, n_blocks):
    blocks = onnx_backend._even_blocks(n_tok)
    sizes = [end - start for start, end in blocks]
    assert len(blocks) == n_blocks
    assert sum(sizes) == n_tok
    assert max(sizes) - min(sizes) <= 1


def test_prepacks_where_two_copies_fit_in_half_of_the_memory(monkeypatch):
    monkeypatch.setattr(
        onnx_backend.os, "sysconf", {"SC_PAGE_SIZE": 4_096, "SC_PHYS_PAGES": 2**21}.get
    )  # 8 GiB
    assert onnx_backend.fits_prepacked(2 * 2**30)
    assert not onnx_backend.fits_prepacked(2 * 2**30 + 1)


def test_onnxruntime_is_one_that_sends_nothing():
    assert tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29)
    assert any("onnxruntime" in line and "<1.29" in line for line in requires("genolewm-runtime"))
