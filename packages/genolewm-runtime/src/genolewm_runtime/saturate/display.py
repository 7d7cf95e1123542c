"""What a person sees of a saturation: the plan, progress in bases, and the account of all bases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from genolewm_core.genome.bed import Bed
from genolewm_runtime.display import console
from genolewm_runtime.saturate.plan import Amount, Rate
from genolewm_runtime.saturate.run import SaturateSummary
from genolewm_runtime.saturate.tables import Outputs
from genolewm_runtime.shards import ShardOutcome

__all__ = ["BaseProgress", "progress", "show_bed", "show_plan", "show_summary"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class BaseProgress:
    """Callbacks of a run, for a bar or for none."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def on_start(self, total_bp: int, done_bp: int) -> None:
        """The shards are known, and how many an earlier run had finished."""
        if self._bar is not None:
            # Given at the start, what was done before does not count as speed.
            self._bar.add_task("scoring", total=total_bp, completed=done_bp)

    def on_shard(self, outcome: ShardOutcome) -> None:
        """A shard is finished."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], outcome.scorable)


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed):,}/{int(task.total or 0):,} bases")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} bases/s", style="progress.data.speed")


@contextmanager
def progress(enabled: bool) -> Iterator[BaseProgress]:
    """A progress bar on stderr with rate and time left, or nothing."""
    if not enabled:
        yield BaseProgress(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Count(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as bar:
        yield BaseProgress(bar)


def show_bed(bed: Bed) -> None:
    """Say what was done to the regions, where anything was."""
    done = []
    if bed.n_merged:
        done.append(f"{bed.n_lines:,} regions that overlap or touch were merged to {len(bed.regions):,}")
    if not bed.in_order:
        done.append("they were put into the reference's order")
    if done:
        console(stderr=True).print(f"regions: {'; '.join(done)}", soft_wrap=True)


def show_plan(amount: Amount, rate: Rate | None, outputs: Outputs, *, stderr: bool) -> None:
    """How much the run is, and how long and large on this machine."""
    table = Table(title="Plan", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("bases", f"{amount.n_bp:,}")
    table.add_row("substitutions, at most", f"{amount.n_snv:,}")
    table.add_row("cells", f"{amount.n_cells:,}")
    table.add_row("tokens, at most", f"{amount.n_tok:,}")
    if rate is None:
        table.add_row("time and size", "not measured: no base is called where it was tried")
    else:
        table.add_row("measured on one cell", f"{rate.tok_per_s:,.0f} tokens/s")
        table.add_row("time, about", duration(amount.n_tok / rate.tok_per_s))
        for ending in outputs.endings:
            table.add_row(f"{ending}, about", size(rate.bytes_per_snv[ending] * amount.n_snv))
    console(stderr=stderr).print(table)


def show_summary(summary: SaturateSummary, seconds: float) -> None:
    """The account of all bases by status and reason."""
    table = Table(title="Every base of the regions", title_justify="left")
    table.add_column("status")
    table.add_column("reason")
    table.add_column("bases", justify="right")
    for (status, reason), n in sorted(summary.bases.items(), key=lambda item: (item[0][0], -item[1])):
        table.add_row(status, reason or "", f"{n:,}")
    terminal = console(stderr=True)
    terminal.print(table)
    resumed = f", {summary.resumed_shards} shards from an earlier run" if summary.resumed_shards else ""
    terminal.print(f"{summary.n_snv:,} substitutions scored in {seconds:.1f} s on {summary.backend}{resumed}")
    for path in summary.outputs.tables:
        terminal.print(f"table:   {path}", soft_wrap=True)
    terminal.print(f"receipt: {summary.outputs.receipt}", soft_wrap=True)


def duration(seconds: float) -> str:
    """A duration in the unit that a person would choose."""
    for limit, unit_s, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:,.1f} days"


def size(n_bytes: float) -> str:
    """A size in the unit that a person would choose."""
    unit = 0
    while n_bytes >= 1_000 and unit < len(_UNITS) - 1:
        n_bytes, unit = n_bytes / 1_000, unit + 1
    return f"{n_bytes:.3g} {_UNITS[unit]}"
