"""The model card and its loss curve: what the embedded model is, and every number that was measured on it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genolewm_train.language_model_eval import Margin
from genolewm_train.recipe import Recipe

__all__ = ["Measured", "TrainingTime", "read_log", "render_card", "training_time", "write_loss_curve"]


@dataclass(frozen=True)
class Measured:
    """Numbers of the finished model; bits are per base on the held-out sequence.

    Attributes:
        n_bases: held-out bases, each predicted once by every model.
        chain_bits: exact likelihood of the sequence under the network.
        marginal_bits: bases by their marginals, blind to the earlier bases of the same six-mer.
        single_order, single_bits: the best Markov model of one order.
        interpolated_order, interpolated_bits: the Markov model mixed over all orders up to that one.
        margin: bits saved over the better of the two Markov models.
        brca1: name -> AUROC over all and over missense variants; the network's heads and published scores.
    """

    n_bases: int
    chain_bits: float
    marginal_bits: float
    single_order: int
    single_bits: float
    interpolated_order: int
    interpolated_bits: float
    margin: Margin
    brca1: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class TrainingTime:
    """What the log says of the run: hours of computing and six-mers seen, restarts included."""

    seconds: float
    n_tokens: int


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a training log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def training_time(log: Sequence[Mapping[str, Any]]) -> TrainingTime:
    """Time from the speed of every logged stretch, so that a pause between two starts is not counted."""
    seconds, before = 0.0, 0
    for line in log:
        seconds += (line["tokens"] - before) / line["tokens_per_s"]
        before = line["tokens"]
    return TrainingTime(seconds, before)


def write_loss_curve(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plots both training losses in bits per base against six-mers seen, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    millions = [line["tokens"] / 1e6 for line in log]
    for key, label in (("marginal_bits", "by base marginals"), ("token_bits", "by six-mer")):
        values = [line[key] for line in log]
        colour = axes.plot(millions, values, alpha=0.25, linewidth=0.8)[0].get_color()
        axes.plot(millions, _smoothed(values), color=colour, label=label)
    axes.set_xlabel("six-mers seen (millions)")
    axes.set_ylabel("training loss (bits per base)")
    axes.legend()
    axes.grid(alpha=0.3)
    # A fixed metadata block: equal runs give equal files.
    figure.savefig(path, metadata={"Software": None})


def _smoothed(values: Sequence[float], keep: float = 0.9) -> list[float]:
    level, out = values[0], []
    for value in values:
        level = keep * level + (1 - keep) * value
        out.append(level)
    return out


def machine_class() -> str:
    """Processor kind, cores and library versions; never a host's name."""
    import torch

    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, "
        f"PyTorch {torch.__version__.partition('+')[0]}, Python {platform.python_version()}, float32"
    )


def _verdict(measured: Measured) -> str:
    margin = measured.margin
    interval = f"{margin.mean:+.4f} bits per base, 95 % interval {margin.low:+.4f} to {margin.high:+.4f}"
    if margin.low > 0:
        return f"The network beats the better Markov model ({interval})."
    if margin.high < 0:
        return (
            f"**The network does not beat the better Markov model** ({interval}): so little sequence and "
            "computing teach a network less than counting k-mers does."
        )
    return f"The network and the better Markov model cannot be told apart ({interval})."


