"""`geno-lewm dataset inspect`: one page about a release of training data."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["inspect"]

_PATH = click.Path(path_type=Path)


@click.command("inspect", short_help="Write one HTML page about a release.")
@click.argument("folder", type=_PATH)
@click.option("--output", type=_PATH, help="Where to write. Default: beside FOLDER, with the ending .html.")
@click.option(
    "--windows",
    type=click.IntRange(min=0),
    default=2_000,
    show_default=True,
    help="Windows of training whose tuples are built and counted, spread over all of them; 0 for every one.",
)
@click.option(
    "--annotation",
    type=_PATH,
    help="GFF3 of the release's assembly: what the edits of placed windows do to its genes.",
)
@click.option("--fresh", is_flag=True, help="Replace an existing output.")
def inspect(folder: Path, output: Path | None, windows: int, annotation: Path | None, fresh: bool) -> None:
    """Write one HTML page about FOLDER, a dataset release.

    It shows what one wants to see before training: where windows are from and where they lie, what edits they get, what
    is held out and what was left out, and whether all of that is as expected. It needs nothing from outside.
    """
    from genolewm_data.inspect.checks import checks_of
    from genolewm_data.inspect.page import write_page

    page, found = write_page(folder, output, n_windows=windows or None, annotation=annotation, fresh=fresh)
    checks = checks_of(found)
    for check in checks:
        if not check.ok:
            click.echo(f"look: {check.title}? {check.said}", err=True)
    click.echo(f"{sum(check.ok for check in checks)} of {len(checks)} expectations are met: {page}")
