"""The command `train-mini`. Heavy imports are inside: `geno-lewm --help` must stay quick."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["calibrate", "train_mini"]

_PATH = click.Path(path_type=Path)


@click.command("train-mini")
@click.option(
    "--data",
    type=_PATH,
    required=True,
    help="Folder that holds reference/, annotation/, species/ and benchmark/.",
)
@click.option(
    "--output", type=_PATH, required=True, help="Folder for checkpoint, log and the model directory."
)
@click.option("--steps", type=int, help="Optimiser steps. Default: the published recipe's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the weights and of every window.")
@click.option(
    "--threads", type=int, default=2, show_default=True, help="PyTorch threads; another number, other bits."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --output.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def train_mini(
    data: Path, output: Path, steps: int | None, seed: int, threads: int, resume: bool, no_progress: bool
) -> None:
    """Train the embedded demonstration model from scratch, measure it and write its model directory.

    Takes about an hour on two cores. Interrupted, the same command with --resume goes on, and gives the same
    bytes as a run that was never interrupted.
    """
    from genolewm_train.mini import run_mini

    measured = run_mini(
        data, output, steps=steps, seed=seed, threads=threads, resume=resume, show_progress=not no_progress
    )
    click.echo(f"model: {output / 'model'}")
    click.echo(f"card: {output / 'model' / 'card.md'}")
    click.echo(
        f"chr21: {measured.chain_bits:.4f} bits per base; "
        f"Markov order {measured.single_order}: {measured.single_bits:.4f}, "
        f"mixed orders: {measured.interpolated_bits:.4f}"
    )


@click.command("calibrate")
def calibrate() -> None:
    """Build the calibration table of a model."""
