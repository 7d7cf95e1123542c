"""Tables of variants and haplotype blocks: what the windows of a split can use, without what the split may not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.genome.bed import Region, merge_regions
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import V1_MAX_LEN, Variant
from genolewm_data.dataset.config import ClinvarShard, GnomadShard, Shard
from genolewm_data.dataset.holding import EVALUATION
from genolewm_data.dataset.sources import COLUMNS
from genolewm_data.haplotypes.calls import Block
from genolewm_data.haplotypes.phased import PhasedVcf
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.prepare.changes import label_changes
from genolewm_data.prepare.rows import shard_batches, shard_schema
from genolewm_data.prepare.shard import read_shard_info

__all__ = ["HeldRows", "Reach", "changed_labels", "haplotypes_in", "has_variants", "within", "write_variants"]

_FOR_PAGES = ("gene", "consequence")
_ROW_GROUP = 65_536
_SCAFFOLDS = ("_alt", "_fix", "_random")

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
Key = tuple[str, int, str, str]


class Reach:
    """Where the edits of some windows may lie.

    Args:
        spans: contig, as the reference names it, to the stretches of windows without their margins, 0-based half-open.
    """

    def __init__(self, spans: Mapping[str, list[tuple[int, int]]]) -> None:
        self._spans: dict[str, tuple[Int64, Int64]] = {}
        for contig, held in spans.items():
            merged: list[tuple[int, int]] = []
            for start, end in sorted(held):
                # Two that only touch stay two: no edit may lie across.
                if merged and start < merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
                elif start < end:
                    merged.append((start, end))
            self._spans[contig] = (
                np.array([start for start, _ in merged], np.int64),
                np.array([end for _, end in merged], np.int64),
            )

    @classmethod
    def of(cls, files: list[Path], margin_bp: int) -> Reach:
        """Of the placed windows of some files."""
        spans: dict[str, list[tuple[int, int]]] = {}
        for path in files:
            for batch in pq.ParquetFile(path).iter_batches(
                256, columns=["origin", "name", "start", "sequence"]
            ):
                rows = batch.filter(pc.equal(batch["origin"].cast(pa.string()), "placed"))
                lengths = pc.binary_length(rows["sequence"]).to_pylist()
                for name, start, n_bp in zip(
                    rows["name"].to_pylist(), rows["start"].to_pylist(), lengths, strict=True
                ):
                    spans.setdefault(name, []).append((start + margin_bp, start + n_bp - margin_bp))
        return cls(spans)

    def holds(self, contig: str, start: Int64, end: Int64) -> Bools:
        """Which stretches lie in one of the windows, bool (n,)."""
        if contig not in self._spans:
            return np.zeros(len(start), bool)
        starts, ends = self._spans[contig]
        at = np.searchsorted(starts, start, side="right") - 1
        return np.asarray(
            (at >= 0) & (end <= ends[np.maximum(at, 0)]) if len(starts) else np.zeros(len(start), bool)
        )

    def regions(self) -> list[Region]:
        """The stretches, by contig and place."""
        return [
            Region(contig, int(start), int(end))
            for contig, (starts, ends) in self._spans.items()
            for start, end in zip(starts, ends, strict=True)
        ]


def write_variants(
    path: Path,
    shard: GnomadShard | ClinvarShard,
    source: str,
    contigs: ContigTable,
    held: HeldOut,
    reach: Reach,
    *,
    training: bool,
    changed: frozenset[Key] = frozenset(),
) -> dict[str, int]:
    """Write the variants of a shard that a split may have and that its windows reach.

    Args:
        path: the table.
        shard: of the source.
        source: `gnomad` or `clinvar`.
        contigs: of the reference; the table names contigs as it does.
        held: what is held out.
        reach: of the split's windows.
        training: take what is not held out; else take what is.
        changed: variants that are left out because their label has changed.

    Returns:
        Rows by what became of them: `kept`, or the first reason that applies.

    Raises:
        InputError: `training-data-missing`, when the shard cannot be read; ResourceError: `output-unwritable`.
    """
    held_rows = HeldRows(held)
    counts: Counter[str] = Counter({"kept": 0})
    schema = shard_schema(shard.path, COLUMNS[source], _FOR_PAGES if source == "clinvar" else ())
    # Row groups are of one contig, so the rows of a contig stay together and in order.
    with publishing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as out:
        for batch in shard_batches(shard.path, schema, _ROW_GROUP):
            for given in pc.unique(batch["chrom"]).to_pylist():
                rows = pa.Table.from_batches([batch]).filter(pc.equal(batch["chrom"], given))
                contig = contigs.resolve(given) or given
                rows = rows.set_column(0, "chrom", pa.array([contig] * len(rows), pa.string()))
                for reason, wanted in (
                    _unfit(shard, training),
                    ("too_long", _short),
                    (
                        ("held_out", lambda rows: ~held_rows.of(rows))
                        if training
                        else ("not_held_out", held_rows.of)
                    ),
                    ("label_changed", _not_in(changed)),
                    ("outside_windows", lambda rows: reach.holds(rows["chrom"][0].as_py(), *_span(rows))),
                ):
                    if len(rows):
                        kept = rows.filter(pa.array(wanted(rows)))
                        counts[reason] += len(rows) - len(kept)
                        rows = kept
                counts["kept"] += len(rows)
                if len(rows):
                    out.write_table(rows, row_group_size=_ROW_GROUP)
    return {name: n for name, n in sorted(counts.items()) if n or name == "kept"}


def has_variants(shard: GnomadShard | ClinvarShard, source: str, contigs: ContigTable, reach: Reach) -> bool:
    """Whether some variant that training may take lies in reach, whatever is held out."""
    _, wanted = _unfit(shard, True)
    for batch in shard_batches(shard.path, shard_schema(shard.path, COLUMNS[source])):
        rows = pa.Table.from_batches([batch])
        rows = rows.filter(wanted(rows))
        rows = rows.filter(_short(rows)) if len(rows) else rows
        for given in pc.unique(rows["chrom"]).to_pylist():
            there = rows.filter(pc.equal(rows["chrom"], given))
            if reach.holds(contigs.resolve(given) or given, *_span(there)).any():
                return True
    return False


def changed_labels(training: Shard, evaluation: Shard | None, contigs: ContigTable) -> frozenset[Key]:
    """Variants of the training shard whose label differs from the evaluation's, which is of another release."""
    if evaluation is None:
        return frozenset()
    releases = [read_shard_info(shard.path).release for shard in (training, evaluation)]
    if releases[0] == releases[1]:
        return frozenset()
    paths = [training.path, evaluation.path]
    changes = label_changes(*(paths if releases[0] < releases[1] else paths[::-1]))
    rows = changes.rows.select("chrom", "pos", "ref", "alt").iter_rows()
    return frozenset((contigs.resolve(chrom) or chrom, pos, ref, alt) for chrom, pos, ref, alt in rows)


