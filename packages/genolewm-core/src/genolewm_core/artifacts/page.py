"""Where a page for the browser may be written."""

from __future__ import annotations

from pathlib import Path

from genolewm_core.errors import ConfigError

__all__ = ["check_page"]


def check_page(target: Path, *, fresh: bool) -> None:
    """Refuse the name of a file that would be no page, or that is there already.

    Args:
        target: the page.
        fresh: it may be replaced.

    Raises:
        ConfigError: `output-format`, `output-exists`.
    """
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(
            "output-format",
            "The output is a page, and its name is not that of one.",
            where="--output",
            expected="a name ending in .html",
        )
    if target.exists() and not fresh:
        raise ConfigError(
            "output-exists",
            "The output exists already.",
            where=str(target),
            next_step="choose another --output, or replace it with --fresh",
        )
