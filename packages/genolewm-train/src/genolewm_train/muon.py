"""Muon in float32: momentum whose matrix is replaced by its nearest semi-orthogonal one.

PyTorch's own Muon iterates in bfloat16, which processors without bfloat16 arithmetic emulate: there a
step takes four times as long. Otherwise the same: Nesterov momentum, five Newton-Schulz iterations (Jordan
et al. 2024, https://kellerjordan.github.io/posts/muon/), step scaled by sqrt(max(1, rows/columns)).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

__all__ = ["Muon", "orthogonalise"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz iteration: singular values of a 2-d tensor go to between about 0.7 and 1.2."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    oriented: torch.Tensor = x.mT if tall else x
    return oriented


class Muon(torch.optim.Optimizer):
    """Muon for 2-d parameters.

    Args:
        params: matrices.
        lr: step size; the update has singular values near 1 before it.
        momentum: decay of the momentum buffer.
        weight_decay: decoupled, times `lr`.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients; `closure` is not supported."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(gradient)
                buffer = state["momentum"]
                buffer.lerp_(gradient, 1.0 - momentum)
                update = orthogonalise(gradient.lerp(buffer, momentum))
                rows, columns = parameter.shape
                parameter.mul_(1.0 - lr * group["weight_decay"])
                parameter.add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)
