"""Build a release: stage by stage, each finished once, and published as a whole."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import write_atomic, writing
from genolewm_core.errors import InputError, InternalError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Here, Place, Processes, Task, run_tasks
from genolewm_data.dataset.card import CARD, card
from genolewm_data.dataset.checking import check_release
from genolewm_data.dataset.config import DatasetConfig, named
from genolewm_data.dataset.holding import hold_out
from genolewm_data.dataset.sources import (
    MADE_WITH,
    changed,
    check_shard,
    digested,
    fingerprint,
    given_files,
    open_reference,
    states,
)
from genolewm_data.dataset.tables import Reach, changed_labels, haplotypes_in, within, write_variants
from genolewm_data.dataset.validation import VALIDATION_FILE, write_validation
from genolewm_data.dataset.windows import ShardWork, corpus_stream, placed_stream, train_file
from genolewm_data.dataset.workspace import Workspace, workspace
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.release.integrity import INTEGRITY, SplitIntegrity
from genolewm_data.release.manifest import MANIFEST, ReleaseFile, ReleaseManifest, SourceFile
from genolewm_data.release.release import HOLDOUTS, Release, haplotype_file, variant_file
from genolewm_data.release.sums import digest_of, files_of, write_sums
from genolewm_data.release.windows import PLACED
from genolewm_data.samplers import edge_margin

__all__ = ["Built", "OnProgress", "build_release"]

OnProgress = Callable[[str, int, int | None], None]
"""Called with the stage, how much of it is done, and of how much where that is known."""


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build.

    Attributes:
        folder: the release.
        manifest: what it says about itself.
        integrity: what was found in it.
    """

    folder: Path
    manifest: ReleaseManifest
    integrity: SplitIntegrity


def build_release(
    config: DatasetConfig,
    output: Path,
    *,
    jobs: int = 1,
    fresh: bool = False,
    on_progress: OnProgress = lambda stage, done, of: None,
) -> Built:
    """Build the release that a configuration describes. The same configuration and files give the same bytes.

    Args:
        config: what is wanted.
        output: folder of the release; it appears when everything in it is finished and checked.
        jobs: processes.
        fresh: replace a release that is there, and drop an unfinished build.
        on_progress: see `OnProgress`.

    Raises:
        ConfigError: `config-invalid`, `output-exists`, `resume-conflict` (also when a file changes meanwhile).
        InputError: of files that cannot be used or do not belong together; `training-data-missing`, when there is
            nothing to train on.
        InternalError: `holdout-leak`, when the check finds held-out data in training; nothing is published then.
        ResourceError: `output-busy`, `output-unwritable`, `worker-ended`.
    """
    config.check()
    files = given_files(config)
    with workspace(output.absolute(), fingerprint(config, files), fresh=fresh) as space:
        done = _published(space)
        if done is not None:
            return done
        before = states(files)
        reference = _compatible(config)
        sources = space.once(
            "sources", lambda: digested(config, files, lambda n: on_progress("sources", n, len(files)))
        )
        on_progress("hold-outs", 0, None)
        held = space.once("holdouts", lambda: hold_out(config, reference, space.release, _blocks(space)))
        place = Here() if jobs == 1 else Processes(jobs)
        windows = _windows(config, space, place, on_progress)
        on_progress("tables", 0, None)
        tables = space.once("tables", lambda: _tables(config, space, reference))
        if states(files) != before:
            raise changed()
        manifest = ReleaseManifest(
            name=config.name,
            version=config.version,
            assembly=config.assembly,
            window_bp=config.windows.window_bp,
            options=_options(config),
            windows={"train": windows["windows"], "validation": tables["validation"]},
            left_out={**windows["left_out"], **tables["left_out"]},
            config=named(config),
            holdouts=held["digest"],
            sources=tuple(SourceFile(**source) for source in sources),
            files=_files(space.release),
            made_with={name: version(name) for name in MADE_WITH},
        )
        manifest = _as_read(manifest, space.release)
        integrity = _checked(Release(space.release, manifest), space, place, on_progress)
        integrity.write(space.release / INTEGRITY)
        for folder in (space.release / "variants", space.release / "haplotypes"):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        manifest = _as_read(replace(manifest, files=_files(space.release)), space.release)
        integrity = SplitIntegrity.read(space.release / INTEGRITY)
        write_atomic(space.release / CARD, card(manifest, integrity).encode())
        manifest = replace(manifest, files=_files(space.release))
        manifest.write(space.release)
        write_sums(space.release)
        space.publish(manifest.digest)
    return Built(output, manifest, integrity)


