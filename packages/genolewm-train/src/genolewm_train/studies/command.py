"""The command group `study`. Heavy imports are inside: `geno-lewm --help` must stay quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["study"]

_PATH = click.Path(path_type=Path)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every study."""
    for option in reversed(
        (
            click.option("--model", type=_PATH, required=True, help="Model directory with manifest.json."),
            click.option("--data", type=_PATH, required=True, help="Folder of public data."),
            click.option(
                "--output",
                type=_PATH,
                required=True,
                help="Folder for results; a stopped study goes on there.",
            ),
            click.option(
                "--variants",
                type=click.IntRange(20),
                default=500,
                show_default=True,
                help="Personal variants; the other sets grow with it.",
            ),
            click.option(
                "--resamples",
                type=click.IntRange(20),
                default=1000,
                show_default=True,
                help="Of the bootstrap over variants.",
            ),
            click.option("--threads", type=click.IntRange(1), help="Default: the library chooses."),
            click.option("--pages", type=_PATH, help="Also write page, plot and JSON into this folder."),
            click.option("--no-progress", is_flag=True, help="No progress bar."),
        )
    ):
        command = option(command)
    return command


@click.group("study")
def study() -> None:
    """Measure an encoder: what its scores depend on, and which settings to choose."""


@study.command("phases")
@_options
@click.option("--backend", default="auto", show_default=True, help="Compute backend.")
def phases(model: Path, data: Path, output: Path, backend: str, no_progress: bool, **size: Any) -> None:
    """Six-mer phases and strands: agreement, cost and gain of averaging over them.

    With the embedded model about ten minutes on two idle cores. Interrupted, the same command goes on.
    """
    from genolewm_train.studies.run import run_phases

    click.echo(run_phases(model, data, output, backend=backend, show_progress=not no_progress, **size))


@study.command("contract")
@_options
@click.option("--layers", help="Layers to compare, as in 2,4,6. Default: all, or eight of a deep model.")
def contract(
    model: Path, data: Path, output: Path, layers: str | None, no_progress: bool, **size: Any
) -> None:
    """Layer, radius, rows, pooling and distance of the state contract, on PyTorch.

    With the embedded model about ten minutes on two idle cores. Interrupted, the same command goes on.
    """
    from genolewm_train.studies.run import run_contract

    try:
        wanted = None if layers is None else tuple(int(layer) for layer in layers.split(","))
    except ValueError as error:
        raise click.BadParameter("numbers separated by commas", param_hint="--layers") from error
    click.echo(run_contract(model, data, output, layers=wanted, show_progress=not no_progress, **size))
