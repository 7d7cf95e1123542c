"""The command `errors`: what a code means."""

from __future__ import annotations

import click

from genolewm_core.errors import CODES

__all__ = ["errors"]


@click.command("errors")
@click.argument("code", required=False)
def errors(code: str | None) -> None:
    """Explain an error code, or list all of them."""
    for name in sorted(CODES) if code is None else [code]:
        click.echo(f"{name}: {CODES[name]}")
