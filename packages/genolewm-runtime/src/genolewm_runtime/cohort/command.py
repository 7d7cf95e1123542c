"""The command `score-cohort`. Without --cluster it installs the network guard before anything native is imported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from genolewm_core.errors import ConfigError, interrupts_kept
from genolewm_runtime.command_options import (
    PATH,
    allow_failed_option,
    allow_unenforced_option,
    annotation_option,
    annotation_path,
    backend_option,
    both_strands_option,
    close_network,
    heads_option,
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
    from genolewm_core.jobs import Place
    from genolewm_runtime.cohort.run import Cohort

__all__ = ["score_cohort"]


@click.command("score-cohort")
@click.option(
    "--vcf",
    "vcfs",
    type=PATH,
    multiple=True,
    metavar="PATH",
    help="A VCF, or a folder of VCFs; may be given many times.",
)
@click.option(
    "--samples", type=PATH, metavar="FILE", help="A list of VCFs: a name, a tab and a path on each line."
)
@reference_option
@annotation_option
@click.option(
    "--output",
    type=PATH,
    required=True,
    help="Folder for a table and a receipt of each VCF, and cohort.json.",
)
@click.option(
    "--format",
    "ending",
    type=click.Choice(["parquet", "tsv", "jsonl", "vcf.gz"]),
    default="parquet",
    show_default=True,
    help="Of the tables.",
)
@model_option
@backend_option
@heads_option
@both_strands_option
@phases_option
@click.option(
    "--jobs",
    type=int,
    default=1,
    show_default=True,
    help="Processes, or with --cluster actors; each holds the model once and scores one VCF at a time.",
)
@no_progress_option
@click.option(
    "--fresh",
    is_flag=True,
    help="Start anew: drop unfinished work, and replace existing outputs, each once the new one is whole.",
)
@allow_failed_option
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Score on a Ray cluster, or on one that is started on this machine (local). The network stays open, so "
    "it needs your consent.",
)
@click.option(
    "--consent-cluster",
    is_flag=True,
    help="Consent to --cluster without being asked. Written in every receipt.",
)
@allow_unenforced_option
def score_cohort(allow_unenforced_guard: bool, **options: Any) -> int:
    """Score many VCFs, each to a table of its own, exactly as `score` would.

    A VCF that cannot be scored does not stop the others: cohort.json and the table at the end say what became of
    each, and the exit code is that of the first that failed. Interrupted, the same command goes on where it
    stopped; what is finished is not scored again.
    """
    cluster = options["cluster"]
    if cluster is None:
        _refuse(options["consent_cluster"], "--consent-cluster only with --cluster")
        close_network(allow_unenforced_guard)
        consent = None
    else:
        from genolewm_runtime.cohort.consent import ask_consent

        _refuse(allow_unenforced_guard, "no --allow-unenforced-guard with --cluster, which has no guard")
        consent = ask_consent(cluster, by_option=options["consent_cluster"])
    from genolewm_runtime.cohort.run import Cohort
    from genolewm_runtime.cohort.samples import samples_of

    model = model_directory(options["model"])
    samples = samples_of(options["vcfs"], options["samples"])
    make_folder(options["output"])
    cohort = Cohort(
        samples=samples,
        reference=reference_path(options["reference"]),
        annotation=annotation_path(options["annotation"]),
        model=model,
        options=pass_options(model, options["heads"], options["both_strands"], options["phases"]),
        folder=options["output"],
        ending=options["ending"],
        backend=options["backend"],
        place=_place(options["jobs"], cluster),
        fresh=options["fresh"],
        cluster=consent,
    )
    return _run(cohort, progress=not options["no_progress"], allow_failed=options["allow_failed"])


def _run(cohort: Cohort, *, progress: bool, allow_failed: bool) -> int:
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_runtime.cohort.display import display, show_accounts
    from genolewm_runtime.cohort.run import ACCOUNT, exit_code_of, score_vcfs
    from genolewm_runtime.display import show_banner, show_model_notice

    show_banner()
    show_model_notice(ModelDirectory.open(cohort.model))
    started = time.monotonic()
    try:
        with interrupts_kept(), display(progress) as shown, terminated_is_interrupted():
            accounts = score_vcfs(cohort, on_plan=shown.on_plan, on_vcf=shown.on_vcf, on_shard=shown.on_shard)
    except KeyboardInterrupt:
        anew = " without --fresh" if cohort.fresh else ""
        click.echo(
            f"What was finished is kept: run the same command again{anew} to go on from there.", err=True
        )
        raise
    show_accounts(accounts, cohort.folder / ACCOUNT, time.monotonic() - started)
    return exit_code_of(accounts, allow_failed=allow_failed)


def _place(jobs: int, cluster: str | None) -> Place:
    from genolewm_core.jobs import Cluster, Here, Processes

    if jobs < 1:
        raise ConfigError(
            "config-invalid",
            "This number of processes cannot be used.",
            where="--jobs",
            expected="1 or more",
            found=str(jobs),
        )
    if cluster is not None:
        return Cluster(cluster, jobs)
    return Here() if jobs == 1 else Processes(jobs)


def _refuse(wrong: bool, expected: str) -> None:
    if wrong:
        raise ConfigError("config-invalid", "These options do not go together.", expected=expected)
