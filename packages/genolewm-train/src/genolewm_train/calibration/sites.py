"""The variants behind a calibration: common ones from a VCF with allele frequencies, and synthetic edits.

Only regions that nothing was trained on and nothing is evaluated on are read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pysam

from genolewm_core.errors import ConfigError, InputError, InternalError
from genolewm_core.genome.alleles import BASES
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row, row_of
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.holdouts.rules import NAMED_REGIONS

__all__ = ["RESERVED_GRCH37", "common_sites", "is_held_back", "parse_region", "synthetic_sites"]


RESERVED_GRCH37 = tuple(
    Region(contig.removeprefix("chr"), start, end)
    for contig, start, end in NAMED_REGIONS["GRCh37"]["calibration"]
)
"""What the embedded model was not trained on, for its calibration."""


def parse_region(text: str) -> Region:
    """Read `CONTIG:FIRST-LAST`, 1-based and inclusive, as samtools writes regions.

    Raises:
        ConfigError: `config-invalid`, also for the chromosome that is never calibrated on.
    """
    contig, _, span = text.rpartition(":")
    first, _, last = span.replace(",", "").partition("-")
    if not contig or not first.isdecimal() or not last.isdecimal() or not 0 < int(first) <= int(last):
        raise ConfigError(
            "config-invalid",
            "A region could not be read.",
            where="--region",
            expected="CONTIG:FIRST-LAST, such as 20:1000001-2000000",
            found=text,
        )
    if chromosome(contig) == "chr21":
        raise ConfigError(
            "config-invalid",
            "Chromosome 21 is held out of everything that is trained or calibrated.",
            where="--region",
            next_step="choose regions on other chromosomes",
        )
    return Region(contig, int(first) - 1, int(last))


def common_sites(
    vcfs: Sequence[Path], reference: Reference, regions: Iterable[Region], min_af: float
) -> tuple[list[Row], Counter[str]]:
    """The scorable alleles of sites in the regions that are common, each once, in order.

    Args:
        vcfs: indexed VCFs whose INFO has AF, one value per alternate allele.
        reference: the assembly they are on.
        regions: what to read.
        min_af: smallest frequency of the rarer of the allele and all others.

    Returns:
        Rows, and how many alleles were left out by reason.

    Raises:
        InputError: `vcf-unreadable` when a file has no index, no AF, or is damaged.
    """
    found: dict[tuple[str, int, str, str], Row] = {}
    left_out: Counter[str] = Counter()
    for path in vcfs:
        for region in regions:
            for chrom, pos, ref, alt, af in _alleles(path, region):
                if af is None or min(af, 1.0 - af) < min_af:
                    left_out["no_frequency" if af is None else "not_common"] += 1
                    continue
                row = row_of(chrom, pos, ref, alt, reference)
                if row.status != "scorable" or row.variant is None:
                    left_out[row.reason or row.status] += 1
                    continue
                key = (row.variant.chrom, row.variant.pos, row.variant.ref, row.variant.alt)
                left_out["seen_before"] += key in found
                found.setdefault(key, row)
    return [found[key] for key in sorted(found)], left_out


def _alleles(path: Path, region: Region) -> Iterable[tuple[str, int, str, str, float | None]]:
    try:
        with pysam.VariantFile(str(path)) as file:
            if "AF" not in file.header.info:
                raise InputError(
                    "vcf-unreadable",
                    "A VCF has no allele frequencies.",
                    where=path.name,
                    expected="AF in INFO, one value per alternate allele",
                    next_step="add them with: bcftools +fill-tags FILE -- -t AF",
                )
            names = {chromosome(name): name for name in file.header.contigs}
            contig = names.get(chromosome(region.contig))
            if contig is None:
                return
            for record in file.fetch(contig, region.start, region.end):
                if not region.start < record.pos <= region.end:
                    continue
                frequencies = record.info.get("AF")
                for index, alt in enumerate(record.alts or ()):
                    af = None if frequencies is None else float(frequencies[index])
                    yield record.chrom, record.pos, record.ref or "", alt, af
    except (OSError, ValueError) as error:
        raise InputError(
            "vcf-unreadable",
            "A VCF of common variants cannot be read.",
            where=path.name,
            expected="a bgzip-compressed VCF with its tabix index",
            found=type(error).__name__,
            next_step="make the index with: bcftools index --tbi FILE",
        ) from None


def is_held_back(row: Row) -> bool:
    """Whether a site is kept to check the percentiles on: one in five, by a hash of the variant."""
    return int.from_bytes(hashlib.sha256(str(row.variant).encode()).digest()[:8], "big") % 5 == 0


def synthetic_sites(
    edit_class: str, n: int, reference: Reference, regions: Sequence[Region], seed: int
) -> list[Row]:
    """Random edits of a class, for classes that have too few common variants.

    Insertions and deletions in equal parts at uniformly drawn places. The length is geometric (p = 0.5, in
    units of six bases for in-phase indels, else of one base without the multiples of six, at most 16 with the
    anchor, as in RFC-0006); inserted bases are drawn one by one from the bases around the place, so that the
    composition fits.
    """
    rng = np.random.default_rng([seed, *edit_class.encode()])
    sizes = np.array([region.end - region.start for region in regions], dtype=np.float64)
    found: dict[str, Row] = {}
    for _ in range(1_000 * n):
        if len(found) == n:
            break
        region = regions[int(rng.choice(len(regions), p=sizes / sizes.sum()))]
        start = int(rng.integers(region.start + 100, region.end - 100))
        length = _length(edit_class, rng)
        name = reference.contigs.resolve(region.contig)
        if name is None:
            raise InputError("contig-unknown", "The FASTA lacks a calibration region.", where=region.contig)
        around = reference.fetch(name, start - 50, start + 50)
        if around.strip(BASES):
            continue
        anchor = around[50]
        if rng.random() < 0.5:
            ref, alt = anchor, anchor + "".join(rng.choice(list(around), size=length))
        else:
            ref, alt = around[50 : 51 + length], anchor
        row = row_of(name, start + 1, ref, alt, reference)
        if row.status == "scorable" and row.edit_class == edit_class:
            found.setdefault(str(row.variant), row)
    if len(found) < n:
        raise InternalError("training-data-missing", "Too few synthetic edits fit the calibration regions.")
    return [found[key] for key in sorted(found)]


def _length(edit_class: str, rng: np.random.Generator) -> int:
    unit, most = (6, 12) if edit_class == "indel_in_phase" else (1, 15)
    while True:
        length = unit * int(rng.geometric(0.5))
        if length <= most and (length % 6 == 0) == (edit_class == "indel_in_phase"):
            return length
