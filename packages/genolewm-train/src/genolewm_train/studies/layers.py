"""The rows of every layer of a model around an edit, from one pass.

Letters of shapes: L layers, T tokens of a trunk, N tokens of a pack, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.scoring.backend import Pack, Trunk
from genolewm_encoder.llama import TorchBackend, TorchPrefix

__all__ = ["LayerBackend", "split_pack"]

Float32 = npt.NDArray[np.float32]


class LayerBackend(TorchBackend):
    """The PyTorch backend, giving the raw residual after each of several layers.

    Args:
        model: a verified model directory.
        layers: numbers of layers, 1 being the first.
        threads: PyTorch's threads; None leaves them alone.
    """

    def __init__(self, model: ModelDirectory, layers: Sequence[int], *, threads: int | None = None) -> None:
        # States are read after the last wanted layer, so passes without likelihoods run exactly so far.
        super().__init__(model.manifest.architecture, model.tensors(), max(layers), threads=threads)
        self.layers = tuple(layers)
        self.eps = model.manifest.architecture.rms_norm_eps

    def open_layers(self, trunk: Trunk) -> tuple[TorchPrefix, Float32]:
        """Run a trunk; its prefix, and (L, T, D) raw rows."""
        with self._capture() as held:
            prefix = self.open(replace(trunk, keep=True))
        return prefix, _stacked(held)

    def extend_layers(self, prefix: TorchPrefix, pack: Pack) -> Float32:
        """Run branches on a trunk; (L, N, D) raw rows."""
        with self._capture() as held:
            self.extend(prefix, pack)
        return _stacked(held)

    @contextmanager
    def _capture(self) -> Iterator[list[torch.Tensor]]:
        held: list[torch.Tensor] = []
        handles = [
            self._shallow.layers[number - 1].register_forward_hook(
                lambda _module, _inputs, output: held.append(output)
            )
            for number in self.layers
        ]
        try:
            yield held
        finally:
            for handle in handles:
                handle.remove()


def split_pack(pack: Pack, most_tok: int) -> Iterator[tuple[Pack, int]]:
    """A pack as several of at most `most_tok` tokens each (one branch at least), and where each begins.

    Attention inside a pack is masked, so a pack of long branches costs the square of its length for nothing.
    """
    starts = np.flatnonzero(np.diff(pack.branch, prepend=-1))
    ends = np.append(starts[1:], len(pack.branch))
    begin = 0
    for i, end in enumerate(ends):
        if i + 1 < len(ends) and ends[i + 1] - begin <= most_tok:
            continue
        yield _part(pack, begin, int(end)), begin
        begin = int(end)


def _part(pack: Pack, begin: int, end: int) -> Pack:
    def rows(wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return wanted[(wanted >= begin) & (wanted < end)] - begin

    return Pack(
        token_ids=pack.token_ids[begin:end],
        positions=pack.positions[begin:end],
        branch=pack.branch[begin:end] - pack.branch[begin],
        prefix_tok=pack.prefix_tok[begin:end],
        state_rows=rows(pack.state_rows),
        log_prob_rows=rows(pack.log_prob_rows),
    )


def _stacked(held: list[torch.Tensor]) -> Float32:
    return torch.stack([output[0] for output in held]).numpy()
