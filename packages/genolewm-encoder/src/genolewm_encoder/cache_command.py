"""Look after a cache of reference states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genolewm_core.errors import ConfigError, ProvenanceError

if TYPE_CHECKING:
    from genolewm_encoder.cache.cache import Problem, StateCache
    from genolewm_encoder.cache.maintenance import Advance

__all__ = ["cache"]

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("directory", type=_FOLDER)
@click.option(
    "--verify", is_flag=True, help="Read every byte and compare it with its digest; change nothing."
)
@click.option("--repair", is_flag=True, help="Verify, and move what is damaged to DIRECTORY/quarantine.")
@click.option("--reindex", is_flag=True, help="Make the index anew from the shards.")
@click.option(
    "--migrate",
    nargs=2,
    type=_FOLDER,
    metavar="FROM TO",
    help="Give the states of the encoder whose encoder_hash.txt and config.json lie in FROM the name of the one in TO. "
    "Refused unless both state the same weights and contract.",
)
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
def cache(
    directory: Path,
    verify: bool,
    repair: bool,
    reindex: bool,
    migrate: tuple[Path, Path] | None,
    no_progress: bool,
) -> None:
    """Show what is in a cache of reference states, or look after it.

    Without an option: encoders, contigs, states and bytes.
    """
    if sum(map(bool, (verify, repair, reindex, migrate))) > 1:
        raise ConfigError(
            "config-invalid",
            "Two options exclude each other.",
            expected="one of --verify, --repair, --reindex and --migrate",
            next_step="give them one after the other",
        )
    from genolewm_encoder.cache import maintenance
    from genolewm_encoder.cache.cache import StateCache

    with StateCache(directory, create=False) as opened, _bar(no_progress) as advance:
        if verify:
            _refuse(maintenance.verify(opened, advance), opened)
        elif repair:
            done = maintenance.repair(opened, advance)
            _tell(done.problems)
            click.echo(f"{len(done.problems)} problems put right, {done.leftovers} unfinished files deleted")
        elif reindex:
            click.echo(f"{maintenance.reindex(opened, advance)} shards indexed")
        elif migrate:
            from genolewm_encoder.identity import EncoderIdentity

            old, new = map(EncoderIdentity.read, migrate)
            click.echo(f"{maintenance.migrate(opened, old, new, advance)} states carried over")
        else:
            _show(opened)
        if opened.problems and not repair:
            click.echo("found damaged, counted as missing from now on:", err=True)
            _tell(opened.problems, err=True)


def _show(opened: StateCache) -> None:
    groups = opened.index().overview()
    for group in groups:
        e = f"{group['encoder_hash'].hex()[:16]} layer {group['state_layer']} {group['pool_type']}"
        click.echo(
            f"{e} radius {group['pool_radius']} {group['dtype']} width {group['d_state']}  {group['contig']}  "
            f"{group['rows']:,} states  {group['shards']:,} shards  {_size(group['n_bytes'])}"
        )
    total = (sum(int(group[name]) for group in groups) for name in ("rows", "shards", "n_bytes"))
    rows, shards, n_bytes = total
    click.echo(
        f"in all {rows:,} states in {shards:,} shards, {_size(n_bytes + opened.index_path.stat().st_size)}"
    )
    missing = opened.index().names() - opened.files()
    if missing:
        click.echo(f"{len(missing):,} shards are in the index only; --repair drops them")
    put_away = len(list(opened.quarantine.glob("*")))
    if put_away:
        click.echo(f"{put_away:,} damaged files in {opened.quarantine}")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.2f} MB"


def _tell(problems: Sequence[Problem], err: bool = False) -> None:
    for problem in problems:
        click.echo(f"{problem.reason}  {problem.name}", err=err)


def _refuse(problems: Sequence[Problem], opened: StateCache) -> None:
    problems = list(dict.fromkeys((*opened.problems, *problems)))
    if not problems:
        click.echo(f"{len(opened.files())} shards are sound")
        return
    _tell(problems)
    counts = Counter(problem.reason for problem in problems)
    raise ProvenanceError(
        "cache-corrupt",
        "A cache of states holds damaged files, or lacks some.",
        where=str(opened.directory),
        found=", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items())),
        next_step="put what is damaged into quarantine with --repair, and run geno-lewm cache-windows again",
    )


@contextmanager
def _bar(hidden: bool) -> Iterator[Advance]:
    """A progress bar over shards on stderr, gone when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task("shards", total=None)

        def advance(name: str, total: int) -> None:
            progress.update(task, total=total, advance=1)

        yield advance
