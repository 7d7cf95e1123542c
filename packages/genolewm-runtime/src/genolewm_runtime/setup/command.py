"""Get an encoder, a reference and an annotation, and verify them."""

from __future__ import annotations

import click

__all__ = ["setup"]


@click.command()
def setup() -> None:
    """Get an encoder, a reference and an annotation, and verify them."""
    raise click.UsageError("not available yet")
