"""Variants of a prepared shard, in memory, looked up by window.

A shard is read once into four arrays a contig, about eleven bytes a variant, sorted by place; a window's
variants are then a slice that two binary searches find. Worker processes that are forked share the arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.variant import V1_MAX_LEN, RelEdit, Variant, edit_type
from genolewm_data.prepare.rows import VARIANT, shard_batches, shard_schema
from genolewm_data.samplers.edit import EditSource
from genolewm_data.samplers.window import EditableWindow
from genolewm_data.samplers.words import below

__all__ = ["ContigVariants", "TableSampler", "VariantTable"]

_PLAIN = r"^[ACGT]+$"


@dataclass(frozen=True, eq=False, slots=True)
class ContigVariants:
    """Variants of one contig, sorted by `start`.

    Attributes:
        start: 0-based place of the first base of REF, int32 (n,).
        offset: where a variant's alleles begin in `alleles`, uint32 (n + 1,).
        ref_len: bases of REF, uint8 (n,).
        alleles: ASCII of REF and ALT of every variant, one after the other.
    """

    start: npt.NDArray[np.int32]
    offset: npt.NDArray[np.uint32]
    ref_len: npt.NDArray[np.uint8]
    alleles: bytes

    def between(self, start: int, end: int) -> tuple[int, int]:
        """First and one past the last variant whose REF begins in [start, end), 0-based half-open."""
        # Of the table's own type: otherwise all of it is copied into the bounds' type first.
        first, last = self.start.searchsorted(np.array((start, end), dtype=self.start.dtype)).tolist()
        return first, last

    def alleles_of(self, index: int) -> tuple[str, str]:
        """REF and ALT of a variant."""
        begin, end = int(self.offset[index]), int(self.offset[index + 1])
        middle = begin + int(self.ref_len[index])
        return self.alleles[begin:middle].decode(), self.alleles[middle:end].decode()


@dataclass(frozen=True, eq=False, slots=True)
class VariantTable:
    """Variants of short alleles by contig.

    Attributes:
        contigs: contig name, as windows name it, to its variants.
        left_out: why rows were not taken -> how many: `rare` or `label`, `not_plain`, `too_long`,
            `unknown_contig`.
    """

    contigs: dict[str, ContigVariants]
    left_out: Counter[str]

    def __len__(self) -> int:
        return sum(len(variants.start) for variants in self.contigs.values())

    @classmethod
    def read_gnomad(
        cls, shard: Path, *, min_af: float = 0.01, contigs: ContigTable | None = None
    ) -> VariantTable:
        """The variants of a gnomAD shard whose `af` is at least `min_af`.

        Args:
            shard: a `variants.parquet` with columns chrom, pos, ref, alt and af.
            min_af: rows below it, or without a frequency, are left out as `rare`.
            contigs: those of the reference that windows are cut from. The shard's names are turned into the
                reference's; without it they are taken as they are.

        Raises:
            InputError: `training-data-missing`, when the shard cannot be read or lacks a column.
        """
        return _read(shard, "af", "rare", lambda af: pc.greater_equal(af, min_af), contigs)

    @classmethod
    def read_clinvar(
        cls, shard: Path, *, labels: Iterable[str] = ("P", "LP"), contigs: ContigTable | None = None
    ) -> VariantTable:
        """The variants of a ClinVar shard with one of some labels; see `read_gnomad`."""
        wanted = pa.array(sorted(labels))
        return _read(shard, "label", "label", lambda label: pc.is_in(label, value_set=wanted), contigs)

    @classmethod
    def of(cls, variants: Iterable[Variant]) -> VariantTable:
        """A table of given variants; those too long for an edit are left out as `too_long`."""
        rows: dict[str, list[Variant]] = {}
        left_out: Counter[str] = Counter()
        for variant in variants:
            if max(len(variant.ref), len(variant.alt)) > V1_MAX_LEN:
                left_out["too_long"] += 1
            else:
                rows.setdefault(variant.chrom, []).append(variant)
        return cls(
            {
                chrom: _columns(
                    np.array([v.start for v in held], dtype=np.int64),
                    np.array([len(v.ref) for v in held], dtype=np.uint8),
                    np.array([v.ref + v.alt for v in held], dtype=object),
                )
                for chrom, held in rows.items()
            },
            left_out,
        )


@dataclass(frozen=True, slots=True)
class TableSampler:
    """Proposes uniform ones of the variants that a window holds; none for a window without a place.

    Attributes:
        source: `gnomad` or `clinvar`.
        table: its variants.
    """

    source: EditSource
    table: VariantTable

    def propose(self, window: EditableWindow, words: Sequence[int], low: int, high: int) -> RelEdit | None:
        """See `Sampler.propose`."""
        held = None if window.contig is None else self.table.contigs.get(window.contig)
        if held is None:
            return None
        first, last = held.between(low + window.start, high + window.start)
        if first >= last:
            return None
        index = first + below(words[0], last - first)
        ref, alt = held.alleles_of(index)
        return RelEdit(int(held.start[index]) - window.start, edit_type(ref, alt), ref, alt)


def _read(
    shard: Path,
    column: str,
    reason: str,
    wanted: Callable[[pa.Array], pa.Array],
    contigs: ContigTable | None,
) -> VariantTable:
    left_out: Counter[str] = Counter()
    parts: dict[str, list[tuple[Any, Any, Any]]] = {}
    for batch in shard_batches(shard, shard_schema(shard, (*VARIANT, column))):
        for chrom, rows in _batch(batch, column, reason, wanted, left_out):
            name = chrom if contigs is None else contigs.resolve(chrom)
            if name is None:
                left_out["unknown_contig"] += len(rows[0])
            else:
                parts.setdefault(name, []).append(rows)
    return VariantTable(
        {
            name: _columns(*(np.concatenate([part[i] for part in held]) for i in range(3)))
            for name, held in parts.items()
        },
        left_out,
    )


def _batch(
    batch: Any, column: str, reason: str, wanted: Callable[[pa.Array], pa.Array], left_out: Counter[str]
) -> Iterable[tuple[str, tuple[Any, Any, Any]]]:
    """Start, length of REF and joined alleles of the rows that are taken, by contig."""
    table = pa.table(batch.columns, names=batch.schema.names)
    tests: tuple[tuple[Callable[[Any], Any], str], ...] = (
        (lambda rows: wanted(rows[column]), reason),
        (lambda rows: pc.and_(_plain(rows["ref"]), _plain(rows["alt"])), "not_plain"),
        (lambda rows: pc.and_(_short(rows["ref"]), _short(rows["alt"])), "too_long"),
    )
    for test, why in tests:
        kept = table.filter(test(table))
        if len(kept) < len(table):
            left_out[why] += len(table) - len(kept)
        table = kept
    chroms = pc.cast(table["chrom"], pa.string())
    for chrom in pc.unique(chroms).to_pylist():
        rows = table.filter(pc.equal(chroms, chrom))
        start = rows["pos"].to_numpy().astype(np.int64) - 1
        ref_len = pc.binary_length(rows["ref"]).to_numpy().astype(np.uint8)
        joined = pc.binary_join_element_wise(rows["ref"], rows["alt"], "").to_numpy(zero_copy_only=False)
        yield chrom, (start, ref_len, joined)


def _plain(alleles: Any) -> Any:
    return pc.match_substring_regex(alleles, _PLAIN)


def _short(alleles: Any) -> Any:
    return pc.less_equal(pc.binary_length(alleles), V1_MAX_LEN)


def _columns(
    start: npt.NDArray[np.int64], ref_len: npt.NDArray[np.uint8], joined: npt.NDArray[np.object_]
) -> ContigVariants:
    order = np.argsort(start, kind="stable")
    joined = joined[order]
    lengths = np.fromiter((len(text) for text in joined), dtype=np.uint32, count=len(joined))
    return ContigVariants(
        start=start[order].astype(np.int32),
        offset=np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32),
        ref_len=ref_len[order],
        alleles="".join(joined).encode("ascii"),
    )
