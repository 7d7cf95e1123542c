"""The `geno-lewm` command. Each installed distribution adds subcommands through the entry-point group
`genolewm.commands`; their modules import click and nothing heavy, so that `geno-lewm --help` stays quick.

Exit codes: `genolewm_core.errors.ExitCode`. An unexpected exception is reported without its message, which
could hold a user's data.
"""

from __future__ import annotations

import io
import sys
import time
from importlib.metadata import EntryPoint, entry_points

import click

from genolewm_core import __version__
from genolewm_core.errors import DeploymentError, ExitCode, GenoLeWMError, interrupts_kept
from genolewm_core.logs import emit, masked, places, withhold_messages
from genolewm_core.logs.options import with_log_options

__all__ = ["cli", "main"]


class _InstalledCommands(click.Group):
    """A group whose subcommands are the installed entry points."""

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="genolewm.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries().get(cmd_name)
        if entry is None:
            return None
        try:
            command = entry.load()
            if not isinstance(command, click.Command):
                raise TypeError
        except Exception as error:
            return _unavailable(entry, error)
        return with_log_options(command, entry.name)


def _unavailable(entry: EntryPoint, error: Exception) -> click.Command:
    """A stand-in for a command whose package is broken: the others, and the help, go on working."""
    kind = type(error).__name__
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    package = entry.dist.name if entry.dist else entry.module

    def refuse() -> None:
        raise DeploymentError(
            "command-unavailable",
            "A command that an installed package adds could not be loaded.",
            where=f"{entry.name}, of {package}",
            found=f"{kind}: no module {missing}" if missing else kind,
            next_step=f"install {package} again with what it needs, or remove it",
        )

    return click.Command(
        entry.name,
        callback=refuse,
        help=f"Unavailable ({kind}).",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.command(cls=_InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="geno-lewm")
def cli() -> None:
    """Score a personal genome on your own machine, with the network closed.

    This is a research tool. Not a clinical diagnostic.
    """


def main() -> None:
    """Entry point of the console script; ends the process with the exit code of the outcome."""
    withhold_messages()
    started = time.monotonic()
    code = _exit_code()
    emit("ended", exit_code=int(code), seconds=time.monotonic() - started)
    sys.exit(code)


def _exit_code() -> int:
    """Run the command and tell what went wrong, on stderr and in the log."""
    try:
        with interrupts_kept():
            outcome = cli.main(prog_name="geno-lewm", standalone_mode=False)
    except GenoLeWMError as error:
        emit("failed", code=error.code, exit_code=int(error.exit_code), kind=error)
        click.echo(masked(f"geno-lewm: {error}"), err=True)
        return error.exit_code
    except click.ClickException as error:
        # Click's own exit code is 2, which here says that the user's data is at fault.
        emit("failed", code="usage", exit_code=int(ExitCode.CONFIG), kind=error)
        text = io.StringIO()
        error.show(text)
        click.echo(masked(text.getvalue()), nl=False, err=True)
        return ExitCode.CONFIG
    except (KeyboardInterrupt, click.Abort):
        emit("interrupted", exit_code=int(ExitCode.INTERRUPT))
        click.echo("geno-lewm: interrupted", err=True)
        return ExitCode.INTERRUPT
    except Exception as error:
        emit("failed_unexpectedly", kind=error, places=error, exit_code=int(ExitCode.INTERNAL))
        click.echo(_sanitised(error), err=True)
        return ExitCode.INTERNAL
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _sanitised(error: Exception) -> str:
    """Type and places of an unexpected error, without its message and without values."""
    head = f"geno-lewm: internal error {type(error).__name__}; its text is withheld because it may hold your data"
    found = [f"  {place}" for place in places(error)]
    return "\n".join([head, *found, "  please report these lines; they hold no variants"])
