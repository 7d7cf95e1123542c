"""The command `saturate`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genolewm_core.errors import ConfigError, ExitCode, interrupts_kept
from genolewm_runtime.command_options import (
    PATH,
    allow_unenforced_option,
    backend_option,
    both_strands_option,
    close_network,
    fresh_option,
    jobs_option,
    model_directory,
    model_option,
    no_progress_option,
    pass_options,
    phases_option,
    reference_path,
    terminated_is_interrupted,
)

if TYPE_CHECKING:
    from genolewm_core.genome.bed import Region
    from genolewm_core.genome.reference import Reference
    from genolewm_core.scoring.backend import Backend
    from genolewm_runtime.saturate.run import SaturateRun

__all__ = ["saturate"]


@click.command()
@click.option(
    "--reference", type=PATH, required=True, help="Indexed FASTA, or the name of one that was set up."
)
@click.option("--regions", type=PATH, help="BED of regions, plain, bgzip or gzip.")
@click.option("--whole-genome", is_flag=True, help="Every base of the reference in place of --regions.")
@click.option(
    "--output",
    type=PATH,
    required=True,
    help="NAME writes NAME.parquet, NAME.tsv.gz with its index, and NAME.json; a name that ends in .parquet or "
    ".tsv.gz writes one table.",
)
@model_option
@backend_option
@both_strands_option
@phases_option
@jobs_option
@click.option(
    "--plan", "plan_only", is_flag=True, help="Print how much it is and how long it takes; score nothing."
)
@click.option("--yes", is_flag=True, help="Do not ask before a long run.")
@no_progress_option
@fresh_option
@allow_unenforced_option
def saturate(allow_unenforced_guard: bool, **options: Any) -> int:
    """Score every possible single-base substitution of regions by marginal_llr.

    One pass of the model per cell of 6,144 bases gives all of its 18,432 substitutions, with the values that score
    gives. Long runs show a plan and ask first. Interrupted, the same command goes on where it stopped.
    """
    close_network(allow_unenforced_guard)
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_core.genome.reference import Reference
    from genolewm_core.scoring.backend import load_backend
    from genolewm_runtime.display import show_banner, show_model_notice
    from genolewm_runtime.saturate.display import show_plan
    from genolewm_runtime.saturate.plan import LARGE_BP, amount_of, measure
    from genolewm_runtime.saturate.run import check_run

    if options["whole_genome"] == (options["regions"] is not None):
        raise ConfigError(
            "config-invalid",
            "These options do not go together.",
            expected="either --regions or --whole-genome",
        )
    reference = Reference(reference_path(options["reference"]))
    run = _run_of(options, reference)
    if not options["plan_only"]:
        check_run(run)
    model = ModelDirectory.open(run.model)
    show_banner()
    show_model_notice(model)
    amount = amount_of(run.regions, reference, run.options)
    loaded = None
    if options["plan_only"] or options["whole_genome"] or amount.n_bp > LARGE_BP:
        loaded = load_backend(run.backend, model)
        rate = measure(run.regions, reference, run.options, loaded)
        show_plan(amount, rate, run.outputs, stderr=not options["plan_only"])
        if options["plan_only"]:
            return ExitCode.OK
        _ask(options["yes"])
    _run(run, loaded, show_progress=not options["no_progress"])
    return ExitCode.OK


def _run_of(options: dict[str, Any], reference: Reference) -> SaturateRun:
    from genolewm_runtime.saturate.run import SaturateRun
    from genolewm_runtime.saturate.tables import outputs_of

    model = model_directory(options["model"])
    return SaturateRun(
        reference=reference.path,
        regions=_regions_of(options["regions"], reference),
        outputs=outputs_of(options["output"]),
        model=model,
        options=pass_options(model, "marginal_llr", options["both_strands"], options["phases"]),
        backend=options["backend"],
        jobs=1 if options["jobs"] is None else options["jobs"],
        fresh=options["fresh"],
    )


def _regions_of(bed: Path | None, reference: Reference) -> tuple[Region, ...]:
    from genolewm_core.genome.bed import Bed, whole_genome
    from genolewm_runtime.saturate.display import show_bed

    if bed is None:
        return whole_genome(reference.contigs)
    found = Bed.read(bed, reference.contigs)
    show_bed(found)
    return found.regions


def _ask(yes: bool) -> None:
    """Go on only when the user wants that.

    Raises:
        ConfigError: `config-invalid`, when nobody can be asked, or the answer is no.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            "config-invalid",
            "A long run needs your consent, and there is no terminal to ask at.",
            where="--yes",
            next_step="give --yes to begin, or smaller --regions",
        )
    if not click.confirm("Begin?", err=True):
        raise ConfigError(
            "config-invalid",
            "Nothing was run, because you did not agree.",
            where="Begin?",
            next_step="give smaller --regions, or agree",
        )


def _run(run: SaturateRun, loaded: Backend | None, *, show_progress: bool) -> None:
    from genolewm_runtime.saturate.display import progress, show_summary
    from genolewm_runtime.saturate.run import run_saturate

    if loaded is not None:
        run = replace(run, backend=loaded.name)
    started = time.monotonic()
    try:
        with interrupts_kept(), progress(show_progress) as display, terminated_is_interrupted():
            summary = run_saturate(run, on_start=display.on_start, on_shard=display.on_shard, loaded=loaded)
    except KeyboardInterrupt:
        anew = " without --fresh" if run.fresh else ""
        click.echo(
            f"What was finished is kept: run the same command again{anew} to go on from there.", err=True
        )
        raise
    show_summary(summary, time.monotonic() - started)
