"""The whole job of `train-mini`: read, train, measure, publish; live progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from genolewm_train.card import Measured
from genolewm_train.data_folder import read_training_sequence
from genolewm_train.language_model import Progress, train
from genolewm_train.publish import publish, refuse_existing
from genolewm_train.recipe import Recipe

__all__ = ["run_mini"]


def run_mini(
    data: Path,
    output: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 2,
    resume: bool = False,
    show_progress: bool = True,
) -> Measured:
    """Trains the embedded model and writes it to `output/model`.

    Args:
        data: folder with reference/, annotation/, species/ and benchmark/.
        output: folder for checkpoint, log and model directory.
        steps: optimiser steps; the published recipe's when None.
        seed: of the weights and of every window.
        threads: PyTorch threads.
        resume: go on from the checkpoint in `output`.
        show_progress: draw a progress bar on stderr.

    Raises:
        GenoLeWMError: see `train` and `publish`.
    """
    recipe = replace(Recipe(), seed=seed, threads=threads)
    if steps is not None:
        recipe = replace(recipe, n_steps=steps)
    target = output / "model"
    refuse_existing(target)  # now, not after an hour
    sequence, holdouts = read_training_sequence(data, human=recipe.human, species=recipe.species)
    console = Console(stderr=True)
    with _bar(console, recipe.n_steps, enabled=show_progress) as on_progress:
        model = train(recipe, sequence, output, resume=resume, on_progress=on_progress)

    def on_stage(text: str) -> None:
        if show_progress:
            console.print(f"measuring: {text}")

    return publish(model, recipe, sequence, holdouts, data, output, target, on_stage)


@contextmanager
def _bar(console: Console, n_steps: int, *, enabled: bool) -> Iterator[Callable[[Progress], None]]:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bits]} bits/base  {task.fields[speed]} six-mers/s"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not enabled) as bar:
        task = bar.add_task("training", total=n_steps, bits="-", speed="-")

        def show(now: Progress) -> None:
            bar.update(
                task,
                completed=now.step,
                bits=f"{now.marginal_bits:.4f}",
                speed=f"{now.tokens_per_s:,.0f}",
            )

        yield show
