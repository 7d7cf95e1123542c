"""The learned pool, kept for comparison (RFC-0002 section 3.4).

Letters of shapes: T tokens of a window without `<dna>`, D width.
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["AttentionPool"]


class AttentionPool(torch.nn.Module):
    """A single head whose query is the row of the locus; begins as the plain mean.

    Args:
        d_state: D; the weight has D x D numbers, a million at Carbon-500M.
    """

    def __init__(self, d_state: int) -> None:
        super().__init__()
        self.query = torch.nn.Linear(d_state, d_state, bias=False)
        torch.nn.init.zeros_(self.query.weight)

    def forward(self, rows_TD: torch.Tensor, centre: int) -> torch.Tensor:
        """State of a window, (D,): its rows weighted by softmax(query(centre row) . row / sqrt(D))."""
        scores_T = rows_TD @ self.query(rows_TD[centre]) / rows_TD.shape[1] ** 0.5
        return torch.softmax(scores_T, dim=0) @ rows_TD

    def digest(self) -> str:
        """SHA-256 of the weight."""
        weight = self.query.weight.detach().float().cpu().contiguous()
        return hashlib.sha256(weight.numpy().tobytes()).hexdigest()
