"""PyTorch and ONNX Runtime agree, and the shipped graphs are those that the export package builds."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from genolewm_core.artifacts.architectures import ARCHITECTURES, graph_name
from genolewm_core.artifacts.manifest import Contract, Manifest, ModelDirectory, digest_file, write_manifest
from genolewm_core.artifacts.weights import StoredVocabulary
from genolewm_core.scoring.backend import Pack, Trunk, load_backend
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.models import DEFAULT_HEADS
from genolewm_encoder.llama import TorchBackend
from genolewm_export.graph import graph_bytes, write_graph
from genolewm_runtime.onnx_backend import OnnxBackend, shipped_graph

MINI = ARCHITECTURES["mini"]


def _rows(backend, n_tok=700, n_branches=64, length=9):
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 4_099, n_tok).astype(np.int32)
    ids[0] = 0
    first = np.repeat(rng.integers(1, n_tok, n_branches), length)
    rows = np.arange(n_branches * length)
    pack = Pack(
        token_ids=rng.integers(2, 4_099, len(rows)).astype(np.int32),
        positions=(first + np.tile(np.arange(length), n_branches)).astype(np.int32),
        branch=np.repeat(np.arange(n_branches), length).astype(np.int32),
        prefix_tok=first.astype(np.int32),
        state_rows=rows,
        log_prob_rows=rows,
    )
    prefix = backend.open(Trunk(ids, np.arange(n_tok), np.arange(n_tok), full_depth=True))
    return prefix.rows, backend.extend(prefix, pack)


@pytest.mark.parametrize(
    "architecture",
    [MINI, TEST_ARCHITECTURE, dataclasses.replace(TEST_ARCHITECTURE, tied=False, rms_norm_eps=1e-5)],
    ids=["mini", "test", "untied"],
)
def test_backends_agree(architecture, tmp_path):
    tensors = random_model(architecture)
    torch_rows = _rows(TorchBackend(architecture, tensors, 2))
    onnx_rows = _rows(OnnxBackend(architecture, tensors, 2, graph=write_graph(architecture, tmp_path)))
    for ours, theirs in zip(onnx_rows, torch_rows, strict=True):
        np.testing.assert_allclose(ours.states, theirs.states, atol=1e-4)
        np.testing.assert_allclose(ours.log_probs, theirs.log_probs, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shipped_graph_is_the_built_one(name):
    architecture = ARCHITECTURES[name]
    assert shipped_graph(architecture).read_bytes() == graph_bytes(architecture)


def test_no_other_graph_is_shipped():
    folder = shipped_graph(MINI).parent
    assert {path.name for path in folder.iterdir()} == {graph_name(a) for a in ARCHITECTURES.values()}


def test_model_directory_loads_on_both(tmp_path):
    weights = tmp_path / "model.safetensors"
    save_file(random_model(MINI), weights)
    manifest = Manifest(
        name="random",
        version="0",
        architecture=MINI,
        contract=Contract(state_layer=5),
        weights=(digest_file(weights),),
        vocabulary=StoredVocabulary(MINI.vocab_rows, dna_row=0),
        default_heads=DEFAULT_HEADS,
        demonstration=True,
        training={},
    )
    write_manifest(tmp_path, manifest)
    model = ModelDirectory.open(tmp_path)
    onnx, torch = (load_backend(name, model) for name in ("onnx", "torch"))
    assert (onnx.name, torch.name, onnx.d_state, torch.d_state) == ("onnx", "torch", 256, 256)
    for ours, theirs in zip(_rows(onnx, 60, 4, 3), _rows(torch, 60, 4, 3), strict=True):
        np.testing.assert_allclose(ours.states, theirs.states, atol=1e-4)
        np.testing.assert_allclose(ours.log_probs, theirs.log_probs, atol=1e-4)
