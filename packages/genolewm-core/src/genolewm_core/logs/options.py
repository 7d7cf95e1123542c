"""The options `--log-level` and `--log-file`, given to every command by `geno-lewm` itself."""

from __future__ import annotations

import copy
import functools
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from genolewm_core.logs.events import LEVELS, emit
from genolewm_core.logs.output import LogSettings, open_log

__all__ = ["with_log_options"]

_META = "genolewm.log"


def with_log_options(command: click.Command, name: str) -> click.Command:
    """A copy of a command that takes the two options and opens the log before it does anything else.

    Args:
        command: a command, or a group, whose commands get the options instead.
        name: the entry point's name, which is what the log calls it.
    """
    wrapped = copy.copy(command)
    if isinstance(wrapped, click.Group):
        wrapped.commands = {key: with_log_options(sub, name) for key, sub in wrapped.commands.items()}
    elif command.callback is not None:
        wrapped.params = [*command.params, *_options()]
        wrapped.callback = _logged(command.callback, name)
    return wrapped


def _options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--log-level"],
            type=click.Choice(LEVELS),
            default="warning",
            show_default=True,
            expose_value=False,
            callback=_keep,
            help="Least important events that are logged.",
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_keep,
            help="Append the log to a file, as JSON lines. Default: readable text on stderr.",
        ),
    ]


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{_META}.{parameter.name}"] = value


def _logged(callback: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(callback)
    def run(*arguments: Any, **options: Any) -> Any:
        context = click.get_current_context()
        file = context.meta.get(f"{_META}.log_file")
        # Absolute, for worker processes.
        open_log(LogSettings(context.meta[f"{_META}.log_level"], file and file.absolute()))
        emit(
            "started",
            command=name,
            options=_given(context),
            core_version=_version("genolewm-core"),
            runtime_version=_version("genolewm-runtime"),
            python_version=platform.python_version(),
            numpy_version=_version("numpy"),
            onnxruntime_version=_version("onnxruntime"),
        )
        return callback(*arguments, **options)

    return run


def _given(context: click.Context) -> list[str]:
    """Names of the options that were typed; their values stay where they are."""
    return [
        parameter.name
        for parameter in context.command.params
        if parameter.name
        and not parameter.name.startswith("log_")
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
