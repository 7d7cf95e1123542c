"""Look after a cache of reference states."""

from __future__ import annotations

import click

__all__ = ["cache"]


@click.command()
def cache() -> None:
    """Look after a cache of reference states."""
    raise click.UsageError("not available yet")