def render_card(
    *,
    recipe: Recipe,
    measured: Measured,
    sources: Mapping[str, int],
    held_out_genes: int,
    parameters: int,
    weight_bytes: int,
    time: TrainingTime,
    name: str,
    version: str,
) -> str:
    """The card as Markdown.

    Args:
        recipe: how the model was trained.
        measured: what it reaches.
        sources: training bases of each source.
        held_out_genes: number of genes that were held out.
        parameters, weight_bytes: size of the network and of its file.
        time: of the run.
        name, version: of the model.
    """
    net = recipe.network
    stages = "; ".join(
        f"{sum(recipe.stage(step) == stage for step in range(recipe.n_steps)):,} steps with "
        f"{stage.n_rows} windows of {stage.length_tok:,} six-mers"
        for stage in recipe.stages
    )
    bases = ", ".join(f"{source} {count:,} bp" for source, count in sources.items())
    brca1 = "\n".join(
        f"| {who} | {values['all']:.3f} | {values['missense']:.3f} |"
        for who, values in measured.brca1.items()
    )
    first = next(iter(measured.brca1.values()), {"n_all": 0, "n_missense": 0})
    return f"""# {name} {version}

**Demonstration model. It does not know biology.** It exists so that every step of the program runs on real
numbers within a minute. Do not read anything about a person, a gene or a variant from its scores. Use Carbon
for that, and even then for research only, never for a clinical decision.

## What it is

A causal language model of DNA of exactly Carbon's shape: stock Llama, {net.n_layers} layers, width
{net.d_model}, {net.n_heads} heads of {net.head_dim} ({net.n_kv_heads} for keys and values), feed-forward
{net.d_ffn}, tied embedding of {net.vocab_rows:,} rows (`<dna>`, `</dna>`, `<oov>`, the 4,096 six-mers
in base order A, T, C, G, 8 unused), RMS norm epsilon {net.rms_norm_eps:g}, rotary base {net.rope_theta:,.0f}.
{parameters:,} parameters, bfloat16, {weight_bytes / 1e6:.1f} MB.

## What it reaches

Bits per base on GRCh38 chr21:24.98-26.01 Mb ({measured.n_bases:,} bases; no base of chromosome 21 was trained
on). Less is better; four equally likely bases take 2. Every model predicts the same bases from the left.

| model | bits per base |
|---|---|
| {name}, six-mer by six-mer (exact likelihood) | {measured.chain_bits:.4f} |
| {name}, base marginals | {measured.marginal_bits:.4f} |
| Markov model, best single order ({measured.single_order}) | {measured.single_bits:.4f} |
| Markov model, mixed over orders 0 to {measured.interpolated_order} | {measured.interpolated_bits:.4f} |

{_verdict(measured)} The Markov models counted the human part of the same training bases on both strands;
orders, pseudo-counts and mixing weights were chosen on training bases.

AUROC for loss of function on the saturation editing of BRCA1 (Findlay et al. 2018; {first["n_all"]:,.0f}
variants, {first["n_missense"]:,.0f} missense; BRCA1 was held out of training). Published scores are computed
from the same rows. 0.5 is a coin.

| score | all | missense |
|---|---|---|
{brca1}

## How it was trained

* Loss: factorised nucleotide supervision (−log of the right base's marginal at each of the six places) plus
  {recipe.token_weight:g} times the six-mer cross-entropy per base, both over the six-mers alone;
  `<oov>` targets are left out.
* Muon (step {recipe.matrix_lr:g}) for the hidden matrices, AdamW (step {recipe.other_lr:g}) for embedding and
  norms; linear warm-up over {recipe.warmup_steps} steps, then constant, then falling linearly to
  {recipe.lr_factor(recipe.n_steps - 1):.0%} at the last of {recipe.n_steps:,} steps. Seed {recipe.seed}.
* {stages}: {time.n_tokens:,} six-mers.
* {time.seconds / 60:.0f} minutes on {recipe.threads} threads, shared with other work ({machine_class()}).
* Windows at every six-mer phase and on both strands; soft-masking is ignored; every N ends a window.

![Training loss](loss_curve.png)

Data: {bases}; {recipe.human:.0%} of the windows are human. Of GRCh37 only what GRCh38 does not have here.

Held out of training, on both assemblies and with what each interval lifts to on the other: chromosome 21;
GRCh37 17:41.0-41.4 Mb and GRCh38 chr17:42.8-43.3 Mb (BRCA1); GRCh37 20:1-2 Mb and 22:16.05-22.0 Mb; and
{held_out_genes} LRG disease genes with 5 kb on both sides: those whose name's SHA-256, its first eight
bytes read as a number, is a multiple of 5.

## Rebuild it

```
geno-lewm train-mini --data DATA --output OUTPUT
```

trains by the same recipe. Two such runs are meant to give the same weights, byte for byte, on the same machine
class with the same number of threads: every window is a function of the seed and the step, and the tests hold a
resumed run to the bytes of an uninterrupted one. The first 1,200 steps of the published 0.1.0 kept denormal
numbers, which the command now treats as zero, so a rebuild agrees with it to rounding and not to the byte.
"""
