"""Everything that decides the bits of the embedded model, in one frozen value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.errors import ConfigError

__all__ = ["Recipe", "Stage"]


@dataclass(frozen=True)
class Stage:
    """A part of training with one window length.

    Attributes:
        share: share of all steps.
        n_rows: windows a step.
        n_rows_at_once: windows in one forward and backward pass; gradients of a step's passes are added.
        length_tok: six-mers a window; the network reads `<dna>` and all of them but the last.
    """

    share: float
    n_rows: int
    n_rows_at_once: int
    length_tok: int


@dataclass(frozen=True)
class Recipe:
    """How the embedded model is trained. The defaults are the published model's.

    Attributes:
        network: shape of the network, without biases as Carbon; a graph of the default ships for it.
        n_steps: optimiser steps.
        seed: of the initial weights and of every window.
        threads: PyTorch threads; their number changes the order of sums, and so the bits.
        human: share of the windows drawn from human sequence.
        species: share drawn from each further genome.
        token_weight: weight of the token loss (nats per base) beside the marginal loss.
        matrix_lr: Muon's step for the hidden matrices.
        other_lr: AdamW's step for the embedding and the norms.
        weight_decay: of the hidden matrices.
        clip_norm: largest norm of the whole gradient.
        warmup_steps: steps in which the step size rises linearly.
        decay: share of the steps, the last ones, in which it falls linearly to 0.
    """

    network: Architecture = ARCHITECTURES["mini"]
    stages: tuple[Stage, ...] = (Stage(0.8, 16, 4, 256), Stage(0.2, 3, 1, 1_545))
    n_steps: int = 1_400
    seed: int = 0
    threads: int = 2
    human: float = 0.88
    species: float = 0.06
    token_weight: float = 0.5
    matrix_lr: float = 0.02
    other_lr: float = 0.003
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 36
    decay: float = 0.4

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.threads < 1 or self.seed < 0:
            raise ConfigError(
                "config-invalid",
                "A training option has a value that cannot be used.",
                where="--steps, --threads or --seed",
                expected="at least one step, at least one thread, a seed of 0 or more",
                found=f"steps {self.n_steps}, threads {self.threads}, seed {self.seed}",
                next_step="leave the option out to train the published recipe",
            )

    def stage(self, step: int) -> Stage:
        """The stage of a step (0-based)."""
        end = 0.0
        for stage in self.stages:
            end += stage.share
            if step < round(end * self.n_steps):
                return stage
        return self.stages[-1]

    def lr_factor(self, step: int) -> float:
        """Warm-up, stable, decay: what the step sizes are multiplied by at a step (0-based)."""
        fall = max(1, round(self.decay * self.n_steps))
        return min(1.0, (step + 1) / self.warmup_steps, (self.n_steps - step) / fall)

    @property
    def n_tokens(self) -> int:
        """Six-mers predicted over the whole run."""
        return sum(
            stage.n_rows * stage.length_tok for stage in (self.stage(step) for step in range(self.n_steps))
        )

    def digest(self, data_digest: str) -> str:
        """SHA-256 of the recipe and the training sequence: a checkpoint of another digest is refused."""
        text = json.dumps({"recipe": asdict(self), "data": data_digest}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
