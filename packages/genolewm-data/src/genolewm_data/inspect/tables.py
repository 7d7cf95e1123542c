"""What the tables of a release say beside the alleles: frequencies, labels, consequences, haplotypes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_core.genome.variant import Variant
from genolewm_data.inspect.spread import Spread
from genolewm_data.release.release import SPLITS, Release, Split, variant_file

__all__ = [
    "AF_EDGES",
    "ClinvarFacts",
    "Frequencies",
    "HaplotypeFacts",
    "clinvar",
    "frequencies",
    "haplotypes",
]

AF_EDGES = (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Allele frequencies are counted between these; each part has its lower edge, the last one both."""

_N_TERMS = 15


@dataclass(frozen=True, slots=True)
class Frequencies:
    """gnomAD's allele frequencies, by the parts of `AF_EDGES`.

    Attributes:
        table: variants of the training split.
        drawn: edits that were drawn of them.
        missing: edits whose variant the table does not have, which cannot be.
    """

    table: tuple[int, ...]
    drawn: tuple[int, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class ClinvarFacts:
    """ClinVar's variants of one split, by the columns of its shard; a column that the table lacks is empty.

    Attributes:
        labels: P, LP, B, LB to variants.
        stars: 0 to 4 to variants.
        consequences: label to terms of MC to variants, of the terms that are most frequent; a variant may have
            several, or `none`.
    """

    labels: Mapping[str, int]
    stars: Mapping[str, int]
    consequences: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class HaplotypeFacts:
    """Haplotype blocks of one split.

    Attributes:
        by_size: variants of a block to blocks.
        span_bp: bases from a block's first to its last.
        copies: chromosome copies that carry a block.
    """

    by_size: Mapping[int, int]
    span_bp: Spread
    copies: Spread


def frequencies(release: Release, drawn: Mapping[Variant, int]) -> Frequencies | None:
    """Frequencies of the variants of the training split and of those drawn; None where it has no gnomAD table.

    Raises:
        InputError: `training-data-missing`.
    """
    path = release.folder / variant_file("train", "gnomad")
    if not path.is_file():
        return None
    bins = np.zeros(len(AF_EDGES) - 1, dtype=np.int64)
    drawn_bins = np.zeros_like(bins)
    by_place: dict[tuple[str, int], list[Variant]] = {}
    for variant in drawn:
        by_place.setdefault((variant.chrom, variant.pos), []).append(variant)
    wanted = pa.array(sorted({pos for _, pos in by_place}), pa.int64())
    found = 0
    for table in _batches(path, ("chrom", "pos", "ref", "alt", "af")):
        bins += np.histogram(table["af"].drop_null().to_numpy(), bins=AF_EDGES)[0]
        for row in table.filter(pc.is_in(table["pos"], value_set=wanted)).to_pylist():
            af = row.pop("af")
            times = drawn.get(Variant(**row), 0)
            if times and af is not None:
                found += times
                drawn_bins += times * np.histogram([af], bins=AF_EDGES)[0]
    return Frequencies(tuple(bins.tolist()), tuple(drawn_bins.tolist()), sum(drawn.values()) - found)


def clinvar(release: Release) -> dict[Split, ClinvarFacts]:
    """What every split's ClinVar table says.

    Raises:
        InputError: `training-data-missing`.
    """
    facts = {}
    for split in SPLITS:
        path = release.folder / variant_file(split, "clinvar")
        if not path.is_file():
            continue
        labels: Counter[str] = Counter()
        stars: Counter[str] = Counter()
        terms: Counter[tuple[str, str]] = Counter()
        for table in _batches(path, ("label", "stars", "consequence")):
            rows = {name: table[name].to_pylist() for name in table.column_names}
            labels.update(rows["label"])
            stars.update("none" if n is None else str(n) for n in rows.get("stars", ()))
            for label, given in zip(rows["label"], rows.get("consequence", ()), strict=False):
                terms.update((label, term) for term in (given or "none").split("|"))
        often = Counter[str]()
        for (_, term), n in terms.items():
            often[term] += n
        kept = [term for term, _ in sorted(often.items(), key=lambda item: (-item[1], item[0]))[:_N_TERMS]]
        facts[split] = ClinvarFacts(
            labels=dict(sorted(labels.items())),
            stars=dict(sorted(stars.items())),
            consequences={
                label: {term: terms[label, term] for term in kept if terms[label, term]}
                for label in sorted(labels)
            }
            if terms
            else {},
        )
    return facts


def haplotypes(release: Release) -> dict[Split, HaplotypeFacts]:
    """Blocks of every split that has some.

    Raises:
        InputError: `training-data-missing`.
    """
    facts = {}
    for split in SPLITS:
        table = release.haplotypes(split)
        if table is None or not len(table):
            continue
        sizes = Counter(len(block.calls) for block in table.counts)
        spans = [
            max(call.called.end for call in block.calls) - block.calls[0].called.start
            for block in table.counts
        ]
        span_bp, copies = Spread.of(spans), Spread.of(list(table.counts.values()))
        if span_bp is not None and copies is not None:
            facts[split] = HaplotypeFacts(dict(sorted(sizes.items())), span_bp, copies)
    return facts


def _batches(path: Path, columns: tuple[str, ...]) -> Any:
    """Tables of those of the columns that the file has."""
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(65_536, columns=names):
                yield pa.table(batch.columns, names=names)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            "training-data-missing",
            "A table of variants cannot be read.",
            where=str(path),
            found=type(error).__name__,
            next_step="check the release with: geno-lewm dataset verify",
        ) from None
