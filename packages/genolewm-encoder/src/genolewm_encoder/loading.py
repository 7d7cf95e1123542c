"""Transformers' LlamaModel around given weights, without a second copy of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, LlamaModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from genolewm_core.artifacts.manifest import Architecture, ModelDirectory
from genolewm_core.artifacts.tensors import StoredTensor
from genolewm_encoder.wide_linear import widen_products

__all__ = [
    "Weights",
    "as_tensor",
    "default_device",
    "llama_config",
    "llama_model",
    "stored_tensors",
    "truncated",
]

Weights = npt.NDArray[np.float32] | torch.Tensor


def llama_config(architecture: Architecture, *, n_layers: int | None = None) -> LlamaConfig:
    """Transformers' configuration of an architecture, with SDPA attention.

    Attention is pinned: Transformers' eager attention adds a boolean mask as a number, silently wrong.
    """
    a = architecture
    return LlamaConfig(
        vocab_size=a.vocab_rows,
        hidden_size=a.d_model,
        intermediate_size=a.d_ffn,
        num_hidden_layers=a.n_layers if n_layers is None else n_layers,
        num_attention_heads=a.n_heads,
        num_key_value_heads=a.n_kv_heads,
        head_dim=a.head_dim,
        hidden_act="silu",
        max_position_embeddings=32_768,
        rms_norm_eps=a.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": a.rope_theta},
        tie_word_embeddings=a.tied,
        attention_bias=False,
        mlp_bias=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        attn_implementation="sdpa",
    )


def llama_model(architecture: Architecture, tensors: Mapping[str, Weights]) -> LlamaModel:
    """A model for inference whose parameters are the given arrays themselves.

    Args:
        architecture: shape of the model.
        tensors: weights by stock names; of its first layers only, where the layers above are not needed. Without
            the final norm the model gives the raw residual.
    """
    prefix = "model."
    state = {
        name.removeprefix(prefix): as_tensor(t) for name, t in tensors.items() if name.startswith(prefix)
    }
    n_layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    model = _empty_model(llama_config(architecture, n_layers=n_layers))
    if "norm.weight" not in state:
        model.norm = torch.nn.Identity()
    model.load_state_dict(state, strict=True, assign=True)
    model.rotary_emb.to(model.device)
    widen_products(model)
    return model.requires_grad_(False).eval()


def stored_tensors(
    model: ModelDirectory,
    dtype: torch.dtype,
    device: torch.device,
    *,
    n_layers: int | None = None,
    head: bool = True,
) -> dict[str, torch.Tensor]:
    """Verified weights of a model directory on a device, one tensor after the other.

    Little more memory is taken than what is kept: a tensor that is stored as it is wanted is not copied.

    Args:
        n_layers, head: which are needed; see `ModelDirectory.stored_tensors`.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
    """
    return {
        name: _from_stored(tensor).to(device=device, dtype=dtype)
        for name, tensor in model.stored_tensors(n_layers=n_layers, head=head)
    }


def truncated(model: LlamaModel, n_layers: int) -> LlamaModel:
    """The first layers of a model, without its final norm; shares the model's parameters."""
    config = LlamaConfig.from_dict({**model.config.to_dict(), "num_hidden_layers": n_layers})
    config._attn_implementation = "sdpa"
    short = _empty_model(config)
    short.embed_tokens = model.embed_tokens
    short.layers = model.layers[:n_layers]
    short.norm = torch.nn.Identity()
    return short.eval()


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def as_tensor(array: Weights) -> torch.Tensor:
    """A tensor on an array's own memory; a tensor as it is."""
    if isinstance(array, torch.Tensor):
        return array
    with warnings.catch_warnings():
        # Weights read from a file lie in read-only memory; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _from_stored(tensor: StoredTensor) -> torch.Tensor:
    if tensor.dtype == "BF16":
        return torch.from_numpy(tensor.bits.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(tensor.bits)


def _empty_model(config: LlamaConfig) -> LlamaModel:
    with torch.device("meta"):
        model = LlamaModel(config)
    # Its frequencies are no part of the weights, so they have to be computed for real.
    model.rotary_emb = LlamaRotaryEmbedding(config)
    return model
