"""The pass over a VCF before anything is scored: how much there is, and whether it belongs to the reference.

A VCF called on another assembly still matches the reference at a quarter of its SNVs by chance, and those
would be scored as if nothing were wrong. The survey stops such a run before a model is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import detect_assembly, naming_style
from genolewm_core.genome.records import VcfRecords
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.genome.vcf import compare_ref

__all__ = ["MISMATCH_LIMIT", "MISMATCH_MIN_CHECKED", "Survey", "survey"]

MISMATCH_LIMIT = 0.02
"""Largest share of checked records whose REF may differ from the reference."""

MISMATCH_MIN_CHECKED = 50
"""Fewest checked records that say anything about the assembly."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a VCF holds.

    Attributes:
        records: records in the file.
        rows: rows that `read_rows` will give: one per record and alternate allele.
        checked: records whose REF was compared with called bases of the reference.
        mismatched: those that differ.
        rows_matched: rows of the checked records that match; no more than these can be scored.
        outcomes: records by `compare_ref`'s answer, those that match left out.
        contigs_seen: contigs of the records as the VCF names them, in order of appearance.
        contigs_matched: the reference's names for those of them that it has.
        sorted: whether each contig's records are in one block with positions that never fall.
        vcf_assembly: GRCh37 or GRCh38 by the header's contig lengths, else by its text; None when it does
            not say.
        reference_assembly: GRCh37 or GRCh38 by the FASTA's contig lengths, else None.
    """

    records: int
    rows: int
    checked: int
    mismatched: int
    rows_matched: int
    outcomes: dict[str, int]
    contigs_seen: tuple[str, ...]
    contigs_matched: tuple[str, ...]
    sorted: bool
    vcf_assembly: str | None
    reference_assembly: str | None


def survey(path: str | os.PathLike[str], reference: Reference) -> Survey:
    """Read a VCF once and compare it with the reference.

    Raises:
        InputError: `vcf-unreadable`; `reference-mismatch` when more than 2 % of at least 50 checked records
            differ from the reference, or when the reference has none of the contigs.
    """
    with VcfRecords(path) as records:
        result = _count(records, reference)
    where = f"{records.path.name} against {reference.path.name}"
    assemblies = (
        f"the FASTA is {result.reference_assembly or 'of an unknown assembly'}, "
        f"the VCF's header says {result.vcf_assembly or 'nothing about its assembly'}"
    )
    if result.records and not result.contigs_matched:
        raise InputError(
            "reference-mismatch",
            "The reference has none of the VCF's contigs.",
            where=where,
            expected=f"contigs called like {reference.contigs.style!r}, as in the FASTA",
            found=f"contigs called like {naming_style(dict.fromkeys(result.contigs_seen))!r}; {assemblies}",
            next_step="use the FASTA that the VCF was called on, or: bcftools annotate --rename-chrs",
            survey=result,
        )
    if result.checked >= MISMATCH_MIN_CHECKED and result.mismatched > MISMATCH_LIMIT * result.checked:
        raise InputError(
            "reference-mismatch",
            "Too many records' REF alleles differ from the reference.",
            where=where,
            expected=f"at most {MISMATCH_LIMIT:.0%} of the records whose reference bases are called",
            found=f"{result.mismatched} of {result.checked}; {assemblies}",
            next_step="use the FASTA of the assembly that the VCF was called on",
            survey=result,
        )
    return result


def _count(records: VcfRecords, reference: Reference) -> Survey:
    contigs: dict[str, Contig | None] = {}
    outcomes: dict[str | None, int] = {}
    count = rows = rows_matched = 0
    in_order = True
    last_chrom: str | None = None
    last_pos = 0
    contig: Contig | None = None
    for chrom, pos, ref, alt in records:
        if chrom != last_chrom:
            if chrom in contigs:
                in_order = False
            else:
                name = reference.contigs.resolve(chrom, records.contig_lengths.get(chrom))
                contigs[chrom] = None if name is None else reference.contig(name)
            contig = contigs[chrom]
            last_chrom = chrom
        elif pos < last_pos:
            in_order = False
        last_pos = pos
        count += 1
        rows += 1 + alt.count(",")
        outcome = compare_ref(contig, pos, ref)
        if outcome is None:
            rows_matched += 1 + alt.count(",")
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    matched = outcomes.get(None, 0)
    mismatched = outcomes.get("ref_mismatch", 0)
    return Survey(
        records=count,
        rows=rows,
        checked=matched + mismatched,
        mismatched=mismatched,
        rows_matched=rows_matched,
        outcomes={key: value for key, value in outcomes.items() if key is not None},
        contigs_seen=tuple(contigs),
        contigs_matched=tuple(contig.name for contig in contigs.values() if contig is not None),
        sorted=in_order,
        vcf_assembly=_stated_assembly(records),
        reference_assembly=reference.contigs.assembly,
    )


def _stated_assembly(records: VcfRecords) -> str | None:
    by_length = detect_assembly(records.contig_lengths)
    if by_length is None and len(records.stated_assemblies) == 1:
        return next(iter(records.stated_assemblies))
    return by_length
