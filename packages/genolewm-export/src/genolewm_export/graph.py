"""Build the ONNX graph of a Llama of six-mers without its weights.

One graph serves trunks and branches: a trunk is a pass with zero past rows. Every layer sits in an `If` that
is taken while its index is below the input `depth`, so one graph also serves every state layer, and layers
that are not asked for cost nothing. (ONNX Runtime's option to run only what the fetched outputs need was
measured to skip nothing.)

Weights are external initializers with stock Transformers names, handed over with
`SessionOptions.add_initializer`, which uses them in place. (`add_external_initializers` would copy them all.)
ONNX Runtime wants their file to exist, and never reads it: they name the graph's own file, at an offset where
reading would fail. Two more initializers follow from the model: `rope.inv_freq` (E/2,), and
`sixmer_head.weight` (4096, D), the output layer's rows of the six-mers. The graph's bytes depend on the fields
in `graph_name` only.

Letters of shapes: N tokens of the pass, P tokens before them, K = P + N keys, D width, V rows of the
embedding, H query heads, G key-value heads, Q = H/G queries a key-value head, E head width, F width of
the feed-forward layer, R rows of which log-probabilities are read.

    inputs   token_ids int32 (N,)      positions int32 (N,)     mask float32 (N, K), added to the scores
             depth int64 (), layers to run                      log_prob_rows int64 (R,)
             past_k_i, past_v_i float32 (G, P, E) for every layer i; keys rotated
    outputs  h_i float32 (N, D), the residual after i layers, i = 1..L
             k_i, v_i float32 (G, N, E), keys and values of the pass's own tokens, i = 0..L-1
             log_probs float32 (R, 4096), only where depth is L

Outputs of layers at or above `depth` are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from genolewm_core.artifacts.architectures import graph_name, tensor_shapes
from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.scoring.sixmer import N_SIXMERS

__all__ = ["build_graph", "graph_bytes", "write_graph"]

# ONNX Runtime's own operators, each in place of several standard ones.
_ORT = "com.microsoft"
_OPSET = 21
_IR_VERSION = 10
_NOWHERE = 2**60


def graph_bytes(architecture: Architecture) -> bytes:
    """The serialised graph; equal architectures give equal bytes."""
    return bytes(build_graph(architecture).SerializeToString(deterministic=True))


def write_graph(architecture: Architecture, folder: Path) -> Path:
    """Write the graph under the name by which it is found, and without which it cannot be loaded.

    Raises:
        ResourceError: `output-unwritable`.
    """
    target = folder / graph_name(architecture)
    write_atomic(target, graph_bytes(architecture))
    return target


def build_graph(architecture: Architecture) -> ModelProto:
    """The graph of an architecture.

    `onnx.checker` knows neither ONNX Runtime's operators nor weights that no file holds, so only making a
    session checks it.
    """
    a = architecture
    main = _Nodes()
    x = main.add("Gather", ["model.embed_tokens.weight", "token_ids"], "h_0")
    main.add("Cast", ["positions"], "positions_f", to=TensorProto.FLOAT)
    main.add("Unsqueeze", ["positions_f", "axis_1"], "positions_N1")
    main.add("Mul", ["positions_N1", "rope.inv_freq"], "angles")
    main.add("Cos", ["angles"], "cos")
    main.add("Sin", ["angles"], "sin")
    # The tables above hold one row a token, so a token's row is its own index.
    main.add("Shape", ["token_ids"], "n_tok")
    main.add("Squeeze", ["n_tok"], "n_tok_scalar")
    main.add("Range", ["zero", "n_tok_scalar", "one"], "table_rows")
    main.add("Unsqueeze", ["table_rows", "axis_0"], "table_rows_1N")
    main.add("Shape", ["mask"], "n_key", start=1, end=2)
    main.add("Concat", ["n_heads", "n_tok", "n_key"], "shape_HNK", axis=0)
    main.add("Concat", ["n_groups_rest", "n_key"], "shape_GRK", axis=0)
    for layer in range(a.n_layers):
        main.add("Less", [f"index_{layer}", "depth"], f"run_{layer}")
        main.add(
            "If",
            [f"run_{layer}"],
            [f"h_{layer + 1}", f"k_{layer}", f"v_{layer}"],
            then_branch=_layer(a, layer, x),
            else_branch=_skipped(a),
        )
        x = f"h_{layer + 1}"
    main.add("Gather", [x, "log_prob_rows"], "h_R")
    main.norm(a, "h_R", "model.norm.weight", "normed_R")
    main.add("Gemm", ["normed_R", "sixmer_head.weight"], "logits", transB=1)
    main.add("LogSoftmax", ["logits"], "log_probs", axis=-1)

    graph = helper.make_graph(
        main.nodes, "llama", _inputs(a), _outputs(a), initializer=[*_constants(a), *_weights(a)]
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_ORT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


class _Nodes:
    """Nodes in order of execution."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: str | Sequence[str],
        domain: str = "",
        **attributes: object,
    ) -> str:
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def norm(self, a: Architecture, x: str, weight: str, output: str) -> str:
        """RMS norm. The operator has no schema in `onnx`; ONNX Runtime keeps it in the standard domain."""
        return self.add(
            "SimplifiedLayerNormalization", [x, weight], output, epsilon=a.rms_norm_eps, axis=-1, stash_type=1
        )

    def rotate(self, x: str, output: str) -> str:
        """Rotary embedding of (N, heads·E)."""
        self.add("Unsqueeze", [x, "axis_0"], x + "_batch")
        return self.add("RotaryEmbedding", [x + "_batch", "table_rows_1N", "cos", "sin"], output, domain=_ORT)


