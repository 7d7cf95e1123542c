"""Encode the windows of a reference into a cache."""

from __future__ import annotations

import click

__all__ = ["cache_windows"]


@click.command()
def cache_windows() -> None:
    """Encode the windows of a reference into a cache."""
    raise click.UsageError("not available yet")
