"""Score every possible substitution of a region."""

from __future__ import annotations

import click

__all__ = ["saturate"]


@click.command()
def saturate() -> None:
    """Score every possible substitution of a region."""
    raise click.UsageError("not available yet")
