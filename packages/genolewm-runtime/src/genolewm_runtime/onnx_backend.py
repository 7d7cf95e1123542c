"""Carbon and the embedded model on ONNX Runtime: a shipped weight-free graph plus the tensors of a model.

Both calls run the same session in blocks of tokens. A trunk's blocks see the trunk before them, so the masked
half of a quadratic attention is mostly not computed; a pack's blocks are whole branches, which need not see
each other. Blocks are cut by token counts alone: the same pack gives the same bytes.

Letters of shapes: T tokens of a trunk, N tokens of a block, P tokens before it, L layers, G key-value heads,
E head width, D width.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from genolewm_core.artifacts.architectures import check_model, graph_name, rope_inv_freq, sixmer_head
from genolewm_core.artifacts.manifest import Architecture, ModelDirectory
from genolewm_core.errors import DeploymentError
from genolewm_core.scoring.backend import Pack, Prefix, Rows, Trunk
from genolewm_core.scoring.sixmer import N_SIXMERS
from genolewm_runtime.float_environment import denormals_as_zero

__all__ = ["OnnxBackend", "OnnxPrefix", "load", "shipped_graph"]

Float32 = npt.NDArray[np.float32]
Tensors = Mapping[str, Float32]

BLOCK_TOK = 256
"""Tokens a run: scores of a block stay in cache, and weights are read often enough to stay compute-bound."""

# Added to the score of a key that may not be seen: exp of it is 0, and it cannot overflow to an infinity.
_HIDDEN = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class OnnxPrefix:
    """A trunk that was run.

    Attributes:
        rows: what was asked of the trunk.
        past: `past_k_i`, `past_v_i` (G, T, E) of the layers that were run; empty unless kept.
        n_tok: T.
        depth: layers that were run.
    """

    rows: Rows
    past: dict[str, ort.OrtValue]
    n_tok: int
    depth: int


class OnnxBackend:
    """A Llama of six-mers on ONNX Runtime's CPU provider, fp32.

    Args:
        architecture: shape of the model.
        tensors: its weights by stock Transformers names, fp32; used in place, so they must not be written to.
        state_layer: layers after which states are read.
        threads: compute threads; None for as many as there are cores.
        prepack: let ONNX Runtime hold a second, rearranged copy of the weights; None for `fits_prepacked`.
        graph: the architecture's graph file; None for the shipped one.

    Raises:
        DeploymentError: `graph-missing`.
        ProvenanceError: `tensor-file-invalid`, `manifest-invalid`.
    """

    name = "onnx"

    def __init__(
        self,
        architecture: Architecture,
        tensors: Tensors,
        state_layer: int,
        *,
        threads: int | None = None,
        prepack: bool | None = None,
        graph: Path | None = None,
    ) -> None:
        check_model(architecture, tensors, state_layer)
        self._arch = architecture
        self._state_layer = state_layer
        # ONNX Runtime reads these buffers for as long as the session lives.
        self._weights = _initializers(architecture, tensors)
        if prepack is None:
            prepack = fits_prepacked(sum(array.nbytes for array in tensors.values()))
        options = ort.SessionOptions()
        for name, value in self._weights.items():
            options.add_initializer(name, value)
        options.add_session_config_entry("session.disable_prepacking", "0" if prepack else "1")
        # Waiting threads that spin gain nothing here, and take the cores from whatever else the machine does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Softmax over a long trunk gives many numbers too small for the processor's fast path (measured on the
        # embedded model: a quarter of the time, and the same bytes).
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.enable_mem_pattern = False  # a pattern is kept for every shape ever seen, and shapes vary
        if threads is not None:
            options.intra_op_num_threads = threads
        with denormals_as_zero():
            self._session = ort.InferenceSession(
                str(graph or shipped_graph(architecture)), options, providers=["CPUExecutionProvider"]
            )
        nothing = np.zeros((architecture.n_kv_heads, 0, architecture.head_dim), dtype=np.float32)
        self._no_past = {
            name: ort.OrtValue.ortvalue_from_numpy(nothing)
            for name in self._past_names(architecture.n_layers)
        }

    @property
    def d_state(self) -> int:
        """Width of a state."""
        return self._arch.d_model

    def open(self, trunk: Trunk) -> OnnxPrefix:
        """Run a trunk.

        Raises:
            ValueError: log-probabilities are asked for without full depth.
        """
        if len(trunk.log_prob_rows) and not trunk.full_depth:
            raise ValueError("log-probabilities need a trunk of full depth")
        n_tok = len(trunk.token_ids)
        depth = self._arch.n_layers if trunk.full_depth else self._state_layer
        kept_names = self._past_names(depth)
        kept = {
            name: np.empty((self._arch.n_kv_heads, n_tok, self._arch.head_dim), np.float32)
            for name in kept_names
        }
        rows = _RowsBuilder(self._arch.d_model, trunk.state_rows, trunk.log_prob_rows)
        for start, end in _even_blocks(n_tok):
            past = {name: _value(np.ascontiguousarray(kept[name][:, :start])) for name in kept_names}
            own = kept_names if trunk.keep or end < n_tok else []
            positions = np.arange(start, end, dtype=np.int32)
            mask_NK = np.where(np.arange(end) <= positions[:, None], np.float32(0), _HIDDEN)
            token_ids = trunk.token_ids[start:end]
            for name, array in self._run(
                token_ids, positions, mask_NK, past, depth, own, rows, start
            ).items():
                kept[name][:, start:end] = array
        values = {name: _value(array) for name, array in kept.items()} if trunk.keep else {}
        return OnnxPrefix(rows.build(), values, n_tok, depth)

    def extend(self, prefix: Prefix, pack: Pack) -> Rows:
        """Run branches on a trunk.

        Raises:
            ValueError: the prefix was not kept, or is too shallow for log-probabilities.
        """
        if not isinstance(prefix, OnnxPrefix) or not prefix.past:
            raise ValueError("branches need a trunk that this backend opened and kept")
        wants_log_probs = len(pack.log_prob_rows) > 0
        if wants_log_probs and prefix.depth < self._arch.n_layers:
            raise ValueError("log-probabilities need a trunk of full depth")
        depth = self._arch.n_layers if wants_log_probs else self._state_layer
        rows = _RowsBuilder(self._arch.d_model, pack.state_rows, pack.log_prob_rows)
        for start, end in _branch_blocks(pack.branch):
            block = replace(
                pack,
                token_ids=pack.token_ids[start:end],
                positions=pack.positions[start:end],
                branch=pack.branch[start:end],
                prefix_tok=pack.prefix_tok[start:end],
            )
            mask_NK = np.where(block.visible(prefix.n_tok), np.float32(0), _HIDDEN)
            self._run(block.token_ids, block.positions, mask_NK, prefix.past, depth, [], rows, start)
        return rows.build()

    def _run(
        self,
        token_ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        mask_NK: Float32,
        past: Mapping[str, ort.OrtValue],
        depth: int,
        own: Sequence[str],
        rows: _RowsBuilder,
        start: int,
    ) -> dict[str, Float32]:
        """Run the block from token `start`, add its rows, and give the keys and values named in `own`."""
        states, log_probs = rows.within(start, start + len(token_ids))
        hidden = f"h_{self._state_layer}"
        fetches = [name.removeprefix("past_") for name in own]
        fetches += [hidden] if len(states) else []
        fetches += ["log_probs"] if len(log_probs) else []
        if not fetches:
            return {}
        feeds = {
            "token_ids": _value(token_ids),
            "positions": _value(positions),
            "mask": _value(mask_NK),
            "depth": _value(np.array(depth, dtype=np.int64)),
            "log_prob_rows": _value(log_probs),
        }
        with denormals_as_zero():
            values = self._session.run_with_ort_values(fetches, {**self._no_past, **past, **feeds})
        found = {name: value.numpy() for name, value in zip(fetches, values, strict=True)}
        if len(states):
            rows.states.append(_rms_normed(found[hidden][states], self._arch.rms_norm_eps))
        if len(log_probs):
            rows.log_probs.append(found["log_probs"])
        return {name: found[name.removeprefix("past_")] for name in own}

    def _past_names(self, n_layers: int) -> list[str]:
        return [f"past_{name}_{layer}" for layer in range(n_layers) for name in "kv"]


class _RowsBuilder:
    """Rows of a pass as its blocks give them, in order."""

    def __init__(
        self, d_model: int, state_rows: npt.NDArray[np.int64], log_prob_rows: npt.NDArray[np.int64]
    ) -> None:
        self._wanted = (state_rows, log_prob_rows)
        self.states: list[Float32] = [np.zeros((0, d_model), dtype=np.float32)]
        self.log_probs: list[Float32] = [np.zeros((0, N_SIXMERS), dtype=np.float32)]

    def within(self, start: int, end: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows wanted out of a block, counted from its start: of states, of log-probabilities."""
        states, log_probs = (rows[(start <= rows) & (rows < end)] - start for rows in self._wanted)
        return states, log_probs

    def build(self) -> Rows:
        return Rows(np.concatenate(self.states), np.concatenate(self.log_probs))


