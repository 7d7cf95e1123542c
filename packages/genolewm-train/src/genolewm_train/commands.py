"""The command `train-mini`. Heavy imports are inside: `geno-lewm --help` must stay quick."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["calibrate", "train_mini"]

_PATH = click.Path(path_type=Path)


@click.command("train-mini")
@click.option(
    "--data",
    type=_PATH,
    required=True,
    help="Folder that holds reference/, annotation/, species/ and benchmark/.",
)
@click.option(
    "--output", type=_PATH, required=True, help="Folder for checkpoint, log and the model directory."
)
@click.option("--steps", type=int, help="Optimiser steps. Default: the published recipe's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the weights and of every window.")
@click.option(
    "--threads", type=int, default=2, show_default=True, help="PyTorch threads; another number, other bits."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --output.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def train_mini(
    data: Path, output: Path, steps: int | None, seed: int, threads: int, resume: bool, no_progress: bool
) -> None:
    """Train the embedded demonstration model from scratch, measure it and write its model directory.

    Takes about an hour on two cores. Interrupted, the same command with --resume goes on, and gives the same
    bytes as a run that was never interrupted.
    """
    from genolewm_train.mini import run_mini

    measured = run_mini(
        data, output, steps=steps, seed=seed, threads=threads, resume=resume, show_progress=not no_progress
    )
    click.echo(f"model: {output / 'model'}")
    click.echo(f"card: {output / 'model' / 'card.md'}")
    click.echo(
        f"chr21: {measured.chain_bits:.4f} bits per base; "
        f"Markov order {measured.single_order}: {measured.single_bits:.4f}, "
        f"mixed orders: {measured.interpolated_bits:.4f}"
    )


@click.command("calibrate")
@click.option("--model", type=_PATH, required=True, help="Model directory; the table is written into it.")
@click.option(
    "--vcf",
    "vcfs",
    type=_PATH,
    required=True,
    multiple=True,
    help="Sites with AF in INFO, indexed. May be given several times.",
)
@click.option("--reference", type=_PATH, required=True, help="Indexed FASTA of the sites' assembly.")
@click.option("--annotation", type=_PATH, help="GFF3 of transcripts, to tell regions apart.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="CONTIG:FIRST-LAST",
    help="Where to read sites. Default: the stretches of GRCh37 that the embedded model was not trained on, "
    "20:1000001-2000000 and 22:16050001-22000000.",
)
@click.option(
    "--min-af", type=float, default=0.01, show_default=True, help="Smallest frequency of the rarer allele."
)
@click.option("--backend", default="auto", show_default=True, help="Compute library that the table is for.")
@click.option("--both-strands/--one-strand", default=None, help="Default: the model's.")
@click.option("--phases", type=int, help="1, 2, 3 or 6. Default: the model's.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def calibrate(
    model: Path,
    vcfs: tuple[Path, ...],
    reference: Path,
    annotation: Path | None,
    regions: tuple[str, ...],
    min_af: float,
    backend: str,
    both_strands: bool | None,
    phases: int | None,
    no_progress: bool,
) -> None:
    """Build the table that turns scores into percentiles among common variants, and check it.

    One site in five is held back; the command ends with how uniform their percentiles are. Interrupted, the
    same command goes on where it stopped.
    """
    from genolewm_core.errors import ConfigError
    from genolewm_train.calibration.build import CalibrationRun, calibrate_model
    from genolewm_train.calibration.display import show_table, stages
    from genolewm_train.calibration.sites import RESERVED_GRCH37, parse_region

    if not 0.0 <= min_af <= 0.5:
        raise ConfigError(
            "config-invalid", "This frequency cannot be used.", where="--min-af", expected="0 to 0.5"
        )
    run = CalibrationRun(
        model=model,
        vcfs=vcfs,
        reference=reference,
        annotation=annotation,
        regions=tuple(parse_region(text) for text in regions) or RESERVED_GRCH37,
        min_af=min_af,
        backend=backend,
        both_strands=both_strands,
        phases=phases,
    )
    with stages(enabled=not no_progress) as (on_stage, on_cell):
        table = calibrate_model(run, on_stage, on_cell)
    show_table(table, model)
