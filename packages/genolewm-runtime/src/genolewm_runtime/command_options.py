"""Options that several commands have, and what commands do with them; imports nothing heavy."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

__all__ = [
    "PATH",
    "allow_unenforced_option",
    "annotation_path",
    "backend_option",
    "close_network",
    "fresh_option",
    "jobs_option",
    "model_directory",
    "model_option",
    "no_progress_option",
    "reference_path",
    "terminated_is_interrupted",
]

PATH = click.Path(path_type=Path)

model_option = click.option(
    "--model",
    type=PATH,
    help="Model directory, or the name of one that was set up. Default: the embedded demonstration model, if "
    "installed.",
)
backend_option = click.option(
    "--backend",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Compute library: auto, onnx, torch, or another that is installed.",
)
jobs_option = click.option(
    "--jobs", type=int, help="Processes to score a file with; each holds the model once. Default: 1."
)
no_progress_option = click.option(
    "--no-progress", is_flag=True, help="No progress bar. A single variant never has one."
)
fresh_option = click.option(
    "--fresh",
    is_flag=True,
    help="Start anew: drop unfinished work, and replace an existing output once the new one is whole.",
)
allow_unenforced_option = click.option(
    "--allow-unenforced-guard",
    is_flag=True,
    help="Score even where the kernel cannot close the network. Written in the receipt.",
)


def close_network(allow_unenforced: bool) -> None:
    """Close the network, first of all: before numpy, pysam, polars or a compute library is imported.

    Raises:
        DeploymentError: `guard-unavailable`.
    """
    from genolewm_runtime import guard
    from genolewm_runtime.run_log import log_guard

    log_guard(guard.install(allow_unenforced=allow_unenforced))


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Let a SIGTERM end the block as a Ctrl-C does: in order, and with word how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def model_directory(given: Path | None) -> Path:
    """The folder of the model that `--model` names, or of the embedded one.

    Raises:
        DeploymentError: `model-missing`.
    """
    from genolewm_core.artifacts.installed import installed_model
    from genolewm_runtime.models import embedded_model

    return embedded_model() if given is None else installed_model(given)


def reference_path(given: Path) -> Path:
    """The FASTA that `--reference` names: a file, or an assembly that was set up.

    Raises:
        InputError: `reference-unreadable`.
    """
    from genolewm_core.artifacts.installed import installed_reference

    return installed_reference(given)


def annotation_path(given: Path | None) -> Path | None:
    """The GFF3 that `--annotation` names: a file, or an assembly's that was set up.

    Raises:
        InputError: `annotation-unreadable`.
    """
    from genolewm_core.artifacts.installed import installed_annotation

    return None if given is None else installed_annotation(given)