def _as_read(manifest: ReleaseManifest, folder: Path) -> ReleaseManifest:
    """The manifest as everybody else will have it: JSON keeps neither tuples nor an order."""
    manifest.write(folder)
    return ReleaseManifest.read(folder)


def _published(space: Workspace) -> Built | None:
    """The release of a build that was cut off after it was published."""
    said = space.note("published")
    if said is None or space.release.exists():
        return None
    manifest = ReleaseManifest.read(space.target)
    return Built(space.target, manifest, SplitIntegrity.read(space.target / INTEGRITY))


def _blocks(space: Workspace) -> Path:
    """Where the blocks of the evaluation's haplotypes are kept."""
    return space.folder / "blocks.parquet"


def _compatible(config: DatasetConfig) -> Reference:
    """The reference, after all that names an assembly or a contig was compared with it."""
    reference = open_reference(config.reference.path, config.assembly)
    for kind, shards in (
        ("gnomad", (config.variants.gnomad,)),
        ("clinvar", (config.variants.clinvar, config.holdouts.clinvar)),
    ):
        for shard in shards:
            if shard is not None:
                check_shard(shard, kind, config.assembly, reference.contigs)
    for assembly, other in config.holdouts.references.items():
        open_reference(other.path, assembly)
    # Files of the streams are opened here once, so that what is wrong with them is found before any work.
    nothing = HeldOut(config.assembly)
    placed_stream(config, nothing)
    corpus_stream(config, Holdouts({config.assembly: nothing}))
    return reference


def _windows(
    config: DatasetConfig, space: Workspace, place: Place, on_progress: OnProgress
) -> dict[str, Any]:
    """Make the shards that are not there yet; windows by origin, and what was left out by stage and reason."""
    total: Counter[str] = Counter()
    left_out: dict[str, Counter[str]] = {}
    todo = []
    found = []
    for number in range(config.windows.shards):
        said = space.note(train_file(number).replace("/", "-"))
        if said is None:
            todo.append(Task(f"{number}", number))
        else:
            found.append(said)
    spill = space.folder / "spill"
    with writing(spill):
        shutil.rmtree(spill, ignore_errors=True)
        spill.mkdir()

    def take(said: dict[str, Any]) -> None:
        total.update(said["windows"])
        for stage, reasons in said["left_out"].items():
            left_out.setdefault(stage, Counter()).update(reasons)
        on_progress("windows", sum(total.values()), None)

    for said in found:
        take(said)
    with closing(run_tasks(ShardWork(config, space.release, spill), todo, place)) as outcomes:
        for outcome in outcomes:
            space.finish(train_file(int(outcome.name)).replace("/", "-"), outcome.value())
            take(outcome.value())
    for name, n in _asked(config, total).items():
        if n == 0:
            raise _no_windows(name, left_out)
    return {"windows": dict(sorted(total.items())), "left_out": _some(left_out)}


def _asked(config: DatasetConfig, total: Counter[str]) -> dict[str, int]:
    """Windows of each of the two kinds that were asked for."""
    given = {"placed": config.windows.placed, "corpus": config.windows.corpus}
    found = {"placed": total[PLACED], "corpus": sum(total.values()) - total[PLACED]}
    return {kind: n for kind, n in found.items() if given[kind] is not None}


def _no_windows(kind: str, left_out: dict[str, Counter[str]]) -> InputError:
    reasons = (
        f"{stage}: " + ", ".join(f"{reason} {n:,}" for reason, n in counts.items())
        for stage, counts in _some(left_out).items()
    )
    return InputError(
        "training-data-missing",
        "There is no window to train on.",
        where=f"windows.{kind}",
        expected="a window that is not held out and has enough bases",
        found="; ".join(reasons)[:400] or "nothing to read",
        next_step="give other regions, shorter windows, or a larger corpus",
    )


