"""Graphs depend on the shape alone, hold no weights, and make sessions."""

import dataclasses

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from genolewm_core.artifacts.architectures import ARCHITECTURES, graph_name, rope_inv_freq, sixmer_head
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_export.commands import export_graph
from genolewm_export.graph import build_graph, graph_bytes


def _session(architecture):
    tensors = random_model(architecture) | {"rope.inv_freq": rope_inv_freq(architecture)}
    tensors["sixmer_head.weight"] = sixmer_head(architecture, tensors)
    values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in tensors.items()}
    options = ort.SessionOptions()
    options.add_external_initializers(list(values), list(values.values()))
    session = ort.InferenceSession(graph_bytes(architecture), options, providers=["CPUExecutionProvider"])
    return session, values


def _feeds(architecture, depth):
    past = np.zeros((architecture.n_kv_heads, 0, architecture.head_dim), np.float32)
    return {
        "token_ids": np.array([0, 5, 6, 7], np.int32),
        "positions": np.arange(4, dtype=np.int32),
        "mask": np.where(np.tri(4) > 0, 0, -1e30).astype(np.float32),
        "depth": np.array(depth),
        "log_prob_rows": np.arange(2 if depth == architecture.n_layers else 0),
    } | {f"past_{name}_{layer}": past for layer in range(architecture.n_layers) for name in "kv"}


def test_only_the_layers_below_depth_run():
    session, _weights = _session(TEST_ARCHITECTURE)
    names = [output.name for output in session.get_outputs()]
    for depth in range(TEST_ARCHITECTURE.n_layers + 1):
        found = dict(zip(names, session.run(None, _feeds(TEST_ARCHITECTURE, depth)), strict=True))
        for layer in range(TEST_ARCHITECTURE.n_layers):
            n = 4 if layer < depth else 0
            assert found[f"h_{layer + 1}"].shape == (n, 48)
            assert found[f"k_{layer}"].shape == found[f"v_{layer}"].shape == (2, n, 16)
        assert found["log_probs"].shape == (2 if depth == 3 else 0, 4096)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bytes_depend_on_the_shape_only(name):
    architecture = ARCHITECTURES[name]
    other = dataclasses.replace(architecture, rope_theta=1234.5, tied=not architecture.tied)
    assert graph_bytes(architecture) == graph_bytes(architecture) == graph_bytes(other)
    assert graph_name(architecture) == graph_name(other)


def test_names_tell_every_other_field():
    fields = {
        "n_layers",
        "d_model",
        "n_heads",
        "n_kv_heads",
        "head_dim",
        "d_ffn",
        "rms_norm_eps",
        "vocab_rows",
    }
    assert fields | {"rope_theta", "tied"} == {f.name for f in dataclasses.fields(TEST_ARCHITECTURE)}
    names = {
        graph_name(dataclasses.replace(TEST_ARCHITECTURE, **{field: getattr(TEST_ARCHITECTURE, field) * 2}))
        for field in fields
    }
    assert len(names | {graph_name(TEST_ARCHITECTURE)}) == len(fields) + 1


def test_no_weight_is_inside():
    graph = build_graph(TEST_ARCHITECTURE).graph
    inside = [t for t in graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
    assert sum(onnx.numpy_helper.to_array(t).nbytes for t in inside) < 1_000


def test_command_writes_every_shipped_graph(tmp_path):
    result = CliRunner().invoke(export_graph, ["--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {graph_name(a) for a in ARCHITECTURES.values()}
