"""The command `errors`: what a code means, what causes it and what to do."""

from __future__ import annotations

import difflib

import click

from genolewm_core.errors import CODES, ConfigError
from genolewm_core.remedies import REMEDIES

__all__ = ["errors"]


@click.command("errors")
@click.argument("code", required=False)
def errors(code: str | None) -> None:
    """Explain an error code, or list all of them.

    An error ends its first line with its code in brackets.
    """
    if code is None:
        click.echo(_table())
    else:
        click.echo(_explanation(_known(code)))


def _known(code: str) -> str:
    # As it is copied from a message: in brackets, or in capitals.
    name = code.strip().strip("[]`").lower()
    if name in CODES:
        return name
    close = difflib.get_close_matches(name, CODES, n=3, cutoff=0.5)
    raise ConfigError(
        "config-invalid",
        "There is no such error code.",
        where="errors",
        expected=f"a code like {', '.join(close)}" if close else "a code of the list",
        found=code,
        next_step="list all codes with: geno-lewm errors",
    )


def _explanation(code: str) -> str:
    remedy = REMEDIES[code]
    ends = " or ".join(f"{int(kind.exit_code)} ({_kind_name(kind)})" for kind in remedy.kinds)
    lines = [
        code,
        f"  meaning: {CODES[code]}",
        f"  exit code: {ends}",
        f"  usual causes: {remedy.causes}",
        f"  what to do: {remedy.todo}",
    ]
    return "\n".join(lines)


def _kind_name(kind: type[Exception]) -> str:
    return kind.__name__.removesuffix("Error").lower()


def _table() -> str:
    width = max(map(len, CODES))
    lines = []
    for code in sorted(CODES):
        ends = ",".join(str(int(kind.exit_code)) for kind in REMEDIES[code].kinds)
        lines.append(f"{code:<{width}}  {ends:<7}  {CODES[code]}")
    head = f"{'code':<{width}}  {'exit':<7}  meaning"
    return "\n".join([head, *lines, "", "More about one of them: geno-lewm errors CODE"])
