"""The command `report`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]


@click.command("report")
@click.argument("scores", type=click.Path(path_type=Path))
def report(scores: Path) -> None:
    """Write one HTML page about a score table."""
