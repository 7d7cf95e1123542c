"""Bits per base of a language model on held-out sequence, beside Markov models of the same training bases.

Axis letters: N six-mers of the held-out sequence, in order; every one is predicted once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genolewm_core.errors import EvaluationError
from genolewm_core.genome.bed import Region
from genolewm_core.scoring.sixmer import K
from genolewm_train import markov
from genolewm_train.data_folder import open_reference, read_pieces
from genolewm_train.language_model import predict_logits
from genolewm_train.objective import right_log_probs
from genolewm_train.training_sequence import TrainingSequence, codes_of

__all__ = [
    "EVALUATION_CONTIG",
    "EVALUATION_SPAN",
    "BitsPerBase",
    "Margin",
    "bits_per_base",
    "evaluation_pieces",
    "markov_bits",
    "paired_margin",
]

Float = npt.NDArray[np.float64]
Digits = npt.NDArray[np.uint8]

EVALUATION_CONTIG = "chr21"
EVALUATION_SPAN = (24_980_000, 26_010_000)
"""GRCh38, 0-based half-open: about a million real bases of the chromosome that nothing is trained on."""

WINDOW_TOK = 1_545
"""The longest trunk that the model is used on."""

BLOCK_TOK = 1_667
"""Six-mers of a bootstrap block: 10 kb, longer than the dependence that repeats make."""

N_RESAMPLES = 2_000


@dataclass(frozen=True)
class BitsPerBase:
    """Bits per base of every held-out six-mer; the mean of an array is the number to quote.

    Attributes:
        chain: −log2 p(six-mer) / 6; the exact likelihood of the sequence. float64 (N,).
        marginal: mean over the six places of −log2 of the right base's marginal; None for a model that
            predicts base by base, where it is the same thing.
    """

    chain: Float
    marginal: Float | None = None


@dataclass(frozen=True)
class Margin:
    """Mean of a paired difference with a 95 % block-bootstrap interval; bits per base."""

    mean: float
    low: float
    high: float


def evaluation_pieces(data: Path) -> list[Digits]:
    """Held-out stretches of A, C, G, T, each cut to whole six-mers.

    Raises:
        InputError: the reference is missing or has no such contig.
        EvaluationError: it has no bases there.
    """
    with open_reference(data, "GRCh38") as reference:
        length_bp = reference.contig(EVALUATION_CONTIG).length
        region = Region(EVALUATION_CONTIG, *(min(at, length_bp) for at in EVALUATION_SPAN))
        pieces = read_pieces(reference, "GRCh38", region)
    cut = [piece.digits[: len(piece.digits) // K * K] for piece in pieces]
    if not cut:
        raise EvaluationError(
            "training-data-missing",
            "There is no held-out sequence to evaluate on.",
            where=f"{reference.path} {EVALUATION_CONTIG}:{EVALUATION_SPAN[0]}-{EVALUATION_SPAN[1]}",
            expected="bases",
            found="N only",
            next_step="check the folder given with --data",
        )
    return cut


def _windows(n_tok: int, window_tok: int) -> Iterator[tuple[int, int, int]]:
    """(start, first to score, end): every six-mer once; beyond the first window, half a window of context."""
    yield 0, 0, min(window_tok, n_tok)
    scored = min(window_tok, n_tok)
    while scored < n_tok:
        end = min(scored + window_tok // 2, n_tok)
        yield end - window_tok, scored, end
        scored = end


@torch.no_grad()
def bits_per_base(model: Any, pieces: Sequence[Digits], window_tok: int = WINDOW_TOK) -> BitsPerBase:
    """Bits per base of a network from `build_network` on pieces of whole six-mers."""
    chain, marginal = [], []
    for piece in pieces:
        codes = torch.from_numpy(codes_of(piece))
        for start, first, end in _windows(len(codes), window_tok):
            logits = predict_logits(model, codes[None, start:end])[first - start :]
            token, bases = right_log_probs(logits, codes[first:end])
            chain.append(-token[:, 0].double().numpy() / (K * math.log(2)))
            marginal.append(-bases.double().mean(dim=1).numpy() / math.log(2))
    return BitsPerBase(np.concatenate(chain), np.concatenate(marginal))


def markov_bits(
    sequence: TrainingSequence, pieces: Sequence[Digits], orders: Sequence[int] = markov.ORDERS
) -> tuple[BitsPerBase, BitsPerBase, markov.Fit]:
    """The best single order and the interpolated model, fitted on the first source's bases (human).

    One piece in twenty chooses order and weights and is then counted with the rest.
    """
    train = [piece.digits for piece in sequence.sources[0].pieces]
    left_out = train[::20]
    chosen = markov.fit([piece for index, piece in enumerate(train) if index % 20], left_out, orders)
    single, interpolated = (
        BitsPerBase(predict(train, pieces, chosen).reshape(-1, K).mean(axis=1))
        for predict in (markov.predict_single, markov.predict_interpolated)
    )
    return single, interpolated, chosen


def paired_margin(better: Float, baseline: Float, *, block: int = BLOCK_TOK, seed: int = 0) -> Margin:
    """How many bits per base `better` saves over `baseline`, from the same six-mers in the same order.

    Blocks of neighbouring six-mers are resampled, since neighbours are not independent.
    """
    saved = baseline - better
    n_blocks = max(1, len(saved) // block)
    means = np.array([part.mean() for part in np.array_split(saved, n_blocks)])
    draws = np.random.default_rng(seed).integers(0, n_blocks, size=(N_RESAMPLES, n_blocks))
    low, high = np.percentile(means[draws].mean(axis=1), [2.5, 97.5])
    return Margin(float(saved.mean()), float(low), float(high))
