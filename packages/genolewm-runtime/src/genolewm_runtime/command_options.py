"""Options that several commands have, and what commands do with them; imports nothing heavy."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genolewm_core.errors import ResourceError

if TYPE_CHECKING:
    from genolewm_core.scoring.passes import PassOptions

__all__ = [
    "HEADS",
    "PATH",
    "allow_failed_option",
    "allow_unenforced_option",
    "annotation_option",
    "annotation_path",
    "backend_option",
    "both_strands_option",
    "close_network",
    "fresh_option",
    "heads_option",
    "jobs_option",
    "make_folder",
    "model_directory",
    "model_option",
    "no_progress_option",
    "pass_options",
    "phases_option",
    "reference_option",
    "reference_path",
    "terminated_is_interrupted",
]

PATH = click.Path(path_type=Path)
HEADS = "marginal_llr,delta_ll,displacement"

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
reference_option = click.option(
    "--reference",
    type=PATH,
    required=True,
    help="Indexed FASTA of the assembly the variants are on, or the name of one that was set up.",
)
annotation_option = click.option(
    "--annotation",
    type=PATH,
    help="GFF3 of transcripts on the reference's assembly, or the name of one that was set up: names genes and "
    "consequences, and compares scores within regions.",
)
heads_option = click.option(
    "--heads",
    default=HEADS,
    show_default=True,
    help="Scores to compute, separated by commas. indel_displacement adds the displacement of insertions and "
    "deletions that re-cut the six-mers, and nearly doubles the time.",
)
both_strands_option = click.option(
    "--both-strands/--one-strand",
    default=None,
    help="Average over both strands, which doubles the time, or read one. Default: the model's.",
)
phases_option = click.option(
    "--phases",
    type=int,
    metavar="1|2|3|6",
    help="Average over so many six-mer phases; multiplies the time. Default: the model's.",
)
allow_failed_option = click.option("--allow-failed", is_flag=True, help="Exit with 0 although rows failed.")


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


def make_folder(folder: Path) -> None:
    """Make the folder of outputs, unless it is there.

    Raises:
        ResourceError: `output-unwritable`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            "output-unwritable",
            "The output's folder cannot be made.",
            where=str(folder),
            found=error.strerror or type(error).__name__,
            next_step="choose another --output",
        ) from error


def pass_options(
    model: Path, heads: str = HEADS, both_strands: bool | None = None, phases: int | None = None
) -> PassOptions:
    """What to compute with a model: its contract, with what the options change.

    Raises:
        ConfigError: `config-invalid`.
        ProvenanceError: `manifest-invalid`.
    """
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_runtime.runtime import options_of

    names = tuple(name.strip() for name in heads.split(",") if name.strip())
    return options_of(
        ModelDirectory.open(model).manifest.contract, heads=names, both_strands=both_strands, phases=phases
    )
