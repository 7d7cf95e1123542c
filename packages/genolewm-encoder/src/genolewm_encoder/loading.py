"""Transformers' LlamaModel around given weights, without a second copy of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, LlamaModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from genolewm_core.artifacts.manifest import Architecture

__all__ = ["as_tensor", "llama_config", "llama_model", "truncated"]

Float32 = npt.NDArray[np.float32]


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


def llama_model(architecture: Architecture, tensors: Mapping[str, Float32]) -> LlamaModel:
    """A model for inference whose parameters are the given arrays themselves.

    Args:
        architecture: shape of the model.
        tensors: fp32 weights by stock names; `check_model` has passed.
    """
    prefix = "model."
    state = {
        name.removeprefix(prefix): as_tensor(t) for name, t in tensors.items() if name.startswith(prefix)
    }
    model = _empty_model(llama_config(architecture))
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def truncated(model: LlamaModel, n_layers: int) -> LlamaModel:
    """The first layers of a model, without its final norm; shares the model's parameters."""
    config = LlamaConfig.from_dict({**model.config.to_dict(), "num_hidden_layers": n_layers})
    config._attn_implementation = "sdpa"
    short = _empty_model(config)
    short.embed_tokens = model.embed_tokens
    short.layers = model.layers[:n_layers]
    short.norm = torch.nn.Identity()
    return short.eval()


def as_tensor(array: Float32) -> torch.Tensor:
    """A tensor on an array's own memory."""
    with warnings.catch_warnings():
        # Weights read from a file lie in read-only memory; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _empty_model(config: LlamaConfig) -> LlamaModel:
    with torch.device("meta"):
        model = LlamaModel(config)
    # Its frequencies are no part of the weights, so they have to be computed for real.
    model.rotary_emb = LlamaRotaryEmbedding(config)
    return model
