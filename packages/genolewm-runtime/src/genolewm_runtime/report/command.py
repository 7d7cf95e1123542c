"""The command `report`. It reads a personal table, so it closes the network before anything else is imported."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]

_PATH = click.Path(path_type=Path)


@click.command("report")
@click.argument("scores", type=_PATH)
@click.option("--output", type=_PATH, help="Where to write. Default: SCORES with the ending .html.")
@click.option(
    "--rows",
    type=int,
    default=200_000,
    show_default=True,
    help="Most rows of the page's table; when there are more, the highest stay and the page says so.",
)
@click.option("--fresh", is_flag=True, help="Replace an existing output.")
@click.option(
    "--allow-unenforced-guard",
    is_flag=True,
    help="Read the table even where the kernel cannot close the network.",
)
def report(scores: Path, output: Path | None, rows: int, fresh: bool, allow_unenforced_guard: bool) -> None:
    """Write one HTML page about SCORES, a table of `geno-lewm score`.

    The page needs nothing from outside and loads nothing: open it in any browser, or print it.
    """
    from genolewm_runtime import guard

    guard.install(allow_unenforced=allow_unenforced_guard)
    from genolewm_runtime.display import show_banner
    from genolewm_runtime.report.page import write_report

    show_banner()
    written = write_report(scores, output, max_rows=rows, fresh=fresh)
    if written.n_left_out:
        click.echo(
            f"{written.n_left_out:,} scored rows are not in the page's table, those that stand lowest; "
            "they are in its charts. Use --rows to keep more.",
            err=True,
        )
    click.echo(f"report: {written.path}", err=True)
