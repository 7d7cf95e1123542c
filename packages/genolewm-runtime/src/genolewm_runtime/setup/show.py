"""What a person sees of a setup: what there is, the plan, progress, and the names that work afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from genolewm_core.artifacts.installed import ANNOTATIONS, MODELS, REFERENCES, Installed, installed
from genolewm_runtime.display import console
from genolewm_runtime.setup import catalogue
from genolewm_runtime.setup.fetch import OnBytes
from genolewm_runtime.setup.plan import Plan, PlannedArtefact, PlannedFile
from genolewm_runtime.setup.transport import plain_address
from genolewm_runtime.setup.work import Watcher

__all__ = ["progress", "show_plan", "show_state"]

_KINDS = {MODELS: "encoder", REFERENCES: "reference", ANNOTATIONS: "annotation"}
_OPTIONS = {MODELS: "--model", REFERENCES: "--reference", ANNOTATIONS: "--annotation"}


def show_state(home: Path) -> None:
    """What can be set up, and what is."""
    click.echo("Can be set up:")
    for entry in catalogue.encoders():
        pinned = f"revision {entry.revision}" if entry.revision else "give a --revision"
        click.echo(f"  --encoder {entry.name:<12} {entry.repo}, {pinned}")
        if entry.revision_seen:
            click.echo(f"{'':25}seen {entry.revision_seen}")
    for assembly in ("GRCh38", "GRCh37"):
        file = catalogue.reference(assembly)
        click.echo(f"  --reference {assembly:<10} {file.base_url}/{file.file}")
        genes = catalogue.annotation(assembly)
        click.echo(f"    --annotation         {genes.base_url}/{genes.file}")
    click.echo(f"\nIs set up in {home}:")
    there = list(installed(home))
    for each in there:
        click.echo(
            f"  {_OPTIONS[each.kind]} {each.name}@{each.version}  since {each.record['set_up_at'][:10]}"
        )
    if not there:
        click.echo("  nothing yet")


def show_plan(plan: Plan) -> None:
    """Everything that is going to happen."""
    for artefact in plan.artefacts:
        click.echo(f"{_KINDS[artefact.kind]} {artefact.name}, version {artefact.version}")
        click.echo(f"  to       {artefact.folder(plan.home)}")
        if artefact.there is not None:
            click.echo("  is set up already: its files are hashed again")
            continue
        click.echo(f"  from     {_address(artefact.origin)}")
        click.echo(
            f"  size     {_size(artefact.n_bytes)} in {len(artefact.files)} file{'s' * (len(artefact.files) > 1)}"
        )
        voices = Counter((file.digest.algorithm, file.digest.vouched_by) for file in artefact.files)
        for (algorithm, vouched_by), n in voices.items():
            click.echo(f"  digests  {n} {algorithm}, vouched for by {vouched_by}")
        for file in artefact.files:
            click.echo(f"    {file.name:<36} {_size(file.n_bytes):>12}  {file.digest.value}")
    click.echo(f"room: {_size(plan.room_bytes)} needed at most, {_size(plan.free_bytes)} free")


@contextmanager
def progress(enabled: bool) -> Iterator[Watcher]:
    """A bar a file with rate and time left, on stderr; lines only when not enabled."""
    if not enabled:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    watcher = None
    try:
        with Progress(*columns, console=console(stderr=True)) as bar:
            watcher = _Bars(bar)
            yield watcher
    finally:
        # After the bars, which would be drawn over it.
        for line in watcher.said if watcher else ():
            click.echo(line)


class _Lines:
    def fetching(self, file: PlannedFile) -> OnBytes:
        return lambda n_bytes: None

    def checking(self, artefact: PlannedArtefact) -> None:
        click.echo(_checking(artefact), err=True)

    def ready(self, artefact: PlannedArtefact, there: Installed) -> None:
        click.echo(_ready(artefact, there))


class _Bars(_Lines):
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self.said: list[str] = []

    def fetching(self, file: PlannedFile) -> OnBytes:
        task = self._bar.add_task(file.name, total=file.n_bytes)
        return lambda n_bytes: self._bar.update(task, completed=n_bytes)

    def checking(self, artefact: PlannedArtefact) -> None:
        self._bar.console.print(_checking(artefact))

    def ready(self, artefact: PlannedArtefact, there: Installed) -> None:
        self.said.append(_ready(artefact, there))


def _checking(artefact: PlannedArtefact) -> str:
    # Three billion bases take a minute, in which nothing else would be seen.
    does = "unpacking, indexing and checking" if artefact.kind == REFERENCES else "checking"
    return f"{'hashing' if artefact.there else does} the {_KINDS[artefact.kind]} {artefact.name}"


def _ready(artefact: PlannedArtefact, there: Installed) -> str:
    lacking = there.record.get("lacking_chromosomes")
    note = f" (without chromosomes {', '.join(lacking)})" if lacking else ""
    return f"{_OPTIONS[artefact.kind]} {artefact.name} now means {there.path}{note}"


def _size(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "size unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.2f} {unit}"
    return f"{n_bytes} bytes"


def _address(origin: str) -> str:
    return plain_address(origin) if "://" in origin else origin