def load(model: ModelDirectory, *, threads: int | None = None) -> OnnxBackend:
    """Entry point of `genolewm.backends`: a verified model on ONNX Runtime.

    Raises:
        DeploymentError: `graph-missing`.
        ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
    """
    manifest = model.manifest
    return OnnxBackend(manifest.architecture, model.tensors(), manifest.contract.state_layer, threads=threads)


def shipped_graph(architecture: Architecture) -> Path:
    """The graph of an architecture that comes with this package.

    Raises:
        DeploymentError: `graph-missing`.
    """
    path = Path(__file__).parent / "graphs" / graph_name(architecture)
    if not path.is_file():
        raise DeploymentError(
            "graph-missing",
            "ONNX Runtime cannot run this model: no graph of its shape is installed.",
            where=str(architecture),
            expected=path.name,
            next_step="choose another backend with --backend, or update genolewm-runtime",
        )
    return path


def fits_prepacked(weight_bytes: int) -> bool:
    """Whether ONNX Runtime may hold a second, rearranged copy of the weights: both in half of the memory."""
    return 2 * weight_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _initializers(architecture: Architecture, tensors: Tensors) -> dict[str, ort.OrtValue]:
    arrays = {name: array for name, array in tensors.items() if name != "lm_head.weight"}
    arrays["rope.inv_freq"] = rope_inv_freq(architecture)
    arrays["sixmer_head.weight"] = sixmer_head(architecture, tensors)
    return {name: _value(array) for name, array in arrays.items()}


def _value(array: npt.NDArray[np.generic]) -> ort.OrtValue:
    """An array for ONNX Runtime, in place where it is contiguous; the value keeps the array alive."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _rms_normed(h_SD: Float32, eps: float) -> Float32:
    mean_square = np.mean(np.square(h_SD), axis=-1, keepdims=True)
    return np.asarray(h_SD / np.sqrt(mean_square + np.float32(eps)))


def _even_blocks(n_tok: int) -> list[tuple[int, int]]:
    """Ranges of about `BLOCK_TOK` tokens, of equal length but for one token."""
    edges = np.linspace(0, n_tok, max(1, round(n_tok / BLOCK_TOK)) + 1).astype(int).tolist()
    return list(pairwise(edges))


def _branch_blocks(branch: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Ranges of whole branches, of at most `BLOCK_TOK` tokens where a branch is not longer itself."""
    ends = [*(np.flatnonzero(np.diff(branch)) + 1).tolist(), len(branch)]
    blocks: list[tuple[int, int]] = []
    start = previous = 0
    for end in ends:
        if end - start > BLOCK_TOK and previous > start:
            blocks.append((start, previous))
            start = previous
        previous = end
    if previous > start:
        blocks.append((start, previous))
    return blocks