def _some(counted: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    plain = {
        stage: {reason: n for reason, n in sorted(counts.items()) if n} for stage, counts in counted.items()
    }
    return {stage: counts for stage, counts in sorted(plain.items()) if counts}


def _tables(config: DatasetConfig, space: Workspace, reference: Reference) -> dict[str, Any]:
    """Write the windows of validation, and the tables of both splits."""
    held = Holdouts.read(space.release / HOLDOUTS).on(config.assembly)
    validation = write_validation(config, reference, held, space.release, _blocks(space))
    margin = edge_margin(config.edits.radius_tok)
    train_files = [space.release / train_file(number) for number in range(config.windows.shards)]
    train = Reach.of(train_files, margin)
    validated = Reach.of([space.release / VALIDATION_FILE], margin)
    left_out: dict[str, Counter[str]] = {}
    given = (
        ("gnomad", config.variants.gnomad, config.variants.gnomad),
        ("clinvar", config.variants.clinvar, config.holdouts.clinvar),
    )
    for source, training, evaluation in given:
        if training is not None:
            changes = (
                changed_labels(training, evaluation, reference.contigs)
                if source == "clinvar"
                else frozenset()
            )
            path = space.release / variant_file("train", source)
            counts = write_variants(
                path, training, source, reference.contigs, held, train, training=True, changed=changes
            )
            if not counts.pop("kept") and source in config.mix.sources:
                raise _no_variants(source, counts)
            left_out[f"variants.train.{source}"] = Counter(counts)
        if evaluation is not None:
            path = space.release / variant_file("validation", source)
            counts = write_variants(
                path, evaluation, source, reference.contigs, held, validated, training=False
            )
            # What is not held out is simply no part of validation.
            unusable = {name: n for name, n in counts.items() if name not in ("kept", "not_held_out")}
            left_out[f"variants.validation.{source}"] = Counter(unusable)
    if config.haplotypes is not None:
        table, counts = haplotypes_in(config.haplotypes.path, reference, held, train)
        table.write(space.release / haplotype_file("train"))
        del counts["kept"]
        left_out["haplotypes.train"] = Counter(counts)
    if config.holdouts.haplotypes is not None:
        everything = HaplotypeTable.read(_blocks(space))
        kept = {block: n for block, n in everything.counts.items() if within(validated, block)}
        HaplotypeTable(kept).write(space.release / haplotype_file("validation"))
        left_out["haplotypes.validation"] = Counter({"outside_windows": len(everything) - len(kept)})
    return {"validation": validation, "left_out": _some(left_out)}


def _no_variants(source: str, counts: dict[str, int]) -> InputError:
    return InputError(
        "training-data-missing",
        "No variant of a shard can be used in a window of training.",
        where=f"variants.{source}",
        expected="variants in windows that are not held out, or a mix without them",
        found=", ".join(f"{reason} {n:,}" for reason, n in counts.items()) or "an empty shard",
        next_step="name a shard that has variants in the regions of training",
    )


def _options(config: DatasetConfig) -> dict[str, Any]:
    options = asdict(config.tuple_options())
    options["mix"] = dict(config.mix.weights)
    return options


def _files(folder: Path) -> tuple[ReleaseFile, ...]:
    files = []
    for name in files_of(folder):
        path = folder / name
        if name != MANIFEST:
            rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
            files.append(ReleaseFile(name, digest_of(path), path.stat().st_size, rows))
    return tuple(files)


def _checked(release: Release, space: Workspace, place: Place, on_progress: OnProgress) -> SplitIntegrity:
    total = sum(release.manifest.windows["train"].values())
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        on_progress("integrity", done, total)

    advance(0)
    integrity = check_release(release, place, space, advance)
    if not integrity.clean:
        raise InternalError(
            "holdout-leak",
            "Held-out data was found in the release, which is not published.",
            where=str(space.release),
            expected="no window, variant or haplotype that is held out",
            found="; ".join((*integrity.leaks, *integrity.training.findings[:3]))[:600],
            next_step="report it; the unfinished release is kept until the next build with --fresh",
        )
    return integrity
