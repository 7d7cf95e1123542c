"""Shapes of models, and what follows from one alone: its tensors, rotary frequencies and graph name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.fields import check, check_types
from genolewm_core.errors import ProvenanceError

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "check_model",
    "graph_name",
    "rope_inv_freq",
    "sixmer_head",
    "tensor_shapes",
]

# `<dna>`, `</dna>` and `<oov>` come first; `scoring.sixmer` says the same, and stands above this module.
_SIXMER_ROWS = slice(3, 3 + 4**6)
# Names of all tensors are listed before a file is opened, so their number must have an end.
_MOST_LAYERS = 1_000


class _Shaped(Protocol):
    @property
    def shape(self) -> Sequence[int]: ...


class _Sliceable(Protocol):
    def __getitem__(self, rows: slice, /) -> Self: ...


_Tensor = TypeVar("_Tensor", bound=_Sliceable)
"""A numpy array, or a tensor of a library that this package does not import."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a causal Llama over six-mers with its vocabulary sliced to the DNA rows.

    Attributes:
        vocab_rows: rows of the sliced embedding; `<dna>` is row 0, AAAAAA row 3.
        tied: the output layer is the embedding.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ffn: int
    rms_norm_eps: float
    rope_theta: float
    vocab_rows: int = 4_107
    tied: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        check(
            self,
            n_layers=1 <= self.n_layers <= _MOST_LAYERS,
            d_model=self.d_model >= 1,
            n_heads=self.n_heads >= 1,
            n_kv_heads=self.n_kv_heads >= 1 and self.n_heads % self.n_kv_heads == 0,
            head_dim=self.head_dim >= 2 and self.head_dim % 2 == 0,
            d_ffn=self.d_ffn >= 1,
            rms_norm_eps=0 < self.rms_norm_eps < 1,
            rope_theta=1 <= self.rope_theta <= 1e12,
            vocab_rows=self.vocab_rows >= _SIXMER_ROWS.stop,
        )


ARCHITECTURES: dict[str, Architecture] = {
    "mini": Architecture(
        n_layers=6,
        d_model=256,
        n_heads=4,
        n_kv_heads=2,
        head_dim=64,
        d_ffn=768,
        rms_norm_eps=1e-6,
        rope_theta=10_000.0,
    ),
    "carbon-500m": Architecture(
        n_layers=28,
        d_model=1_024,
        n_heads=16,
        n_kv_heads=8,
        head_dim=64,
        d_ffn=3_072,
        rms_norm_eps=1e-6,
        rope_theta=500_000.0,
    ),
    "carbon-3b": Architecture(
        n_layers=30,
        d_model=3_072,
        n_heads=32,
        n_kv_heads=4,
        head_dim=96,
        d_ffn=8_448,
        rms_norm_eps=1e-6,
        rope_theta=5_000_000.0,
    ),
    "carbon-8b": Architecture(
        n_layers=32,
        d_model=4_096,
        n_heads=32,
        n_kv_heads=8,
        head_dim=128,
        d_ffn=14_336,
        rms_norm_eps=1e-5,
        rope_theta=5_000_000.0,
        tied=False,
    ),
}
"""Architectures for which a graph is shipped: the embedded model and the three Carbon sizes."""


def graph_name(architecture: Architecture) -> str:
    """File name of the architecture's ONNX graph: the fields that the graph depends on, and no other."""
    a = architecture
    return (
        f"llama-l{a.n_layers}-d{a.d_model}-h{a.n_heads}-kv{a.n_kv_heads}-e{a.head_dim}-f{a.d_ffn}"
        f"-v{a.vocab_rows}-eps{a.rms_norm_eps:g}.onnx"
    )


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a model, by its stock Transformers name; linear layers are (out, in)."""
    a = architecture
    q_width, kv_width = a.n_heads * a.head_dim, a.n_kv_heads * a.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (a.vocab_rows, a.d_model)}
    for layer in range(a.n_layers):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (a.d_model,),
            at + "self_attn.q_proj.weight": (q_width, a.d_model),
            at + "self_attn.k_proj.weight": (kv_width, a.d_model),
            at + "self_attn.v_proj.weight": (kv_width, a.d_model),
            at + "self_attn.o_proj.weight": (a.d_model, q_width),
            at + "post_attention_layernorm.weight": (a.d_model,),
            at + "mlp.gate_proj.weight": (a.d_ffn, a.d_model),
            at + "mlp.up_proj.weight": (a.d_ffn, a.d_model),
            at + "mlp.down_proj.weight": (a.d_model, a.d_ffn),
        }
    shapes["model.norm.weight"] = (a.d_model,)
    if not a.tied:
        shapes["lm_head.weight"] = (a.vocab_rows, a.d_model)
    return shapes


def check_model(architecture: Architecture, tensors: Mapping[str, _Shaped], state_layer: int) -> None:
    """Refuse tensors that are not exactly the architecture's, and a state layer that it does not have.

    Raises:
        ProvenanceError: `tensor-file-invalid`, `manifest-invalid`.
    """
    if not 1 <= state_layer <= architecture.n_layers:
        raise ProvenanceError(
            "manifest-invalid",
            "The model has no such layer to read states from.",
            where="contract.state_layer",
            expected=f"1 to {architecture.n_layers}",
            found=str(state_layer),
            next_step="get the model again from where it was published",
        )
    expected = tensor_shapes(architecture)
    for name in sorted(expected.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != expected.get(name):
            raise ProvenanceError(
                "tensor-file-invalid",
                "The weights do not fit the architecture that the manifest states.",
                where=name,
                expected=f"shape {expected[name]}" if name in expected else "no such tensor",
                found=f"shape {found}" if found is not None else "no such tensor",
                next_step="get the model again from where it was published",
            )


def sixmer_head(architecture: Architecture, tensors: Mapping[str, _Tensor]) -> _Tensor:
    """Rows of the output layer that belong to the six-mers, (4096, D) in code order; a view."""
    head_VD = tensors["model.embed_tokens.weight" if architecture.tied else "lm_head.weight"]
    return head_VD[_SIXMER_ROWS]


def rope_inv_freq(architecture: Architecture) -> npt.NDArray[np.float32]:
    """Rotary frequencies, float32 (head_dim/2,), rounded in the steps in which Transformers rounds them.

    A last-bit difference here would be a phase of 1e-4 at position 2,000.
    """
    exponents = np.arange(0, architecture.head_dim, 2, dtype=np.float32) / np.float32(architecture.head_dim)
    powers = (architecture.rope_theta ** exponents.astype(np.float64)).astype(np.float32)
    return np.asarray(np.float32(1) / powers)
