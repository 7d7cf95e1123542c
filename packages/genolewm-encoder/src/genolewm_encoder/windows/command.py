"""The command `cache-windows`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genolewm_core.errors import ConfigError, ExitCode, InputError, interrupts_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genolewm_core.artifacts.manifest import Manifest
    from genolewm_core.genome.bed import Region
    from genolewm_core.genome.contigs import ContigTable
    from genolewm_core.jobs import Place
    from genolewm_encoder.identity import EncoderIdentity
    from genolewm_encoder.windows.encode import EncodeBlocks, EncoderChoice
    from genolewm_encoder.windows.fasta import FastaWindows, Loci
    from genolewm_encoder.windows.run import Plan

__all__ = ["cache_windows"]

_PATH = click.Path(path_type=Path)


@click.command("cache-windows")
@click.option(
    "--reference",
    type=_PATH,
    required=True,
    help="Indexed FASTA, or the name of an assembly that was set up.",
)
@click.option("--encoder", required=True, help="Model directory, or the name of one that was set up.")
@click.option("--revision", help="Commit of the encoder's files. Default: that of the files that are there.")
@click.option("--cache", type=_PATH, required=True, help="Directory of the cache; made when it is missing.")
@click.option("--regions", type=_PATH, metavar="BED", help="Only cells that hold a base of these regions.")
@click.option("--contigs", metavar="NAMES", help="Only these contigs, separated by commas.")
@click.option(
    "--at",
    metavar="centre|every:BP|untargeted",
    help="Which bases of a cell get a state; one pass over the window serves all of them. Default: centre, or "
    "untargeted with --pool-type global_mean.",
)
@click.option(
    "--dtype", type=click.Choice(["bf16", "fp32"]), default="bf16", show_default=True, help="Of the layers."
)
@click.option(
    "--state-layer",
    type=int,
    help="Layers after which states are read; -1 is the last. Default: the model's.",
)
@click.option(
    "--pool-type",
    type=click.Choice(["span_mean", "centered_mean", "global_mean"]),
    default="span_mean",
    show_default=True,
    help="How the rows of a window become a state.",
)
@click.option("--pool-radius", type=int, help="Of pooling, in tokens. Default: the model's.")
@click.option(
    "--block-cells",
    type=int,
    default=256,
    show_default=True,
    help="Consecutive cells that become one shard; what a killed worker has to do again.",
)
@click.option(
    "--devices",
    metavar="NAMES",
    help="Such as cuda:0,cuda:1: a process on each. Default: the first GPU, or cpu.",
)
@click.option("--workers", type=int, help="Processes, or actors of a cluster. Default: one a device.")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Encode on a Ray cluster, or on one that is started on this machine (local); with --devices cuda each "
    "actor has a GPU.",
)
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def cache_windows(**options: Any) -> int:
    """Encode the windows of a reference into a cache of states.

    Only the reference is read. What the cache already has is not encoded again: interrupted, the same command goes
    on where it stopped.
    """
    from genolewm_core.artifacts.installed import installed_reference
    from genolewm_core.genome.reference import Reference
    from genolewm_core.scoring.cells import Geometry
    from genolewm_encoder.pooling import Pool
    from genolewm_encoder.windows.encode import EncodeBlocks
    from genolewm_encoder.windows.fasta import FastaWindows
    from genolewm_encoder.windows.run import plan_of

    choice, manifest = _encoder(options)
    fasta = installed_reference(options["reference"])
    source = FastaWindows(
        fasta.absolute(),
        Geometry(manifest.contract.window_bp, manifest.contract.cell_bp),
        _loci(options["at"], choice.pool_type),
        _regions(options, Reference(fasta).contigs),
        options["block_cells"],
    )
    plan = plan_of(source, Pool(choice.pool_type, choice.pool_radius), manifest.architecture.d_model)
    devices = _devices(options["devices"], options["cluster"])
    work = EncodeBlocks(source, choice, options["cache"].absolute(), devices)
    place = _place(options["workers"], devices, options["cluster"])
    _record(work.cache, choice.identity(manifest))
    return _run(work, place, plan, source, show_progress=not options["no_progress"])


def _run(work: EncodeBlocks, place: Place, plan: Plan, source: FastaWindows, *, show_progress: bool) -> int:
    from genolewm_core.jobs import UnexpectedError
    from genolewm_encoder.windows.display import progress, show_account, show_plan
    from genolewm_encoder.windows.run import encode_windows

    show_plan(plan)
    click.echo("loading the encoder", err=True)
    started = time.monotonic()
    try:
        with interrupts_kept(), progress(show_progress, plan, source) as on_block:
            accounts = encode_windows(work, place, on_block=on_block)
    except KeyboardInterrupt:
        click.echo(
            "Finished blocks are in the cache: run the same command again to go on from there.", err=True
        )
        raise
    except UnexpectedError as error:
        # Where it came from is in the error, which a worker has sent, and no longer in its traceback.
        click.echo(f"geno-lewm: internal error {error}", err=True)
        return ExitCode.INTERNAL
    show_account(accounts, plan, work.cache, time.monotonic() - started)
    return ExitCode.OK


def _record(cache: Path, identity: EncoderIdentity) -> None:
    from genolewm_encoder.windows.record import record_encoder, same_states

    own = record_encoder(cache, identity)
    for other in same_states(cache, identity):
        command = shlex.join(["geno-lewm", "cache", str(cache), "--migrate", str(other), str(own)])
        click.echo(
            "The cache has states of the same weights and contract under another name; to take them over, stop and "
            f"run: {command}",
            err=True,
        )


def _encoder(options: dict[str, Any]) -> tuple[EncoderChoice, Manifest]:
    from genolewm_core.artifacts.installed import installed_model
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_encoder.revisions import open_revision, revision_of
    from genolewm_encoder.windows.encode import EncoderChoice

    name, revision = options["encoder"], options["revision"]
    model = open_revision(name, revision) if revision else ModelDirectory.open(installed_model(name))
    manifest = model.manifest
    radius, layer = options["pool_radius"], options["state_layer"]
    choice = EncoderChoice(
        model.path.absolute(),
        revision or revision_of(manifest),
        options["dtype"],
        _layer(layer, manifest),
        options["pool_type"],
        manifest.contract.radius_tok if radius is None else radius,
    )
    return choice, manifest


def _layer(given: int | None, manifest: Manifest) -> int:
    from genolewm_encoder.pooling import layer_of

    return layer_of(manifest.contract.state_layer if given is None else given, manifest.architecture.n_layers)


def _loci(given: str | None, pool_type: str) -> Loci:
    from genolewm_encoder.windows.fasta import CENTRE, WHOLE, Loci

    whole = pool_type == "global_mean"
    if given is None:
        return WHOLE if whole else CENTRE
    loci = Loci.parse(given)
    if whole and loci != WHOLE:
        raise ConfigError(
            "config-invalid",
            "The mean over a whole window is the same at every place of it.",
            where="--at",
            expected="untargeted with --pool-type global_mean",
        )
    return loci


def _regions(options: dict[str, Any], contigs: ContigTable) -> Sequence[Region] | None:
    from genolewm_core.genome.bed import Region, merge_regions, read_bed

    if options["regions"] is not None and options["contigs"] is not None:
        raise ConfigError(
            "config-invalid", "These options do not go together.", expected="either --regions or --contigs"
        )
    if options["regions"] is not None:
        return read_bed(options["regions"], contigs)
    if options["contigs"] is None:
        return None
    regions = []
    for name in options["contigs"].split(","):
        contig = contigs.resolve(name.strip())
        if contig is None:
            raise InputError(
                "contig-unknown",
                "A contig is not in the reference FASTA.",
                where="--contigs",
                expected=f"a name in the style {contigs.style!r}",
                found=name.strip()[:40],
            )
        regions.append(Region(contig, 0, contigs[contig]))
    return merge_regions(regions, contigs)


def _devices(given: str | None, cluster: str | None) -> tuple[str, ...] | None:
    """As given; on a cluster the CPU unless GPUs are asked for, because Ray shows each actor its own."""
    if given is None:
        return None if cluster is None else ("cpu",)
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    if not names or any(name.split(":")[0] not in ("cuda", "cpu", "mps") for name in names):
        raise ConfigError(
            "config-invalid",
            "These devices cannot be used.",
            where="--devices",
            expected="names such as cuda:0,cuda:1 or cpu",
            found=given[:40],
        )
    if cluster is not None and set(names) - {"cuda", "cpu"}:
        raise ConfigError(
            "config-invalid",
            "Ray chooses each actor's GPU.",
            where="--devices",
            expected="cuda or cpu with --cluster",
            found=given[:40],
        )
    return names


def _place(workers: int | None, devices: tuple[str, ...] | None, cluster: str | None) -> Place:
    from genolewm_core.jobs import Cluster, Here, Processes

    number = len(devices or ("cpu",)) if workers is None else workers
    if number < 1:
        raise ConfigError(
            "config-invalid",
            "This number of workers cannot be used.",
            where="--workers",
            expected="1 or more",
            found=str(number),
        )
    if cluster is not None:
        return Cluster(cluster, number, gpus=float("cuda" in (devices or ())))
    return Here() if number == 1 else Processes(number)