def _layer(a: Architecture, layer: int, x: str) -> GraphProto:
    """One layer; its inner names are the same in every layer, since an `If` has its own scope."""
    at = f"model.layers.{layer}."
    body = _Nodes()

    def linear(source: str, weight: str, output: str) -> str:
        return body.add("Gemm", [source, at + weight], output, transB=1)

    body.norm(a, x, at + "input_layernorm.weight", "normed")
    for name in "qkv":
        linear("normed", f"self_attn.{name}_proj.weight", name)
    body.rotate("q", "q_rotated")
    body.rotate("k", "k_rotated")
    for name, source in (("k", "k_rotated"), ("v", "v")):
        body.add("Reshape", [source, "shape_NGE"], f"{name}_NGE")
        body.add("Transpose", [f"{name}_NGE"], f"{name}_GNE", perm=[1, 0, 2])
        body.add("Concat", [f"past_{name}_{layer}", f"{name}_GNE"], f"{name}_GKE", axis=1)
    # A key-value head's queries are rows of one matrix (G, Q·N, E), so keys and values are not repeated.
    body.add("Reshape", ["q_rotated", "shape_NGQE"], "q_NGQE")
    body.add("Transpose", ["q_NGQE"], "q_GQNE", perm=[1, 2, 0, 3])
    body.add("Reshape", ["q_GQNE", "shape_GRE"], "q_GRE")
    body.add("FusedMatMul", ["q_GRE", "k_GKE"], "scores_GRK", domain=_ORT, transB=1, alpha=a.head_dim**-0.5)
    body.add("Reshape", ["scores_GRK", "shape_HNK"], "scores_HNK")
    body.add("Add", ["scores_HNK", "mask"], "masked_HNK")
    body.add("Softmax", ["masked_HNK"], "attention_HNK", axis=-1)
    body.add("Reshape", ["attention_HNK", "shape_GRK"], "attention_GRK")
    body.add("MatMul", ["attention_GRK", "v_GKE"], "mixed_GRE")
    body.add("Reshape", ["mixed_GRE", "shape_GQNE"], "mixed_GQNE")
    body.add("Transpose", ["mixed_GQNE"], "mixed_NGQE", perm=[2, 0, 1, 3])
    body.add("Reshape", ["mixed_NGQE", "shape_NC"], "mixed_NC")
    linear("mixed_NC", "self_attn.o_proj.weight", "attended")
    body.add(
        "SkipSimplifiedLayerNormalization",
        [x, "attended", at + "post_attention_layernorm.weight"],
        ["normed_2", "", "", "residual"],
        domain=_ORT,
        epsilon=a.rms_norm_eps,
    )
    linear("normed_2", "mlp.gate_proj.weight", "gate")
    linear("normed_2", "mlp.up_proj.weight", "up")
    body.add("QuickGelu", ["gate"], "activated", domain=_ORT, alpha=1.0)  # SiLU
    body.add("Mul", ["activated", "up"], "gated")
    linear("gated", "mlp.down_proj.weight", "fed")
    body.add("Add", ["residual", "fed"], "h")
    outputs = [_value("h", ["N", a.d_model])]
    outputs += [_value(f"{name}_GNE", [a.n_kv_heads, "N", a.head_dim]) for name in "kv"]
    return helper.make_graph(body.nodes, f"layer_{layer}", [], outputs)


