"""The commands `score` and `demo`. Each installs the network guard before anything native is imported."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from genolewm_core.errors import ConfigError, ExitCode, interrupts_kept
from genolewm_runtime.command_options import (
    PATH,
    allow_failed_option,
    allow_unenforced_option,
    annotation_option,
    annotation_path,
    backend_option,
    both_strands_option,
    close_network,
    fresh_option,
    heads_option,
    jobs_option,
    make_folder,
    model_directory,
    model_option,
    no_progress_option,
    pass_options,
    phases_option,
    reference_option,
    reference_path,
    terminated_is_interrupted,
)

if TYPE_CHECKING:
    from genolewm_runtime.run import RunSummary, VcfRun

__all__ = ["demo", "score"]


@click.command()
@click.option(
    "--vcf", metavar="PATH", help="Variants: VCF 4.1 to 4.5, plain, bgzip or gzip; - reads standard input."
)
@click.option("--variant", metavar="CHROM:POS:REF:ALT", help="Score one variant instead of a file.")
@reference_option
@annotation_option
@click.option(
    "--output", type=PATH, help="Where to write: a name ending in .parquet, .tsv, .jsonl or .vcf.gz."
)
@model_option
@backend_option
@heads_option
@both_strands_option
@phases_option
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="With --variant: print JSON.")
@no_progress_option
@fresh_option
@allow_failed_option
@allow_unenforced_option
def score(allow_unenforced_guard: bool, **options: Any) -> int:
    """Score the variants of a VCF, or one variant.

    Every row of the input comes back as scored, skipped or failed, with the reason. The exit code is 2 when
    a row failed. Interrupted, the same command goes on where it stopped.
    """
    close_network(allow_unenforced_guard)
    _check_choice(options)
    if options["variant"]:
        return _score_one(options)
    return _score_file(options)


@click.command()
@click.option(
    "--output",
    type=PATH,
    default=Path("demo"),
    show_default=True,
    help="Folder for scores.parquet and report.html.",
)
@backend_option
@jobs_option
@no_progress_option
@allow_unenforced_option
def demo(
    output: Path, backend: str, jobs: int | None, no_progress: bool, allow_unenforced_guard: bool
) -> int:
    """Score a million bases of a real, public genome (NA12878, chr21) on the embedded model.

    Writes scores.parquet, its receipt and report.html, replacing those of an earlier demo.
    """
    close_network(allow_unenforced_guard)
    from genolewm_runtime.demo import show_top
    from genolewm_runtime.models import demo_directory, embedded_model
    from genolewm_runtime.report.page import write_report
    from genolewm_runtime.run import VcfRun

    slice_ = demo_directory()
    model = embedded_model()
    options = pass_options(model)
    make_folder(output)
    run = VcfRun(
        vcf=slice_ / "NA12878.vcf.gz",
        reference=slice_ / "reference.fa.gz",
        output=output / "scores.parquet",
        model=model,
        options=options,
        backend=backend,
        jobs=_number_of(jobs),
        fresh=True,
    )
    summary = _run(run, show_progress=not no_progress, if_interrupted="The next demo starts anew.")
    show_top(summary.output)
    page = write_report(summary.output, output / "report.html", fresh=True)
    click.echo(f"report:  {page.path} (open it in a browser)", err=True)
    return ExitCode.OK


def _check_choice(options: dict[str, Any]) -> None:
    one = bool(options["variant"])
    wrong = None
    if one == bool(options["vcf"]):
        wrong = "either --vcf or --variant"
    elif not one and not options["output"]:
        wrong = "--output with --vcf"
    elif one and options["output"]:
        wrong = "no --output with --variant: the result is printed"
    elif one and options["jobs"] is not None:
        wrong = "no --jobs with --variant: one variant is scored in one process"
    elif one and options["fresh"]:
        wrong = "no --fresh with --variant: nothing is written"
    elif not one and options["as_json"]:
        wrong = "--json only with --variant"
    if wrong:
        raise ConfigError("config-invalid", "These options do not go together.", expected=wrong)


def _score_file(options: dict[str, Any]) -> int:
    from genolewm_runtime.run import VcfRun

    model = model_directory(options["model"])
    run = VcfRun(
        vcf=_vcf_of(options["vcf"]),
        reference=reference_path(options["reference"]),
        annotation=annotation_path(options["annotation"]),
        output=options["output"],
        model=model,
        options=pass_options(model, options["heads"], options["both_strands"], options["phases"]),
        backend=options["backend"],
        jobs=_number_of(options["jobs"]),
        fresh=options["fresh"],
    )
    anew = " without --fresh" if run.fresh else ""
    summary = _run(
        run,
        show_progress=not options["no_progress"],
        if_interrupted=f"What was finished is kept: run the same command again{anew} to go on from there.",
    )
    failed = summary.rows("failed")
    return ExitCode.INPUT if failed and not options["allow_failed"] else ExitCode.OK


def _score_one(options: dict[str, Any]) -> int:
    from genolewm_core.genome.variant import Variant
    from genolewm_runtime.display import as_json, show_banner, show_model_notice, show_score
    from genolewm_runtime.runtime import GenoLeWMRuntime

    variant = Variant.parse(options["variant"])
    model = model_directory(options["model"])
    runtime = GenoLeWMRuntime(
        model,
        backend=options["backend"],
        reference=reference_path(options["reference"]),
        annotation=annotation_path(options["annotation"]),
        options=pass_options(model, options["heads"], options["both_strands"], options["phases"]),
    )
    show_banner()
    show_model_notice(runtime.model)
    row = runtime.score_variant(variant)
    if options["as_json"]:
        click.echo(as_json(row, runtime.manifest))
    else:
        show_score(row, runtime.manifest.name)
    return ExitCode.INPUT if row.status == "failed" and not options["allow_failed"] else ExitCode.OK


def _run(run: VcfRun, *, show_progress: bool, if_interrupted: str) -> RunSummary:
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_runtime.display import progress, show_banner, show_model_notice, show_summary
    from genolewm_runtime.run import run_vcf

    show_banner()
    show_model_notice(ModelDirectory.open(run.model))
    started = time.monotonic()
    try:
        with interrupts_kept(), progress(show_progress) as display, terminated_is_interrupted():
            summary = run_vcf(run, on_survey=display.on_survey, on_shard=display.on_shard)
    except KeyboardInterrupt:
        click.echo(if_interrupted, err=True)
        raise
    show_summary(summary, time.monotonic() - started)
    return summary


def _vcf_of(given: str) -> Path | BinaryIO:
    if given != "-":
        return Path(given)
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError(
            "config-invalid",
            "Nothing is piped into standard input.",
            where="--vcf -",
            expected="a VCF on standard input, such as: bcftools view calls.bcf | geno-lewm score --vcf - ...",
        )
    return sys.stdin.buffer


def _number_of(jobs: int | None) -> int:
    return 1 if jobs is None else jobs
