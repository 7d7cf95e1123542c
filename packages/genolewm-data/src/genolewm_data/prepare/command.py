"""Make shards of variants from release files that are there already; nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genolewm_core.errors import ConfigError

if TYPE_CHECKING:
    from genolewm_data.prepare.changes import Changes
    from genolewm_data.prepare.shard import ShardInfo

__all__ = ["prepare", "prepare_clinvar", "prepare_gnomad"]

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")


def _options(command: F) -> F:
    for option in (
        click.option("--no-progress", is_flag=True, help="Show no progress bar."),
        click.option(
            "--fresh", is_flag=True, help="Replace a shard that is there, and drop an unfinished run."
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Most processes; each has two processors and at least 32 MB of VCF to itself. More than one need an "
            "index (.tbi) beside the VCF, or several VCFs.",
        ),
        click.option(
            "--reference",
            type=_FILE,
            help="FASTA of the release's assembly: REF is compared with it and alleles are left-aligned. "
            "Without it they are only trimmed, and the shard says so.",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder for the shard, which becomes {kind}/{release}/variants.parquet in it.",
        ),
        click.option(
            "--input-vcf",
            type=_FILE,
            required=True,
            multiple=True,
            help="Release file, plain, gzip or bgzip; may be given many times, such as one for each chromosome.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def prepare() -> None:
    """Make shards of variants from released files."""


@prepare.command("gnomad")
@_options
@click.option(
    "--release", type=click.Choice(["v2.1.1", "v4.0", "v4.1"]), required=True, help="gnomAD's release."
)
@click.option(
    "--min-af",
    type=click.FloatRange(0.0, 1.0),
    default=0.01,
    show_default=True,
    help="Smallest allele frequency over all populations.",
)
def prepare_gnomad(
    input_vcf: tuple[Path, ...],
    release: str,
    output: Path,
    reference: Path | None,
    min_af: float,
    jobs: int,
    fresh: bool,
    no_progress: bool,
) -> None:
    """Common variants of a gnomAD release."""
    from genolewm_data.prepare.make import gnomad_shard

    with _bar(no_progress) as advance:
        path, info = gnomad_shard(
            input_vcf,
            release,
            output,
            reference=reference,
            min_af=min_af,
            jobs=jobs,
            fresh=fresh,
            on_part=advance,
        )
    _tell(path, info)
    for name in info.about["unknown_populations"]:
        click.echo(f"population {name!r} is none that we know; it is kept under this name", err=True)


@prepare.command("clinvar")
@_options
@click.option("--release", required=True, metavar="YYYY-MM-DD", help="ClinVar's date of release.")
@click.option(
    "--previous",
    type=_FILE,
    metavar="SHARD",
    help="Shard (variants.parquet) of an earlier release: variants whose label has changed since are counted, "
    "and listed in label_changes.parquet beside the new shard.",
)
def prepare_clinvar(
    input_vcf: tuple[Path, ...],
    release: str,
    output: Path,
    reference: Path | None,
    previous: Path | None,
    jobs: int,
    fresh: bool,
    no_progress: bool,
) -> None:
    """Classified variants of a ClinVar release."""
    from genolewm_data.prepare.make import clinvar_shard

    if _DATE.fullmatch(release) is None:
        raise ConfigError(
            "config-invalid",
            "The release is no date.",
            where="--release",
            expected="YYYY-MM-DD, the date in the name of the release's file",
            found=release[:40],
        )
    compared: list[Changes] = []
    with _bar(no_progress) as advance:
        path, info = clinvar_shard(
            input_vcf,
            release,
            output,
            reference=reference,
            previous=previous,
            jobs=jobs,
            fresh=fresh,
            on_part=advance,
            on_changes=compared.append,
        )
    _tell(path, info)
    for label, count in info.labels.items():
        click.echo(f"  label {label:<24}{count:>12,}")
    for changes in compared:
        _tell_changes(changes)


def _tell(path: Path, info: ShardInfo) -> None:
    click.echo(f"{path}  {info.assembly}, {info.spelling}")
    click.echo(f"{info.records:,} records, {sum(info.rows.values()):,} rows")
    rows = {"kept": 0, **info.rows}
    for reason, count in sorted(rows.items(), key=lambda item: (item[0] != "kept", -item[1], item[0])):
        click.echo(f"  {reason:<30}{count:>12,}")
    for note, count in info.notes.items():
        click.echo(f"  note: {note[:60]} ({count:,})", err=True)
    _warn_of_nothing(info)


def _warn_of_nothing(info: ShardInfo) -> None:
    """An empty shard is a shard, but hardly what was wanted."""
    if info.rows.get("kept"):
        return
    dropped = [(count, reason) for reason, count in info.rows.items() if reason != "kept" and count]
    count, reason = max(dropped, default=(0, ""))
    why = (
        f"; {count:,} of {sum(n for n, _ in dropped):,} rows are {reason}"
        if dropped
        else ": the files have no records"
    )
    click.echo(f"warning: nothing was kept, the shard is empty{why}", err=True)


def _tell_changes(changes: Changes) -> None:
    click.echo(f"since {changes.previous.release}: {changes.rows.height:,} variants with another label")
    for name in ("added", "withdrawn", "unchanged"):
        click.echo(f"  {name:<30}{getattr(changes, name):>12,}")
    for (old, new), count in changes.labels.items():
        click.echo(f"  {f'{old} -> {new}':<30}{count:>12,}")


@contextmanager
def _bar(hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over compressed bytes on stderr, gone when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task("prepare", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance
