"""Trains the embedded model: a small Llama of exactly Carbon's shape, from scratch, on the processor.

Axis letters: B windows, L six-mers of a window, D hidden width, V the 4,096 six-mers.

The window of step s, row b is a pure function of (seed, s, b), and nothing random happens after the
weights are drawn; so a run stopped anywhere and resumed equals the uninterrupted one byte for byte on the
same machine class with the same number of threads.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.errors import InputError, TrainingError
from genolewm_core.logs import emit
from genolewm_core.scoring.sixmer import N_SIXMERS, Vocabulary
from genolewm_encoder.loading import llama_config
from genolewm_train.checkpoint import load_checkpoint, save_checkpoint
from genolewm_train.muon import Muon
from genolewm_train.objective import base_losses
from genolewm_train.recipe import Recipe
from genolewm_train.training_sequence import TrainingSequence

__all__ = ["CHECKPOINT_NAME", "LOG_NAME", "Progress", "build_network", "predict_logits", "train"]

CHECKPOINT_NAME = "checkpoint.safetensors"
LOG_NAME = "train.jsonl"
LOG_EVERY = 5
VOCABULARY = Vocabulary(0)


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step; losses in bits per base, averaged since the last report."""

    step: int
    n_steps: int
    tokens: int
    marginal_bits: float
    token_bits: float
    lr_factor: float
    tokens_per_s: float
    elapsed_s: float


def build_network(network: Architecture, seed: int) -> Any:
    """A fresh `LlamaForCausalLM` with weights drawn from `seed`."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(llama_config(network))


def predict_logits(model: Any, codes_BL: torch.Tensor) -> torch.Tensor:
    """Six-mer logits, (B·L, 4096): each six-mer predicted from `<dna>` and the six-mers before it.

    Args:
        model: from `build_network`.
        codes_BL: int64 (B, L), codes 0..4095; −1 stands for `<oov>`.
    """
    ids_BL = torch.where(codes_BL < 0, VOCABULARY.oov, codes_BL + VOCABULARY.sixmer_start)
    start_B1 = torch.full((len(ids_BL), 1), VOCABULARY.dna)
    inputs_BL = torch.cat([start_B1, ids_BL[:, :-1]], dim=1)
    rows_BLD = model.model(input_ids=inputs_BL, use_cache=False).last_hidden_state
    first = VOCABULARY.sixmer_start
    head_VD = model.model.embed_tokens.weight[first : first + N_SIXMERS]
    return rows_BLD.reshape(-1, rows_BLD.shape[-1]) @ head_VD.mT  # type: ignore[no-any-return]


def _optimisers(model: Any, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return {
        "muon": Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay),
        "adamw": torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.95), weight_decay=0.0),
    }


def _take_step(
    model: Any,
    optimisers: dict[str, torch.optim.Optimizer],
    recipe: Recipe,
    sequence: TrainingSequence,
    step: int,
) -> tuple[float, float]:
    """One optimiser step; marginal and token loss in nats per base."""
    stage = recipe.stage(step)
    codes = torch.from_numpy(sequence.batch(recipe.seed, step, stage.n_rows, stage.length_tok))
    n_positions = codes.numel()
    marginal = token = 0.0
    for part in torch.split(codes, stage.n_rows_at_once):
        losses = base_losses(predict_logits(model, part), part.reshape(-1))
        loss = (losses.marginal + recipe.token_weight * losses.token) / n_positions
        loss.backward()  # type: ignore[no-untyped-call]
        marginal += float(losses.marginal.detach()) / n_positions
        token += float(losses.token.detach()) / n_positions
    if not math.isfinite(marginal + token):
        raise TrainingError(
            "training-diverged",
            "Training stopped because its loss was not a finite number.",
            where=f"step {step}",
            expected="a finite loss",
            found=f"marginal {marginal}, token {token} nats per base",
            next_step="resume from the last checkpoint with a smaller step size, or change the seed",
        )
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    factor = recipe.lr_factor(step)
    for optimiser, lr in zip(optimisers.values(), (recipe.matrix_lr, recipe.other_lr), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = lr * factor
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return marginal, token


def _open_log(path: Path, step: int) -> Any:
    """The log, cut back to the steps before `step`, open for appending."""
    lines = path.read_text(encoding="utf-8").splitlines() if step and path.exists() else []
    kept = [line + "\n" for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(kept), encoding="utf-8")
    return path.open("a", encoding="utf-8")


@contextmanager
def _denormals_as_zero() -> Iterator[None]:
    """A trained network's attention weights fall into denormals, which cost a long window three times as much."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_denormals_as_zero()
