"""A VCF's rows, one per record and alternate allele, each with an outcome; no row is dropped.

A row is `scorable`, an `identity` (ALT equals REF; its score is 0), `skipped` with a reason (nothing is
wrong, but it is no sequence we can score), or `failed` with a reason (it contradicts the reference). Alleles
are compared in upper case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from genolewm_core.genome.alleles import BASES, Replacement, is_plain, shift_right, to_vcf, trim
from genolewm_core.genome.records import VcfRecords
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.genome.variant import Variant, edit_class

__all__ = ["FAILED_REASONS", "SKIPPED_REASONS", "SV_MIN_LEN", "Row", "compare_ref", "read_rows", "row_of"]

SV_MIN_LEN = 51
"""Fewest bases deleted or inserted, after trimming, that make a change structural and out of scope."""

SKIPPED_REASONS: dict[str, str] = {
    "no_alternate": "The record has no alternate allele.",
    "symbolic_allele": "The allele is symbolic, such as <DEL>.",
    "unspecified_allele": "The allele is <*> or <NON_REF>, which stands for any other.",
    "breakend": "The allele is a breakend.",
    "spanning_deletion": "The allele is *, an upstream deletion that is a row of its own.",
    "iupac_allele": "REF or ALT has IUPAC letters other than A, C, G and T.",
    "allele_too_long": "More than 50 bases are deleted or inserted.",
    "contig_not_in_reference": "The contig is not in the reference FASTA.",
    "reference_n": "The reference has no called base at REF.",
}
FAILED_REASONS: dict[str, str] = {
    "allele_malformed": "REF or ALT is empty, or has characters that no allele of a VCF has.",
    "ref_mismatch": "REF differs from the reference.",
    "position_outside_contig": "POS is 0, or REF reaches beyond the contig's end.",
}


class Row(NamedTuple):
    """One alternate allele of one record, and what can be done with it.

    Attributes:
        row: number of the record in the file, from 1.
        allele: number of the alternate allele in its record, from 1; 0 when ALT is missing.
        chrom: contig as given.
        pos: 1-based position as given.
        ref: REF as given.
        alt: this ALT as given; "." when missing.
        status: `scorable`, `identity`, `skipped` or `failed`.
        reason: key of `SKIPPED_REASONS` or `FAILED_REASONS`; None for the other two.
        contig: the reference's name of the contig; None when it has none.
        variant: the normalised variant on `contig`, spelled as `bcftools norm` does (for an identity, as
            given); None in other rows.
        replacement: the change itself, right-shifted: its start is the locus; None unless scorable.
        edit_class: see `genolewm_core.genome.variant.edit_class`; None unless scorable.
    """

    row: int
    allele: int
    chrom: str
    pos: int
    ref: str
    alt: str
    status: str
    reason: str | None = None
    contig: str | None = None
    variant: Variant | None = None
    replacement: Replacement | None = None
    edit_class: str | None = None


def read_rows(path: str | os.PathLike[str], reference: Reference) -> Iterator[Row]:
    """The rows of a VCF in file order; the file is opened at once and read as rows are asked for.

    Args:
        path: VCF file, plain, bgzip or gzip.
        reference: the assembly that the VCF was called on.

    Raises:
        InputError: `vcf-unreadable`, at once or when the damaged place is reached.
    """
    return _rows(VcfRecords(path), reference)


def _rows(records: VcfRecords, reference: Reference) -> Iterator[Row]:
    last_chrom: str | None = None
    name: str | None = None
    contig: Contig | None = None
    for number, (chrom, pos, ref, alt) in enumerate(records, 1):
        if chrom != last_chrom:
            last_chrom = chrom
            name = reference.contigs.resolve(chrom, records.contig_lengths.get(chrom))
            contig = None if name is None else reference.contig(name)
        if alt in _NO_ALTERNATE:
            # Short cut for the many blocks of a gVCF, and for sites without a variant.
            yield Row(number, int(alt != "."), chrom, pos, ref, alt, "skipped", "no_alternate", name)
            continue
        outcome = compare_ref(contig, pos, ref)
        if outcome is not None and is_plain(alt):
            # Short cut for the many records of a genome whose contig or bases the reference does not have.
            yield Row(number, 1, chrom, pos, ref, alt, _STATUS[outcome], outcome, name)
            continue
        alleles = alt.split(",")
        for index, allele in enumerate(alleles, 1):
            reason = _allele_reason(allele, alleles) or outcome
            yield _row(number, index if alt else 0, chrom, pos, ref, allele or ".", reason, contig)


def row_of(chrom: str, pos: int, ref: str, alt: str, reference: Reference) -> Row:
    """The row that a file would give whose only record is this one.

    Args:
        chrom: contig in any spelling that `reference.contigs.resolve` knows.
        pos: 1-based position.
        ref: reference allele in any case.
        alt: one alternate allele in any case, or "." for none.
        reference: the assembly that the variant was called on.
    """
    name = reference.contigs.resolve(chrom)
    contig = None if name is None else reference.contig(name)
    reason = _allele_reason(alt, [alt]) or compare_ref(contig, pos, ref)
    return _row(1, 0 if alt in _MISSING else 1, chrom, pos, ref, alt or ".", reason, contig)


def compare_ref(contig: Contig | None, pos: int, ref: str) -> str | None:
    """What the reference says about a record's REF, comparing called bases only.

    Returns:
        `contig_not_in_reference`, `position_outside_contig`, `allele_malformed`, `ref_mismatch`, `reference_n`,
        or None when the reference is called throughout and no base of REF contradicts it.
    """
    if contig is None:
        return "contig_not_in_reference"
    start = pos - 1
    end = start + len(ref)
    if start < 0 or end > contig.length:
        return "position_outside_contig"
    if not ref:
        return "allele_malformed"
    bases = contig.fetch(start, end)
    if bases == "N":
        return "reference_n"
    called = not bases.strip(BASES)
    if called and bases == ref:
        return None
    if ref.strip(_IUPAC):
        return "allele_malformed"
    if any(a != b and a in BASES and b in BASES for a, b in zip(bases, ref.upper(), strict=False)):
        return "ref_mismatch"
    return None if called else "reference_n"


def _allele_reason(allele: str, alleles: list[str]) -> str | None:
    """Why an ALT is no sequence, or None."""
    if is_plain(allele.upper()):
        return None
    if allele == ".":
        return "no_alternate"
    if allele in _UNSPECIFIED:
        return "no_alternate" if all(other in _UNSPECIFIED for other in alleles) else "unspecified_allele"
    if allele == "*":
        return "spanning_deletion"
    if allele.startswith("<"):
        # A symbolic name may hold brackets and points.
        return "symbolic_allele"
    if "[" in allele or "]" in allele or (allele != "" and "." in (allele[0], allele[-1])):
        return "breakend"
    if "<" in allele:
        return "symbolic_allele"
    return "allele_malformed" if not allele or allele.strip(_IUPAC) else "iupac_allele"


def _row(
    number: int,
    index: int,
    chrom: str,
    pos: int,
    ref: str,
    alt: str,
    reason: str | None,
    contig: Contig | None,
) -> Row:
    """A row from what is wrong with it, or, when nothing is, from its normalised alleles."""
    if contig is None or reason is not None:
        reason = reason or "contig_not_in_reference"
        name = None if contig is None else contig.name
        return Row(number, index, chrom, pos, ref, alt, _STATUS[reason], reason, name)
    upper_ref, upper_alt, name = ref.upper(), alt.upper(), contig.name
    if not is_plain(upper_ref):
        return Row(number, index, chrom, pos, ref, alt, "skipped", "iupac_allele", name)
    variant = Variant(name, pos, upper_ref, upper_alt)
    change = trim(pos - 1, upper_ref, upper_alt)
    if change is None:
        return Row(number, index, chrom, pos, ref, alt, "identity", None, name, variant)
    if max(change.ref_len, len(change.alt)) >= SV_MIN_LEN:
        return Row(number, index, chrom, pos, ref, alt, "skipped", "allele_too_long", name)
    if len(ref) > 1 or len(alt) > 1:
        variant = Variant(name, *to_vcf(change, contig))
        change = shift_right(change, contig)
    kind = edit_class(change)
    return Row(number, index, chrom, pos, ref, alt, "scorable", None, name, variant, change, kind)


_STATUS = {**dict.fromkeys(SKIPPED_REASONS, "skipped"), **dict.fromkeys(FAILED_REASONS, "failed")}
_UNSPECIFIED = ("<*>", "<NON_REF>")
_MISSING = (".", "")
_NO_ALTERNATE = frozenset((*_UNSPECIFIED, "."))
_IUPAC = "ACGTNRYSWKMBDHVacgtnryswkmbdhv"
