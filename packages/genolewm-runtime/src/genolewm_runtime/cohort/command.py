"""Score the VCFs of a cohort."""

from __future__ import annotations

import click

__all__ = ["score_cohort"]


@click.command()
def score_cohort() -> None:
    """Score the VCFs of a cohort."""
    raise click.UsageError("not available yet")
