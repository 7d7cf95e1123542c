"""A backend in plain numpy and double precision: slow, and short enough to be checked by reading.

Tests of scores use it so that they need no compute library, and other backends are compared with it.

Letters of shapes: N tokens, P tokens before them, D width, H query heads, G key-value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.scoring.backend import Pack, Rows, Trunk
from genolewm_core.scoring.sixmer import N_SIXMERS, Vocabulary

__all__ = ["NumpyBackend", "NumpyPrefix"]

Float64 = npt.NDArray[np.float64]
_Cache = list[tuple[Float64, Float64]]


@dataclass(frozen=True)
class NumpyPrefix:
    """A trunk that was run."""

    rows: Rows
    cache: _Cache  # rotated keys and values of every layer, (G, P, E)
    full_depth: bool


class NumpyBackend:
    """A Llama of the given shape; weights by their Transformers names, double precision throughout."""

    name = "numpy"

    def __init__(
        self, architecture: Architecture, tensors: Mapping[str, npt.NDArray[np.floating]], state_layer: int
    ) -> None:
        self._arch = architecture
        self._weights = {name: np.asarray(t, dtype=np.float64) for name, t in tensors.items()}
        self._state_layer = state_layer

    @property
    def d_state(self) -> int:
        """Width of a state."""
        return self._arch.d_model

    def open(self, trunk: Trunk) -> NumpyPrefix:
        """Run a trunk."""
        n = len(trunk.token_ids)
        causal_NN = np.tril(np.ones((n, n), dtype=np.bool_))
        rows, cache = self._run(
            trunk.token_ids,
            np.arange(n),
            causal_NN,
            None,
            trunk.state_rows,
            trunk.log_prob_rows,
            trunk.full_depth,
        )
        return NumpyPrefix(rows, cache, trunk.full_depth)

    def extend(self, prefix: NumpyPrefix, pack: Pack) -> Rows:
        """Run branches on a trunk."""
        visible_NK = pack.visible(prefix.cache[0][0].shape[1])
        rows, _ = self._run(
            pack.token_ids,
            pack.positions,
            visible_NK,
            prefix.cache,
            pack.state_rows,
            pack.log_prob_rows,
            prefix.full_depth,
        )
        return rows

    def _run(
        self,
        token_ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.integer],
        visible_NK: npt.NDArray[np.bool_],
        past: _Cache | None,
        state_rows: npt.NDArray[np.int64],
        log_prob_rows: npt.NDArray[np.int64],
        full_depth: bool,
    ) -> tuple[Rows, _Cache]:
        a, w = self._arch, self._weights
        x_ND = w["model.embed_tokens.weight"][token_ids]
        cache: _Cache = []
        states = np.zeros((0, a.d_model))
        for layer in range(a.n_layers if full_depth else self._state_layer):
            at = f"model.layers.{layer}."
            h_ND = self._norm(x_ND) * w[at + "input_layernorm.weight"]
            q_HNE = self._rotate(
                self._heads(h_ND @ w[at + "self_attn.q_proj.weight"].T, a.n_heads), positions
            )
            k_GNE = self._rotate(
                self._heads(h_ND @ w[at + "self_attn.k_proj.weight"].T, a.n_kv_heads), positions
            )
            v_GNE = self._heads(h_ND @ w[at + "self_attn.v_proj.weight"].T, a.n_kv_heads)
            cache.append((k_GNE, v_GNE))
            if past is not None:
                k_GNE = np.concatenate([past[layer][0], k_GNE], axis=1)
                v_GNE = np.concatenate([past[layer][1], v_GNE], axis=1)
            group = a.n_heads // a.n_kv_heads
            scores_HNK = q_HNE @ np.repeat(k_GNE, group, axis=0).transpose(0, 2, 1) / np.sqrt(a.head_dim)
            scores_HNK = np.where(visible_NK[None], scores_HNK, -np.inf)
            p_HNK = np.exp(scores_HNK - scores_HNK.max(axis=-1, keepdims=True))
            p_HNK /= p_HNK.sum(axis=-1, keepdims=True)
            out_HNE = p_HNK @ np.repeat(v_GNE, group, axis=0)
            x_ND = (
                x_ND + out_HNE.transpose(1, 0, 2).reshape(len(x_ND), -1) @ w[at + "self_attn.o_proj.weight"].T
            )
            h_ND = self._norm(x_ND) * w[at + "post_attention_layernorm.weight"]
            gate_NF = h_ND @ w[at + "mlp.gate_proj.weight"].T
            up_NF = h_ND @ w[at + "mlp.up_proj.weight"].T
            x_ND = x_ND + (gate_NF / (1 + np.exp(-gate_NF)) * up_NF) @ w[at + "mlp.down_proj.weight"].T
            if layer + 1 == self._state_layer:
                states = self._norm(x_ND[state_rows])
        log_probs = np.zeros((0, N_SIXMERS))
        if full_depth:
            first = Vocabulary(0).sixmer_start
            table = w["model.embed_tokens.weight" if a.tied else "lm_head.weight"][first : first + N_SIXMERS]
            logits = (self._norm(x_ND[log_prob_rows]) * w["model.norm.weight"]) @ table.T
            top = logits.max(axis=-1, keepdims=True, initial=-np.inf)
            log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
        return Rows(states.astype(np.float32), log_probs.astype(np.float32)), cache

    def _norm(self, x_ND: Float64) -> Float64:
        scale = np.sqrt(np.mean(x_ND**2, axis=-1, keepdims=True) + self._arch.rms_norm_eps)
        return np.asarray(x_ND / scale)

    def _heads(self, x_NW: Float64, n_heads: int) -> Float64:
        return x_NW.reshape(len(x_NW), n_heads, self._arch.head_dim).transpose(1, 0, 2)

    def _rotate(self, x_HNE: Float64, positions: npt.NDArray[np.integer]) -> Float64:
        half = self._arch.head_dim // 2
        angles_NE = positions[:, None] / self._arch.rope_theta ** (np.arange(half) / half)[None, :]
        cos, sin = np.cos(angles_NE), np.sin(angles_NE)
        left, right = x_HNE[..., :half], x_HNE[..., half:]
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
