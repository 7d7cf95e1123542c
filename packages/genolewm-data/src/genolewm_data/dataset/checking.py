"""The integrity of a whole release: every window of training with its tuples of the first epoch, and the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genolewm_core.jobs import Place, Seat, Task, run_tasks
from genolewm_core.scoring.states import ReferenceWindow, window_hash
from genolewm_data.dataset.tables import HeldRows
from genolewm_data.dataset.workspace import Notes
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.integrity import IntegrityCheck
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.report import IntegrityReport
from genolewm_data.holdouts.sequence_file import read_held_sequence
from genolewm_data.release.integrity import Overlap, SplitIntegrity, report_of
from genolewm_data.release.release import HELD_KMERS, SPLITS, Release, variant_file
from genolewm_data.release.windows import WindowTable

__all__ = ["CheckWork", "check_release", "train_files"]

_SOURCES = ("gnomad", "clinvar")
_KEY = ["chrom", "pos", "ref", "alt"]


def train_files(release: Release) -> list[str]:
    """The files of training windows, in the order in which windows are numbered."""
    return sorted(file.path for file in release.manifest.files if file.path.startswith("windows/train"))


@dataclass(frozen=True, slots=True)
class CheckWork:
    """Checks files of training windows; a task is a file and the number of its first window.

    What it says of a file: `report`, `tally`, and by hold-out `touching` and `same_sequence` (see `Overlap`).
    """

    release: Release

    def start(self, seat: Seat) -> Callable[[tuple[str, int]], dict[str, Any]]:
        """Read the hold-outs, the tables and the windows of validation."""
        release = self.release
        sequence = read_held_sequence(release.folder / HELD_KMERS)
        builder = release.builder()
        validation = _Validation(release)

        def do(task: tuple[str, int]) -> dict[str, Any]:
            path, first = task
            check = IntegrityCheck(release.holdouts, release.manifest.assembly, sequence)
            tally: Counter[str] = Counter()
            touching: Counter[str] = Counter()
            same: Counter[str] = Counter()
            for number, window in enumerate(WindowTable([release.folder / path]), first):
                built = builder.build(window, number)
                tally.update(built.tally)
                same.update(validation.same(window.sequence))
                if isinstance(window, ReferenceWindow):
                    touching.update(validation.touching(window))
                    check.placed(window)
                    for one in built.tuples:
                        check.edits(window, one.rel_edits)
                else:
                    check.unplaced(window.sequence, f"{window.config} {window.record_id}")
            return {
                "report": asdict(check.report()),
                "tally": dict(sorted(tally.items())),
                "touching": dict(sorted(touching.items())),
                "same_sequence": dict(sorted(same.items())),
            }

        return do


def check_release(
    release: Release,
    place: Place,
    notes: Notes | None = None,
    on_windows: Callable[[int], None] = lambda n: None,
) -> SplitIntegrity:
    """Check everything that training may read of a release.

    Args:
        release: its files are in place.
        place: where to compute.
        notes: of files that were checked before, by number; those that are checked now are added.
        on_windows: called with the number of windows that were checked since the last call.

    Raises:
        InputError: of files that cannot be read.
        ResourceError: `worker-ended`.
    """
    paths = train_files(release)
    sizes = [len(WindowTable([release.folder / path])) for path in paths]
    found: dict[str, dict[str, Any]] = {}
    todo = []
    for number, path in enumerate(paths):
        name = f"check-{number:05d}"
        said = None if notes is None else notes.note(name)
        if said is None:
            todo.append(Task(name, (path, sum(sizes[:number]))))
        else:
            found[name] = said
            on_windows(sizes[number])
    with closing(run_tasks(CheckWork(release), todo, place)) as outcomes:
        for outcome in outcomes:
            found[outcome.name] = outcome.value()
            if notes is not None:
                notes.finish(outcome.name, found[outcome.name])
            on_windows(sizes[int(outcome.name.removeprefix("check-"))])
    return _joined(release, [found[name] for name in sorted(found)])


def _joined(release: Release, found: Sequence[dict[str, Any]]) -> SplitIntegrity:
    report: IntegrityReport | None = None
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("tally", "touching", "same_sequence")}
    for one in found:
        its = report_of(one["report"])
        report = its if report is None else report.merged(its)
        for name, total in sums.items():
            total.update(one[name])
    if report is None:
        raise ValueError("a release without windows")
    held = release.held_out
    validation = Counter(release.windows("validation").holdouts())
    blocks = {split: release.haplotypes(split) for split in SPLITS}
    return SplitIntegrity(
        training=report,
        overlaps={
            name: Overlap(name in held.regions, n, sums["touching"][name], sums["same_sequence"][name])
            for name, n in sorted(validation.items())
        },
        variants=_variant_counts(release.folder),
        variants_held=_held(release.folder, held),
        labels=_labels(release.folder),
        haplotypes={
            **{split: len(table) for split, table in blocks.items() if table is not None},
            "shared": _shared_blocks(blocks["train"], blocks["validation"]),
        },
        haplotypes_held=sum(
            held.holds_together(block.keys)
            for block in (() if blocks["train"] is None else blocks["train"].counts)
        ),
        tuples=dict(sorted(sums["tally"].items())),
    )


class _Validation:
    """The windows of validation, to compare windows of training with."""

    def __init__(self, release: Release) -> None:
        table = release.windows("validation")
        spans: dict[str, dict[str, list[tuple[int, int]]]] = {}
        self._names: dict[bytes, set[str]] = {}
        for window, name in zip(table, table.holdouts(), strict=True):
            self._names.setdefault(window_hash(window.sequence), set()).add(name)
            if isinstance(window, ReferenceWindow):
                spans.setdefault(name, {}).setdefault(window.contig, []).append((window.start, window.end))
        self._bases = {name: Intervals.of(found) for name, found in spans.items()}

    def same(self, sequence: str) -> set[str]:
        return self._names.get(window_hash(sequence), set())

    def touching(self, window: ReferenceWindow) -> Iterator[str]:
        for name, bases in self._bases.items():
            if bases.touches(window.contig, window.start, window.end):
                yield name


def _tables(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for split in SPLITS:
        for source in _SOURCES:
            path = folder / variant_file(split, source)
            if path.is_file():
                yield split, source, path


def _variant_counts(folder: Path) -> dict[str, int]:
    counts = {}
    of_split: dict[str, list[pl.LazyFrame]] = {"train": [], "validation": []}
    for split, source, path in _tables(folder):
        rows = pl.scan_parquet(path).select(_KEY)
        counts[f"{split}.{source}"] = int(rows.select(pl.len()).collect().item())
        of_split[split].append(rows)
    counts["shared"] = 0
    if all(of_split.values()):
        train, validation = (pl.concat(frames).unique() for frames in of_split.values())
        counts["shared"] = int(train.join(validation, on=_KEY, how="semi").select(pl.len()).collect().item())
    return counts


def _held(folder: Path, held: HeldOut) -> dict[str, int]:
    """Variants of the training tables that are held out, by hold-out."""
    counts: Counter[str] = Counter()
    held_rows = HeldRows(held)
    for split, _, path in _tables(folder):
        if split == "train":
            counts.update(held_rows.names(pl.read_parquet(path, columns=_KEY).to_arrow()))
    return dict(sorted(counts.items()))


def _labels(folder: Path) -> dict[str, dict[str, int]]:
    found = {}
    for split, source, path in _tables(folder):
        if source == "clinvar":
            counts = Counter(pl.read_parquet(path, columns=["label"])["label"].to_list())
            found[split] = dict(sorted(counts.items()))
    return found


def _shared_blocks(train: HaplotypeTable | None, validation: HaplotypeTable | None) -> int:
    if train is None or validation is None:
        return 0
    held = {frozenset(block.keys) for block in validation.counts}
    return sum(frozenset(block.keys) in held for block in train.counts)
