"""Graphs depend on the shape alone and hold no weights. Sessions are made in the integration tests."""

import dataclasses

import onnx
import pytest
from click.testing import CliRunner

from genolewm_core.artifacts.architectures import ARCHITECTURES, graph_name
from genolewm_core.testing.conformance import TEST_ARCHITECTURE
from genolewm_export.commands import export_graph
from genolewm_export.graph import build_graph, graph_bytes


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
