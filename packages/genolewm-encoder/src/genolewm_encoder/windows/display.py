"""What a person sees while windows are encoded: the plan, progress with rates, the account. All of it on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
from rich.text import Text

from genolewm_encoder.windows.encode import BlockAccount
from genolewm_encoder.windows.fasta import FastaWindows
from genolewm_encoder.windows.run import Plan

__all__ = ["progress", "show_account", "show_plan"]


def _console() -> Console:
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def show_plan(plan: Plan) -> None:
    """One line before anything is loaded."""
    short = f"; {plan.short_contigs:,} contigs are shorter than a window" if plan.short_contigs else ""
    _console().print(
        f"{plan.windows:,} windows over {plan.n_bp:,} bases, in {plan.blocks:,} blocks: at most "
        f"{plan.n_tok:,} tokens, {plan.states:,} states, about {_size(plan.n_bytes)}{short}",
        soft_wrap=True,
    )


class _Rates(ProgressColumn):
    def __init__(self, bp_per_window: float) -> None:
        super().__init__()
        self._bp = bp_per_window

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        told = f"{speed * self._bp / 1000:,.0f} kb/s, {speed:,.1f} windows/s"
        return Text(told, style="progress.data.speed")


@contextmanager
def progress(enabled: bool, plan: Plan, source: FastaWindows) -> Iterator[Callable[[BlockAccount], None]]:
    """A bar of windows with rates and the time left, or nothing; gives what is to be called for each block."""
    if not enabled:
        yield lambda _: None
        return
    columns = (
        TextColumn("encoding"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rates(plan.n_bp / max(1, plan.windows)),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), speed_estimate_period=600) as bar:
        task = bar.add_task("", total=plan.windows)
        yield lambda account: bar.advance(task, source.n_cells(account.block))


def show_account(accounts: Sequence[BlockAccount], plan: Plan, cache: Path, seconds: float) -> None:
    """What was done, and where it lies."""
    windows, encoded = (sum(getattr(a, name) for a in accounts) for name in ("windows", "encoded"))
    states, kept = sum(a.states for a in accounts), sum(a.kept for a in accounts)
    n_tok, n_bytes = sum(a.n_tok for a in accounts), sum(a.n_bytes for a in accounts)
    told = [
        f"{encoded:,} windows encoded to {states:,} states in {seconds:.1f} s ({n_tok:,} tokens, {_size(n_bytes)})"
    ]
    if kept:
        told.append(f"{kept:,} states were in the cache")
    if plan.windows > windows:
        told.append(f"{plan.windows - windows:,} windows skipped: nothing but N where a state would be")
    if plan.short_contigs:
        told.append(
            f"{plan.short_contigs:,} contigs are shorter than a window, so their states have seen less"
        )
    told.append(f"cache: {cache}")
    for line in told:
        _console().print(line, soft_wrap=True)


def _size(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
