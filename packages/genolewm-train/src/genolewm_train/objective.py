"""Factorised nucleotide supervision with a little token cross-entropy.

Axis letters: N positions, V the 4,096 six-mers in code order, J = 6 places of a six-mer, b = 4 bases.

All terms use a softmax over the six-mers alone, in float32, and are in nats per base.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genolewm_core.scoring.sixmer import N_SIXMERS, K

__all__ = ["BaseLosses", "base_losses", "place_digits", "right_log_probs"]


def place_digits() -> torch.Tensor:
    """int64 (V, J): digit of base j of six-mer v, in `sixmer.BASE_ORDER`."""
    places = 4 ** torch.arange(K - 1, -1, -1)
    return (torch.arange(N_SIXMERS)[:, None] // places) % 4


@dataclass(frozen=True)
class BaseLosses:
    """Sums over the supervised positions, with their number.

    Attributes:
        marginal: −log of the right base's marginal, mean over the six places, summed; nats.
        token: −log p(six-mer) / 6, summed; nats. The six-mer's exact (chain) likelihood per base.
        n_positions: supervised positions.
    """

    marginal: torch.Tensor
    token: torch.Tensor
    n_positions: int


def right_log_probs(logits_NV: torch.Tensor, codes_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of what is there: of the six-mer, and of each of its bases by its marginal.

    Args:
        logits_NV: float (N, 4096), six-mer logits.
        codes_N: int64 (N,), codes 0..4095.

    Returns:
        float32 (N, 1) and (N, 6), nats.
    """
    log_probs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    digits_VJ = place_digits()
    # (V, 24): which of the 24 (place, base) pairs a six-mer has.
    pairs = torch.nn.functional.one_hot(digits_VJ, 4).reshape(N_SIXMERS, K * 4).to(log_probs_NV.dtype)
    marginals_NJb = (log_probs_NV.exp() @ pairs).reshape(-1, K, 4)
    right_NJ = marginals_NJb.gather(2, digits_VJ[codes_N][:, :, None])[:, :, 0]
    # A marginal underflows only when the model is certain and wrong; the floor keeps its gradient finite.
    return log_probs_NV.gather(1, codes_N[:, None]), right_NJ.clamp_min(1e-30).log()


def base_losses(logits_NV: torch.Tensor, codes_N: torch.Tensor) -> BaseLosses:
    """Both losses of predicted six-mers.

    Args:
        logits_NV: float (N, 4096), six-mer logits.
        codes_N: int64 (N,), codes 0..4095; −1 where the target is `<oov>`, which is left out.
    """
    known = codes_N >= 0
    if not bool(known.all()):
        logits_NV, codes_N = logits_NV[known], codes_N[known]
    token_N1, bases_NJ = right_log_probs(logits_NV, codes_N)
    return BaseLosses(-bases_NJ.sum() / K, -token_N1.sum() / K, len(codes_N))