def train(
    recipe: Recipe,
    sequence: TrainingSequence,
    output: Path,
    *,
    resume: bool = False,
    checkpoint_every: int = 100,
    stop_after: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Any:
    """Trains from scratch, or from the last checkpoint, and returns the network in evaluation mode.

    Args:
        recipe: what to train.
        sequence: what to train on.
        output: folder for the checkpoint and the log (one JSON object a line).
        resume: go on from the checkpoint in `output`.
        checkpoint_every: steps between checkpoints.
        stop_after: take at most this many steps now.
        on_progress: called every few steps and at the end.

    Raises:
        InputError: there is nothing to resume, something would be overwritten, or the checkpoint is of
            another run.
        TrainingError: the loss was not finite.
    """
    torch.set_num_threads(recipe.threads)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / CHECKPOINT_NAME
    if resume != checkpoint.exists():
        raise InputError(
            "resume-conflict",
            "There is no checkpoint to resume." if resume else "An unfinished run is in the way.",
            where=str(checkpoint),
            expected="a checkpoint" if resume else "an output folder without a checkpoint",
            found="none" if resume else "a checkpoint",
            next_step="leave --resume out" if resume else "add --resume, or give another --output",
        )
    model = build_network(recipe.network, recipe.seed).train()
    optimisers = _optimisers(model, recipe)
    digest = recipe.digest(sequence.digest)
    first = 0
    if resume:
        first = load_checkpoint(checkpoint, digest=digest, model=model, optimisers=optimisers)
    last = recipe.n_steps if stop_after is None else min(recipe.n_steps, first + stop_after)
    tokens = sum(_step_tokens(recipe, step) for step in range(first))
    emit("training_started", steps=recipe.n_steps, first_step=first, threads=recipe.threads)
    started = reported = time.monotonic()
    since: list[tuple[float, float, int]] = []
    with _open_log(output / LOG_NAME, first) as log:
        for step in range(first, last):
            marginal, token = _take_step(model, optimisers, recipe, sequence, step)
            since.append((marginal, token, _step_tokens(recipe, step)))
            tokens += since[-1][2]
            done = step + 1
            if done % LOG_EVERY == 0 or done == last:
                now = time.monotonic()
                report = Progress(
                    step=done,
                    n_steps=recipe.n_steps,
                    tokens=tokens,
                    marginal_bits=sum(m for m, _, _ in since) / len(since) / math.log(2),
                    token_bits=sum(t for _, t, _ in since) / len(since) / math.log(2),
                    lr_factor=recipe.lr_factor(step),
                    tokens_per_s=sum(n for _, _, n in since) / (now - reported),
                    elapsed_s=now - started,
                )
                log.write(json.dumps(asdict(report)) + "\n")
                log.flush()
                if on_progress is not None:
                    on_progress(report)
                reported = now
                since.clear()
            if done % checkpoint_every == 0 or done == last:
                save_checkpoint(checkpoint, step=done, digest=digest, model=model, optimisers=optimisers)
                emit("checkpoint_written", step=done)
    emit("training_finished", steps=last - first, seconds=time.monotonic() - started)
    return model.eval()


def _step_tokens(recipe: Recipe, step: int) -> int:
    stage = recipe.stage(step)
    return stage.n_rows * stage.length_tok
