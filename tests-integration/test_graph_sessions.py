"""What ONNX Runtime makes of a graph: layers that run, weights that are used in place."""

import numpy as np
import onnxruntime as ort
import pytest

from genolewm_core.artifacts.architectures import rope_inv_freq, sixmer_head
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_export.graph import write_graph


def _session(architecture, folder):
    tensors = random_model(architecture) | {"rope.inv_freq": rope_inv_freq(architecture)}
    tensors["sixmer_head.weight"] = sixmer_head(architecture, tensors)
    values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in tensors.items()}
    options = ort.SessionOptions()
    for name, value in values.items():
        options.add_initializer(name, value)
    path = str(write_graph(architecture, folder))
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]), values


def _feeds(architecture, depth):
    past = np.zeros((architecture.n_kv_heads, 0, architecture.head_dim), np.float32)
    return {
        "token_ids": np.array([0, 5, 6, 7], np.int32),
        "positions": np.arange(4, dtype=np.int32),
        "mask": np.where(np.tri(4) > 0, 0, -1e30).astype(np.float32),
        "depth": np.array(depth),
        "log_prob_rows": np.arange(2 if depth == architecture.n_layers else 0),
    } | {f"past_{name}_{layer}": past for layer in range(architecture.n_layers) for name in "kv"}


def test_only_the_layers_below_depth_run(tmp_path):
    session, _weights = _session(TEST_ARCHITECTURE, tmp_path)
    names = [output.name for output in session.get_outputs()]
    for depth in range(TEST_ARCHITECTURE.n_layers + 1):
        found = dict(zip(names, session.run(None, _feeds(TEST_ARCHITECTURE, depth)), strict=True))
        for layer in range(TEST_ARCHITECTURE.n_layers):
            n = 4 if layer < depth else 0
            assert found[f"h_{layer + 1}"].shape == (n, 48)
            assert found[f"k_{layer}"].shape == found[f"v_{layer}"].shape == (2, n, 16)
        assert found["log_probs"].shape == (2 if depth == 3 else 0, 4096)


def test_weights_that_are_not_handed_over_are_never_read(tmp_path):
    path = write_graph(TEST_ARCHITECTURE, tmp_path)
    with pytest.raises(Exception, match="out of bounds"):
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
