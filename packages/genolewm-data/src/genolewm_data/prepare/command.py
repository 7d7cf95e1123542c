"""The commands that prepare shards; what is not there yet says so."""

from __future__ import annotations

import click

__all__ = ["prepare", "prepare_clinvar", "prepare_gnomad"]


@click.group()
def prepare() -> None:
    """Make shards of variants from released files."""


@prepare.command("gnomad")
def prepare_gnomad() -> None:
    """Common variants of a gnomAD release."""
    raise click.UsageError("not available yet")


@prepare.command("clinvar")
def prepare_clinvar() -> None:
    """Labelled variants of a ClinVar release."""
    raise click.UsageError("not available yet")
