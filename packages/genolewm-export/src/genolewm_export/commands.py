"""The command `export-graph`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["export_graph"]


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model directory whose architecture is wanted. Default: every architecture that is shipped.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the graphs to."
)
def export_graph(model: Path | None, output: Path) -> None:
    """Write the weight-free ONNX graphs that ONNX Runtime runs models with."""
    from genolewm_core.artifacts.architectures import ARCHITECTURES
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_export.graph import write_graph

    wanted = (
        list(ARCHITECTURES.values()) if model is None else [ModelDirectory.open(model).manifest.architecture]
    )
    output.mkdir(parents=True, exist_ok=True)
    for architecture in wanted:
        click.echo(write_graph(architecture, output))
