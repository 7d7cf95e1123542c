"""What a person sees on the terminal: the banner, progress, the account of rows, tables of scores.

Everything but results goes to stderr, so that results can be piped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from genolewm_core.artifacts.manifest import Manifest, ModelDirectory
    from genolewm_core.genome.survey import Survey
    from genolewm_runtime.run import RunSummary
    from genolewm_runtime.scoring import ScoredRow
    from genolewm_runtime.shards import ShardOutcome

__all__ = [
    "BANNER",
    "RunProgress",
    "as_json",
    "console",
    "progress",
    "show_banner",
    "show_model_notice",
    "show_score",
    "show_summary",
]

BANNER = (
    "This is a research tool. Not a clinical diagnostic. "
    "If a variant concerns you, talk to a genetic counselor."
)
"""RFC-0010 section 3.6, word for word."""


def console(*, stderr: bool = False) -> Console:
    """A terminal that prints text as it is: names and paths may hold what rich takes for markup or emoji."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show_banner() -> None:
    """Print the safety banner; it cannot be turned off."""
    click.secho(BANNER, fg="red", bold=True, err=True)


def show_model_notice(model: ModelDirectory) -> None:
    """Say what a demonstration model is, whenever one is used."""
    if model.manifest.demonstration:
        click.secho(
            f"{model.manifest.name} is a demonstration model: it shows the whole path and does not know biology. "
            f"Its card has its measured AUROC beside Carbon's published one: {model.path / 'card.md'}\n"
            "Scores worth reading need Carbon's weights: geno-lewm setup gets them.",
            fg="yellow",
            err=True,
        )


class RunProgress(Protocol):
    """Callbacks of a run."""

    def on_survey(self, found: Survey) -> None:
        """The VCF was read through."""
        ...

    def on_shard(self, outcome: ShardOutcome) -> None:
        """A shard is finished."""
        ...


class _Silent:
    def on_survey(self, found: Survey) -> None:
        pass

    def on_shard(self, outcome: ShardOutcome) -> None:
        pass


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} variants/s", style="progress.data.speed")


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("reading the VCF", total=None)

    def on_survey(self, found: Survey) -> None:
        self._bar.update(self._task, description="scoring", total=max(found.rows_matched, 1))

    def on_shard(self, outcome: ShardOutcome) -> None:
        self._bar.advance(self._task, outcome.scorable)


@contextmanager
def progress(enabled: bool) -> Iterator[RunProgress]:
    """A progress bar on stderr with rate and time left, or nothing."""
    if not enabled:
        yield _Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        yield _Bar(bar)


def show_summary(summary: RunSummary, seconds: float) -> None:
    """The account of all rows by status and reason."""
    table = Table(title="Every row of the input", title_justify="left")
    table.add_column("status")
    table.add_column("reason")
    table.add_column("rows", justify="right")
    for (status, reason), n in sorted(summary.counts.items(), key=lambda item: (item[0][0], -item[1])):
        table.add_row(status, reason or "", f"{n:,}")
    terminal = console(stderr=True)
    terminal.print(table)
    resumed = f", {summary.resumed_shards} shards from an earlier run" if summary.resumed_shards else ""
    terminal.print(f"{summary.rows('scored'):,} scored in {seconds:.1f} s on {summary.backend}{resumed}")
    terminal.print(f"scores:  {summary.output}", soft_wrap=True)
    terminal.print(f"receipt: {summary.receipt}", soft_wrap=True)


def as_json(row: ScoredRow, manifest: Manifest) -> str:
    """One outcome as a JSON object with the columns of the output files, and what scored it."""
    from genolewm_runtime.writers import table_of

    record = table_of([row]).drop("row").to_dicts()[0]
    return json.dumps(
        {**record, "model": manifest.name, "model_id": manifest.model_id, "note": BANNER}, indent=2
    )


def show_score(row: ScoredRow, model_name: str) -> None:
    """The outcome of one variant on stdout, a line a value."""
    source = row.source
    variant = source.variant
    table = Table(title=f"Scored by {model_name}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("variant", f"{source.chrom}:{source.pos}" if variant is None else str(variant))
    if source.replacement is not None:
        table.add_row("locus", str(source.replacement.start + 1))
        table.add_row("edit class", source.edit_class)
    table.add_row("status", row.status if row.reason is None else f"{row.status}: {row.reason}")
    if row.flags:
        table.add_row("flags", ", ".join(row.flags))
    if row.status == "scored":
        for name, value in row.values.items():
            marker = "  (default score)" if name == row.head else ""
            table.add_row(name, "not defined" if value is None else f"{value:.4f}{marker}")
    if row.effect is not None:
        table.add_row("gene", row.effect.gene)
        table.add_row("consequence", row.effect.consequence)
    if row.calibrated is not None and row.calibrated.sigma_calibrated is not None:
        low = ", low confidence" if row.calibrated.low_confidence else ""
        table.add_row(
            "percentile", f"{row.calibrated.sigma_calibrated:.4f} of {row.calibrated.bucket_id}{low}"
        )
    console().print(table)
