"""Progress and the account of a calibration on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from genolewm_core.scoring.calibration import CalibrationTable

__all__ = ["show_table", "stages"]


@contextmanager
def stages(*, enabled: bool) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """A progress bar on stderr: its stage, and the cells scored."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not enabled) as bar:
        task = bar.add_task("starting", total=None)
        yield (
            lambda text: bar.update(task, description=text),
            lambda done, total: bar.update(task, completed=done, total=total),
        )


def show_table(table: CalibrationTable, model: Path) -> None:
    """The variants behind each class, and the check on held-back sites."""
    shown = Table(title="Percentiles of held-back common variants against uniform", title_justify="left")
    for name in ("edit class", "null", "score", "held back", "KS"):
        shown.add_column(name, justify="left" if name in ("edit class", "score") else "right", no_wrap=True)
    held_back = table.about["held_back"]
    for edit_class in sorted({name.split("|")[0] for name in table.buckets}):
        root = table.buckets[f"{edit_class}|*|*|*|*"]
        null = f"{root.n_rows:,}" if root.n_rows else f"{root.n_synthetic:,} synthetic"
        for column, result in held_back.get(edit_class, {}).items():
            shown.add_row(edit_class, null, column, f"{result['n']:,}", f"{result['ks']:.3f}")
            edit_class, null = "", ""
    console = Console()
    console.print(shown)
    console.print(f"calibration: {model}", soft_wrap=True)
