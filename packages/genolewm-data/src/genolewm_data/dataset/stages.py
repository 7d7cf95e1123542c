"""The two stages of a build that make its tables: windows of training, then what belongs to either split."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Place, Task, run_tasks
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.holding import CLINVAR, HAPLOTYPES
from genolewm_data.dataset.places import HOW_THEY_LIE
from genolewm_data.dataset.tables import Reach, changed_labels, haplotypes_in, within, write_variants
from genolewm_data.dataset.validation import reach_of, write_validation
from genolewm_data.dataset.windows import ShardWork, placed_stream, train_file
from genolewm_data.dataset.workspace import Workspace
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.release.release import HOLDOUTS, haplotype_file, variant_file
from genolewm_data.release.windows import PLACED
from genolewm_data.samplers import edge_margin

__all__ = ["OnProgress", "blocks_file", "make_tables", "make_windows"]

OnProgress = Callable[[str, int, int | None], None]
"""Called with the stage, how much of it is done, and of how much where that is known."""


def blocks_file(space: Workspace) -> Path:
    """Where the blocks of the evaluation's haplotypes are kept."""
    return space.folder / "blocks.parquet"


def make_windows(
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
    stream = placed_stream(config, HeldOut(config.assembly))
    if stream is not None:
        left_out["regions.placed"] = Counter({"no_window": stream.places.n_without})
    return {"windows": dict(sorted(total.items())), "left_out": _some(left_out)}


def make_tables(
    config: DatasetConfig, space: Workspace, reference: Reference, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the windows of validation, and the tables of both splits; `made` is what `make_windows` said."""
    held = Holdouts.read(space.release / HOLDOUTS).on(config.assembly)
    validation = write_validation(config, reference, held, space.release, blocks_file(space))
    margin = edge_margin(config.edits.radius_tok)
    train_files = [space.release / train_file(number) for number in range(config.windows.shards)]
    train = Reach.of(train_files, margin)
    # Windows of regions draw from the tables of the mix; the others have what they are for and nothing else.
    regional = set(validation.windows) - {CLINVAR, HAPLOTYPES}
    names = {"gnomad": regional, "clinvar": {CLINVAR, *(regional if "clinvar" in config.mix.sources else ())}}
    validated = {source: reach_of(space.release, drawing, margin) for source, drawing in names.items()}
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
                raise _no_variants(source, counts, made)
            left_out[f"variants.train.{source}"] = Counter(counts)
        if evaluation is not None:
            path = space.release / variant_file("validation", source)
            counts = write_variants(
                path, evaluation, source, reference.contigs, held, validated[source], training=False
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
        everything = HaplotypeTable.read(blocks_file(space))
        windows = reach_of(space.release, {HAPLOTYPES}, margin)
        inside = {block: n for block, n in everything.counts.items() if within(windows, block)}
        whole = validation.groups.get(HAPLOTYPES, frozenset())
        kept = {
            block: n for block, n in inside.items() if tuple(call.called for call in block.calls) in whole
        }
        HaplotypeTable(kept).write(space.release / haplotype_file("validation"))
        left_out["haplotypes.validation"] = Counter(
            {"outside_windows": len(everything) - len(inside), "no_tuple": len(inside) - len(kept)}
        )
    return {"validation": validation.windows, "left_out": _some(left_out)}


def _asked(config: DatasetConfig, total: Counter[str]) -> dict[str, int]:
    """Windows of each of the two kinds that were asked for."""
    given = {"placed": config.windows.placed, "corpus": config.windows.corpus}
    found = {"placed": total[PLACED], "corpus": sum(total.values()) - total[PLACED]}
    return {kind: n for kind, n in found.items() if given[kind] is not None}


def _some(counted: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    plain = {
        stage: {reason: n for reason, n in sorted(counts.items()) if n} for stage, counts in counted.items()
    }
    return {stage: counts for stage, counts in sorted(plain.items()) if counts}


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


def _no_variants(source: str, counts: dict[str, int], made: Mapping[str, Any]) -> InputError:
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in counts.items()) or "an empty shard"
    without = made["left_out"].get("regions.placed", {}).get("no_window", 0)
    return InputError(
        "training-data-missing",
        f"No variant of a shard can be used in a window of training. {HOW_THEY_LIE}.",
        where=f"variants.{source}",
        expected="variants in windows that are not held out, or a mix without them",
        found=f"{reasons}; {made['windows'].get(PLACED, 0):,} placed windows, {without:,} regions without one",
        next_step="name a shard that has variants in the regions of training",
    )
