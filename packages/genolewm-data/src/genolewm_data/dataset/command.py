"""Build, verify and describe releases of training data; nothing is fetched but a corpus that is asked for by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genolewm_data.inspect.command import inspect

if TYPE_CHECKING:
    from genolewm_data.dataset.build import Built
    from genolewm_data.dataset.stages import OnProgress

__all__ = ["dataset"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_JOBS = click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
_NO_PROGRESS = click.option("--no-progress", is_flag=True, help="Show no progress bar.")


@click.group()
def dataset() -> None:
    """Build, verify and describe releases of training data."""


dataset.add_command(inspect)


@dataset.command("build", short_help="Build a release from a YAML file.")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--output", type=_FOLDER, required=True, help="Folder of the release.")
@_JOBS
@click.option("--fresh", is_flag=True, help="Replace a release that is there, and drop an unfinished build.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Goes before what CONFIG says, such as windows.shards=4; may be given many times.",
)
@_NO_PROGRESS
def build(
    config: Path, output: Path, jobs: int, fresh: bool, overrides: tuple[str, ...], no_progress: bool
) -> None:
    """Build the release that CONFIG, a YAML file, describes.

    The same command goes on where it was interrupted.
    """
    from genolewm_data.config import read_config
    from genolewm_data.dataset.build import build_release
    from genolewm_data.dataset.config import DatasetConfig

    wanted = read_config(DatasetConfig, config, overrides)
    with _bar(no_progress) as advance:
        built = build_release(wanted, output, jobs=jobs, fresh=fresh, on_progress=advance)
    _tell(built)


@dataset.command("verify", short_help="Check a release: its files, and that nothing held out is in it.")
@click.argument("folder", type=_FOLDER)
@_JOBS
@_NO_PROGRESS
def verify(folder: Path, jobs: int, no_progress: bool) -> None:
    """Check every file of the release in FOLDER, and that nothing held out is in its training split."""
    from genolewm_data.dataset.verify import refuse, verify_release

    with _bar(no_progress) as advance:
        problems = verify_release(folder, jobs=jobs, on_progress=advance)
    for problem in problems:
        click.echo(problem)
    refuse(folder, problems)
    click.echo(f"{folder}  verified")


@dataset.command("card", short_help="Print the data card of a release.")
@click.argument("folder", type=_FOLDER)
@click.option("--check", is_flag=True, help="Compare with data_card.md instead of printing.")
def card(folder: Path, check: bool) -> None:
    """Print the data card of the release in FOLDER, from its manifest and its integrity report."""
    from genolewm_data.dataset.verify import card_of, refuse, stale_card

    if check:
        refuse(folder, stale_card(folder))
        click.echo("data_card.md is what the release says")
    else:
        click.echo(card_of(folder), nl=False)


def _tell(built: Built) -> None:
    from genolewm_data.dataset.shortfalls import shortfalls

    manifest, integrity = built.manifest, built.integrity
    click.echo(f"{built.folder}  {manifest.name} {manifest.version}, {manifest.assembly}")
    for split, counts in manifest.windows.items():
        origins = ", ".join(f"{origin} {n:,}" for origin, n in counts.items())
        click.echo(f"  {split + ' windows':<24}{sum(counts.values()):>12,}  {origins}")
    for name, n in integrity.variants.items():
        if name != "shared":
            click.echo(f"  {name.replace('.', ' ') + ' variants':<24}{n:>12,}")
    for split, n in integrity.haplotypes.items():
        if split != "shared":
            click.echo(f"  {split + ' haplotypes':<24}{n:>12,}")
    click.echo(f"  nothing held out in {integrity.training.edits:,} edits and all training windows")
    for line in shortfalls(manifest, integrity):
        click.echo(f"  {line}")
    click.echo(f"  {manifest.digest}")
    for name in built.unconfirmed:
        click.echo(
            f"note: no contig of {name} has the length of a human chromosome, so nothing but the configuration says"
            " its assembly, which hold-outs and variants are placed by",
            err=True,
        )


@contextmanager
def _bar(hidden: bool) -> Iterator[OnProgress]:
    """A progress bar on stderr, gone when it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=hidden or not console.is_terminal
    ) as progress:
        task = progress.add_task("dataset", total=None)

        def advance(stage: str, done: int, total: int | None) -> None:
            progress.update(task, description=stage, completed=done, total=total)

        yield advance
