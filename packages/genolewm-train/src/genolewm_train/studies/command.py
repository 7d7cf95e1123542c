"""The command group `study`."""

from __future__ import annotations

import click

__all__ = ["study"]


@click.group("study")
def study() -> None:
    """Measure an encoder: what its scores depend on, and which settings to choose."""