def _skipped(a: Architecture) -> GraphProto:
    nodes = _Nodes()
    nodes.add("Identity", ["no_h"], "skipped_h")
    nodes.add("Identity", ["no_keys"], "skipped_k")
    nodes.add("Identity", ["no_keys"], "skipped_v")
    outputs = [_value("skipped_h", [0, a.d_model])]
    outputs += [_value(f"skipped_{name}", [a.n_kv_heads, 0, a.head_dim]) for name in "kv"]
    return helper.make_graph(nodes.nodes, "skip", [], outputs)


def _inputs(a: Architecture) -> list[ValueInfoProto]:
    inputs = [
        _value("token_ids", ["N"], TensorProto.INT32),
        _value("positions", ["N"], TensorProto.INT32),
        _value("mask", ["N", "K"]),
        _value("depth", [], TensorProto.INT64),
        _value("log_prob_rows", ["R"], TensorProto.INT64),
    ]
    past: list[int | str] = [a.n_kv_heads, "P", a.head_dim]
    return inputs + [_value(f"past_{name}_{layer}", past) for layer in range(a.n_layers) for name in "kv"]


def _outputs(a: Architecture) -> list[ValueInfoProto]:
    # The first axis is N where a layer ran and 0 where it did not: a name of its own for every layer.
    outputs = [_value(f"h_{i + 1}", [f"n_{i}", a.d_model]) for i in range(a.n_layers)]
    for layer in range(a.n_layers):
        outputs += [_value(f"{name}_{layer}", [a.n_kv_heads, f"n_{layer}", a.head_dim]) for name in "kv"]
    return [*outputs, _value("log_probs", ["R", N_SIXMERS])]


def _constants(a: Architecture) -> list[TensorProto]:
    groups, queries, width = a.n_kv_heads, a.n_heads // a.n_kv_heads, a.head_dim
    integers: dict[str, int | list[int]] = {
        "zero": 0,
        "one": 1,
        "axis_0": [0],
        "axis_1": [1],
        "n_heads": [a.n_heads],
        "n_groups_rest": [groups, -1],
        "shape_NGE": [-1, groups, width],
        "shape_NGQE": [-1, groups, queries, width],
        "shape_GRE": [groups, -1, width],
        "shape_GQNE": [groups, queries, -1, width],
        "shape_NC": [-1, a.n_heads * width],
    }
    integers |= {f"index_{layer}": layer for layer in range(a.n_layers)}
    arrays = {name: np.array(value, dtype=np.int64) for name, value in integers.items()}
    empty = {
        "no_h": np.zeros((0, a.d_model), dtype=np.float32),
        "no_keys": np.zeros((groups, 0, width), dtype=np.float32),
    }
    return [numpy_helper.from_array(array, name) for name, array in (arrays | empty).items()]


def _weights(a: Architecture) -> list[TensorProto]:
    shapes = {name: shape for name, shape in tensor_shapes(a).items() if name != "lm_head.weight"}
    shapes["rope.inv_freq"] = (a.head_dim // 2,)
    shapes["sixmer_head.weight"] = (N_SIXMERS, a.d_model)
    weights = []
    for name, shape in shapes.items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", graph_name(a)), ("offset", str(_NOWHERE))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        weights.append(tensor)
    return weights


def _value(name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, list(shape))
