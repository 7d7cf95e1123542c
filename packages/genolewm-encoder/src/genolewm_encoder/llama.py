"""Carbon and the embedded model on PyTorch: trunks and branches over Transformers' LlamaModel.

Letters of shapes: T tokens of a trunk, N tokens of a pack, K = T + N keys, D width, S and R rows of which
states and log-probabilities are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache

from genolewm_core.artifacts.architectures import check_model, sixmer_head
from genolewm_core.artifacts.manifest import Architecture, ModelDirectory
from genolewm_core.scoring.backend import Pack, Prefix, Rows, Trunk
from genolewm_core.scoring.sixmer import N_SIXMERS
from genolewm_encoder.loading import as_tensor, llama_model, truncated

__all__ = ["TorchBackend", "TorchPrefix", "load"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TorchPrefix:
    """A trunk that was run.

    Attributes:
        rows: what was asked of the trunk.
        cache: keys and values of the layers that were run; None unless kept.
        n_tok: T.
        full_depth: all layers were run.
    """

    rows: Rows
    cache: DynamicCache | None
    n_tok: int
    full_depth: bool


class TorchBackend:
    """A Llama of six-mers on PyTorch, fp32 on the CPU.

    Args:
        architecture: shape of the model.
        tensors: its weights by stock Transformers names, fp32; used in place.
        state_layer: layers after which states are read.
        threads: PyTorch's threads, a setting of the whole process; None leaves it alone.

    Raises:
        ProvenanceError: `tensor-file-invalid`, `manifest-invalid`.
    """

    name = "torch"

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, Float32],
        state_layer: int,
        *,
        threads: int | None = None,
    ) -> None:
        check_model(architecture, tensors, state_layer)
        if threads is not None:
            torch.set_num_threads(threads)
        self._arch = architecture
        self._state_layer = state_layer
        self._full = llama_model(architecture, tensors)
        self._shallow = truncated(self._full, state_layer)
        self._head_VD = as_tensor(sixmer_head(architecture, tensors))

    @property
    def d_state(self) -> int:
        """Width of a state."""
        return self._arch.d_model

    @torch.inference_mode()
    def open(self, trunk: Trunk) -> TorchPrefix:
        """Run a trunk.

        Raises:
            ValueError: log-probabilities are asked for without full depth.
        """
        if len(trunk.log_prob_rows) and not trunk.full_depth:
            raise ValueError("log-probabilities need a trunk of full depth")
        cache = DynamicCache() if trunk.keep else None
        # Without a mask SDPA takes its causal path.
        rows = self._run(
            trunk.full_depth,
            trunk.token_ids,
            np.arange(len(trunk.token_ids)),
            trunk.state_rows,
            trunk.log_prob_rows,
            past_key_values=cache,
            use_cache=trunk.keep,
        )
        return TorchPrefix(rows, cache, len(trunk.token_ids), trunk.full_depth)

    @torch.inference_mode()
    def extend(self, prefix: Prefix, pack: Pack) -> Rows:
        """Run branches on a trunk.

        Raises:
            ValueError: the prefix was not kept, or is too shallow for log-probabilities.
        """
        if not isinstance(prefix, TorchPrefix) or prefix.cache is None:
            raise ValueError("branches need a trunk that this backend opened and kept")
        wants_log_probs = len(pack.log_prob_rows) > 0
        if wants_log_probs and not prefix.full_depth:
            raise ValueError("log-probabilities need a trunk of full depth")
        return self._run(
            wants_log_probs,
            pack.token_ids,
            pack.positions,
            pack.state_rows,
            pack.log_prob_rows,
            attention_mask=torch.from_numpy(pack.visible(prefix.n_tok))[None, None],
            past_key_values=_FrozenCache(prefix.cache),
            use_cache=True,
        )

    def _run(
        self,
        full_depth: bool,
        token_ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.integer[Any]],
        state_rows: npt.NDArray[np.int64],
        log_prob_rows: npt.NDArray[np.int64],
        **arguments: Any,
    ) -> Rows:
        if not len(token_ids):
            return _no_rows(self._arch.d_model)
        model = self._full if full_depth else self._shallow
        with _output_of(model.layers[self._state_layer - 1]) as outputs:
            last_ND = model(
                input_ids=torch.from_numpy(token_ids.astype(np.int64))[None],
                position_ids=torch.from_numpy(positions.astype(np.int64))[None],
                **arguments,
            ).last_hidden_state[0]
        h_SD = outputs[0][0][torch.from_numpy(state_rows)]
        mean_square = h_SD.square().mean(dim=-1, keepdim=True)
        states = h_SD * torch.rsqrt(mean_square + self._arch.rms_norm_eps)
        if not len(log_prob_rows):
            return Rows(states.numpy(), np.zeros((0, N_SIXMERS), dtype=np.float32))
        logits = last_ND[torch.from_numpy(log_prob_rows)] @ self._head_VD.T
        return Rows(states.numpy(), torch.log_softmax(logits, dim=-1).numpy())


class _FrozenCache(DynamicCache):  # type: ignore[misc]
    """A trunk's keys and values, to which a pass adds its own without keeping them."""

    def __init__(self, trunk: DynamicCache) -> None:
        super().__init__()
        self.layers = trunk.layers

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the trunk, then those of the pass, (1, heads, K, head width)."""
        trunk = self.layers[layer_idx]
        return torch.cat([trunk.keys, key_states], dim=2), torch.cat([trunk.values, value_states], dim=2)


def load(model: ModelDirectory, *, threads: int | None = None) -> TorchBackend:
    """Entry point of `genolewm.backends`: a verified model on PyTorch.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
    """
    manifest = model.manifest
    return TorchBackend(
        manifest.architecture, model.tensors(), manifest.contract.state_layer, threads=threads
    )


@contextmanager
def _output_of(layer: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """The layer's outputs while the block runs: the raw residual, before any norm."""
    outputs: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _no_rows(d_model: int) -> Rows:
    return Rows(np.zeros((0, d_model), dtype=np.float32), np.zeros((0, N_SIXMERS), dtype=np.float32))
