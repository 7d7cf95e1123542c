"""What a person sees of a cohort: the plan, progress, and the account of every VCF. All of it on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from genolewm_core.logs import masked
from genolewm_runtime.display import console

if TYPE_CHECKING:
    from genolewm_runtime.cohort.run import VcfAccount
    from genolewm_runtime.shards import ShardOutcome

__all__ = ["Display", "display", "show_accounts", "show_plan"]

_SHOWN = 200


class Display:
    """Callbacks of a cohort's run; this one shows nothing."""

    def on_plan(self, accounts: Sequence[VcfAccount]) -> None:
        """It is known what is to be done."""
        show_plan(accounts)

    def on_vcf(self, account: VcfAccount) -> None:
        """A VCF is done."""

    on_shard: Callable[[ShardOutcome], None] | None = None
    """A shard is done; None where nobody wants to know."""


class _Bar(Display):
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._rows = 0
        self._task = bar.add_task("VCFs", total=None, rows="")
        self.on_shard = self._on_shard

    def on_plan(self, accounts: Sequence[VcfAccount]) -> None:
        super().on_plan(accounts)
        self._bar.update(self._task, total=sum(account.status == "unfinished" for account in accounts))

    def on_vcf(self, account: VcfAccount) -> None:
        self._rows = 0
        self._bar.update(self._task, advance=1, rows="")

    def _on_shard(self, outcome: ShardOutcome) -> None:
        self._rows += sum(outcome.counts.values())
        self._bar.update(self._task, rows=f"{self._rows:,} rows of the next")


@contextmanager
def display(progress: bool) -> Iterator[Display]:
    """A bar of finished VCFs with the time left, or nothing."""
    if not progress:
        yield Display()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rows]}"),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        yield _Bar(bar)


def show_plan(accounts: Sequence[VcfAccount]) -> None:
    """How many VCFs there are, and how many of them an earlier run has finished."""
    kept = sum(account.status == "kept" for account in accounts)
    before = f", {kept:,} finished by an earlier run" if kept else ""
    number = f"{len(accounts):,} VCF" + "s" * (len(accounts) != 1)
    click.echo(f"{number}{before}, {len(accounts) - kept:,} to score", err=True)


def show_accounts(accounts: Sequence[VcfAccount], account_file: Path, seconds: float) -> None:
    """A line a VCF, then the errors in full, then where everything lies."""
    table = Table(title="Every VCF of the cohort", title_justify="left")
    for name in ("VCF", "outcome"):
        table.add_column(name, overflow="fold")
    for name in ("scored", "skipped", "failed"):
        table.add_column(name, justify="right")
    # Those that went well are left out first, where there are too many to read.
    bad = [account for account in accounts if account.status not in ("scored", "kept")]
    shown = accounts if len(accounts) <= _SHOWN else bad[:_SHOWN]
    for account in shown:
        rows = account.rows or {}
        told = account.status if account.code is None else f"{account.status}: {account.code}"
        counts = [f"{rows.get(name, 0):,}" if account.rows is not None else "" for name in _COUNTS]
        table.add_row(account.name, told, *counts)
    terminal = console(stderr=True)
    terminal.print(table)
    if len(shown) < len(accounts):
        terminal.print(f"{len(accounts) - len(shown):,} more in {account_file.name}")
    for account in bad[:_SHOWN]:
        if account.message is not None:
            terminal.print(masked(f"{account.name}: {account.message}"), soft_wrap=True)
    scored = sum((account.rows or {}).get("scored", 0) for account in accounts if account.status == "scored")
    terminal.print(f"{scored:,} rows scored in {seconds:.1f} s")
    terminal.print(f"account: {account_file}", soft_wrap=True)


_COUNTS = ("scored", "skipped", "failed")