def haplotypes_in(
    path: Path, reference: Reference, held: HeldOut, reach: Reach
) -> tuple[HaplotypeTable, dict[str, int]]:
    """Blocks of a phased VCF that training may have and its windows reach, and blocks by what became of them."""
    counts: Counter[str] = Counter({"kept": 0})
    kept: dict[Block, int] = {}
    with PhasedVcf(path, reference) as phased:
        found = phased.blocks(merge_regions(reach.regions(), reference.contigs))
    for block, n in found.items():
        if held.holds_together(block.keys):
            counts["held_out"] += 1
        elif not within(reach, block):
            counts["outside_windows"] += 1
        else:
            counts["kept"] += 1
            kept[block] = n
    return HaplotypeTable(kept), dict(sorted(counts.items()))


def within(reach: Reach, block: Block) -> bool:
    """Whether some window holds all of a block."""
    calls = [call.called for call in block.calls]
    start, end = calls[0].start, max(call.end for call in calls)
    return bool(reach.holds(calls[0].chrom, np.array([start]), np.array([end]))[0])


def _unfit(shard: GnomadShard | ClinvarShard, training: bool) -> tuple[str, Any]:
    if isinstance(shard, GnomadShard):
        return "rare", lambda rows: pc.fill_null(pc.greater_equal(rows["af"], shard.min_af), False)
    labels = pa.array(sorted(shard.labels or (("P", "LP") if training else EVALUATION)))
    return "label", lambda rows: pc.is_in(rows["label"], value_set=labels)


def _short(rows: pa.Table) -> Any:
    return pc.and_(
        *(pc.less_equal(pc.binary_length(rows[name]), V1_MAX_LEN).combine_chunks() for name in ("ref", "alt"))
    )


def _span(rows: pa.Table) -> tuple[Int64, Int64]:
    start = rows["pos"].to_numpy().astype(np.int64) - 1
    return start, start + pc.binary_length(rows["ref"]).to_numpy().astype(np.int64)


def _variants(rows: pa.Table) -> Iterator[Variant]:
    for row in rows.select(["chrom", "pos", "ref", "alt"]).to_pylist():
        yield Variant(**row)


def _not_in(keys: frozenset[Key]) -> Any:
    def test(rows: pa.Table) -> Bools:
        if not keys:
            return np.ones(len(rows), bool)
        columns = (rows[name].to_pylist() for name in ("chrom", "pos", "ref", "alt"))
        return np.array([key not in keys for key in zip(*columns, strict=True)], bool)

    return test


class HeldRows:
    """Which rows of a table are held out. Few can be, by their places, and only those are asked about one by one."""

    def __init__(self, held: HeldOut) -> None:
        self._held = held
        starts: dict[str, set[int]] = {}
        for keys in held.variants.values():
            for key in keys:
                starts.setdefault(key.chrom, set()).add(key.start)
        self._starts = {name: np.array(sorted(found), np.int64) for name, found in starts.items()}

    def of(self, rows: pa.Table) -> Bools:
        """Whether each row is held out, bool (n,); the rows are of one contig."""
        found = np.zeros(len(rows), bool)
        at = np.flatnonzero(self._maybe(rows["chrom"][0].as_py(), *_span(rows)))
        found[at] = [self._held.holds(variant) for variant in _variants(rows.take(pa.array(at)))]
        return found

    def names(self, rows: pa.Table) -> Counter[str]:
        """How many rows each hold-out holds; the rows are of any contigs."""
        counts: Counter[str] = Counter()
        for contig in pc.unique(rows["chrom"]).to_pylist():
            ours = rows.filter(pc.equal(rows["chrom"], contig))
            for variant in _variants(ours.filter(pa.array(self._maybe(contig, *_span(ours))))):
                counts.update(set(self._held.holding(variant)))
        return counts

    def _maybe(self, contig: str, start: Int64, end: Int64) -> Bools:
        name = chromosome(contig)
        if name.endswith(_SCAFFOLDS):
            return np.ones(len(start), bool)
        maybe = np.zeros(len(start), bool)
        for bases in self._held.regions.values():
            for first, last in bases.on(name):
                maybe |= (start < last) & (end > first)
        starts = self._starts.get(name)
        if starts is not None:
            maybe |= np.searchsorted(starts, start) < np.searchsorted(starts, end)
        return maybe
