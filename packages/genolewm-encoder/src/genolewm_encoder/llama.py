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
from genolewm_encoder.loading import (
    Weights,
    as_tensor,
    default_device,
    llama_model,
    stored_tensors,
    truncated,
)

__all__ = ["TorchBackend", "TorchPrefix", "load", "load_bf16"]


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
    """A Llama of six-mers on PyTorch, in the number format and on the device of its weights.

    Whatever the format of the layers, rows, the final norm and log-probabilities are computed in fp32.

    Args:
        architecture: shape of the model.
        tensors: its weights by stock Transformers names, all of one dtype and device; used in place.
        state_layer: layers after which states are read.
        threads: PyTorch's threads, a setting of the whole process; None leaves it alone.
        name: what receipts and calibrations call it.

    Raises:
        ProvenanceError: `tensor-file-invalid`, `manifest-invalid`.
    """

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, Weights],
        state_layer: int,
        *,
        threads: int | None = None,
        name: str = "torch",
    ) -> None:
        check_model(architecture, tensors, state_layer)
        if threads is not None:
            torch.set_num_threads(threads)
        self.name = name
        self._arch = architecture
        self._state_layer = state_layer
        weights = {name: as_tensor(tensor) for name, tensor in tensors.items()}
        # Without the final norm, which is applied in fp32 to the rows that need it.
        norm_D = weights.pop("model.norm.weight").float()
        self._full = llama_model(architecture, weights)
        self._shallow = truncated(self._full, state_layer)
        self._device = norm_D.device
        self._norm_D = norm_D
        self._head_VD = sixmer_head(architecture, weights).float()

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
            attention_mask=torch.from_numpy(pack.visible(prefix.n_tok))[None, None].to(self._device),
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
                input_ids=self._longs(token_ids)[None], position_ids=self._longs(positions)[None], **arguments
            ).last_hidden_state[0]
        states_SD = self._rms_normed(outputs[0][0][self._longs(state_rows)])
        if not len(log_prob_rows):
            return Rows(states_SD.cpu().numpy(), np.zeros((0, N_SIXMERS), dtype=np.float32))
        normed_RD = self._rms_normed(last_ND[self._longs(log_prob_rows)]) * self._norm_D
        log_probs_RV = torch.log_softmax(normed_RD @ self._head_VD.T, dim=-1)
        return Rows(states_SD.cpu().numpy(), log_probs_RV.cpu().numpy())

    def _longs(self, values: npt.NDArray[np.integer[Any]]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(self._device)

    def _rms_normed(self, h_ND: torch.Tensor) -> torch.Tensor:
        h_ND = h_ND.float()
        return h_ND * torch.rsqrt(h_ND.square().mean(dim=-1, keepdim=True) + self._arch.rms_norm_eps)


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
    """Entry point of `genolewm.backends`: a verified model on PyTorch in fp32, on a GPU where there is one.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
    """
    return _load(model, torch.float32, "torch", threads)


def load_bf16(model: ModelDirectory, *, threads: int | None = None) -> TorchBackend:
    """Entry point of `genolewm.backends`: as `load`, with the layers in bf16.

    Raises:
        ProvenanceError: as `load`.
    """
    return _load(model, torch.bfloat16, "torch-bf16", threads)


def _load(model: ModelDirectory, dtype: torch.dtype, name: str, threads: int | None) -> TorchBackend:
    manifest = model.manifest
    tensors = stored_tensors(model, dtype, default_device())
    return TorchBackend(
        manifest.architecture, tensors, manifest.contract.state_layer, threads=threads, name=name
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
