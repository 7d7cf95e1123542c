"""Variants in genome coordinates, and the edits of RFC-0003 in genome and in window coordinates.

A `Variant` is what a row of a VCF says, of any length, once it is bi-allelic and normalised. An `EditSpec`
is what a model of version 1 accepts: at most 16 bases a side, anchor included. A `RelEdit` is an edit
counted from the start of a window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import Replacement, is_plain

__all__ = ["V1_MAX_LEN", "EditSpec", "EditType", "RelEdit", "Variant", "edit_class", "edit_type"]

V1_MAX_LEN = 16


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """A bi-allelic change in genome coordinates.

    Attributes:
        chrom: contig name.
        pos: 1-based position of the first base of `ref`, as in VCF.
        ref: reference allele, upper-case.
        alt: alternate allele, upper-case.
    """

    chrom: str
    pos: int
    ref: str
    alt: str

    @property
    def start(self) -> int:
        """First base of REF, 0-based."""
        return self.pos - 1

    @property
    def end(self) -> int:
        """One past the last base of REF, 0-based."""
        return self.pos - 1 + len(self.ref)

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Read `chrom:pos:ref:alt`; the contig name itself may contain colons (HLA contigs do).

        Alleles may be in lower case. The variant is not normalised and not compared with any reference.

        Raises:
            InputError: `variant-syntax`.
        """
        parts = text.strip().rsplit(":", 3)
        if len(parts) != 4:
            raise _syntax_error(f"{len(parts)} fields")
        chrom, pos, ref, alt = parts[0], parts[1], parts[2].upper(), parts[3].upper()
        if not chrom:
            raise _syntax_error("no contig name")
        if not (pos.isascii() and pos.isdigit()) or int(pos) < 1:
            raise _syntax_error("a position that is not a whole number from 1 up")
        for name, allele in (("ref", ref), ("alt", alt)):
            if not is_plain(allele):
                raise _syntax_error(f"a {name} allele that is empty or has other letters")
        return cls(chrom, int(pos), ref, alt)

    def __str__(self) -> str:
        return f"{self.chrom}:{self.pos}:{self.ref}:{self.alt}"


def _syntax_error(found: str) -> InputError:
    return InputError(
        "variant-syntax",
        "A variant could not be read.",
        expected="chrom:pos:ref:alt with a 1-based position and alleles of A, C, G and T",
        found=found,
        next_step="write it like chr17:43044295:G:A",
    )


class EditType(IntEnum):
    """Kind of an edit by the lengths of its alleles (RFC-0003); no `EditSpec` can be an SV."""

    SNV = 0
    INS = 1
    DEL = 2
    MNV = 3
    INDEL = 4
    SV = 5


def edit_type(ref: str, alt: str) -> EditType:
    """Kind of a change from the lengths of its alleles, as they are spelled.

    `AT>AG` is an MNV and `A>AG` an insertion, anchor or not; normalise first for one answer per variant.
    """
    ref_len, alt_len = len(ref), len(alt)
    if max(ref_len, alt_len) > V1_MAX_LEN:
        return EditType.SV
    if ref_len == alt_len:
        return EditType.SNV if ref_len == 1 else EditType.MNV
    if ref_len == 1:
        return EditType.INS
    return EditType.DEL if alt_len == 1 else EditType.INDEL


@dataclass(frozen=True, slots=True)
class EditSpec:
    """An edit in genome coordinates that a model of version 1 accepts (RFC-0003).

    Attributes:
        chrom: contig name as the reference FASTA spells it.
        pos: 1-based position of the first base of `ref`.
        ref: 1 to 16 upper-case bases.
        alt: 1 to 16 upper-case bases, other than `ref`.
        edit_type: derived from the alleles' lengths.

    Raises:
        InputError: `edit-invalid`, `allele-invalid` or `edit-unsupported` (longer than `V1_MAX_LEN`).
    """

    chrom: str
    pos: int
    ref: str
    alt: str
    edit_type: EditType = field(init=False)

    def __post_init__(self) -> None:
        if not self.chrom:
            raise InputError("edit-invalid", "An edit names no contig.")
        if self.pos < 1:
            raise InputError("edit-invalid", "An edit's position is below 1.", expected="a 1-based position")
        _check_alleles(self.ref, self.alt)
        object.__setattr__(self, "edit_type", edit_type(self.ref, self.alt))

    def relative_to(self, window_start: int, window_end: int) -> RelEdit:
        """This edit counted from the start of the window [window_start, window_end), 0-based half-open.

        Raises:
            InputError: `edit-outside-window`, when any base of REF lies outside the window.
        """
        start = self.pos - 1
        if start < window_start or start + len(self.ref) > window_end:
            raise InputError(
                "edit-outside-window",
                "An edit does not lie inside the window.",
                expected="every base of REF inside the window",
                next_step="choose a window that covers the edit",
            )
        return RelEdit(start - window_start, self.edit_type, self.ref, self.alt)


@dataclass(frozen=True, slots=True)
class RelEdit:
    """An edit in window coordinates.

    Attributes:
        rel_pos: 0-based place of the first base of `ref_bases` in the window.
        edit_type: see `EditType`.
        ref_bases: bases that the window holds there, upper-case.
        alt_bases: bases that replace them, upper-case.

    Raises:
        InputError: `edit-invalid` for a negative place.
    """

    rel_pos: int
    edit_type: EditType
    ref_bases: str
    alt_bases: str

    def __post_init__(self) -> None:
        if self.rel_pos < 0:
            raise InputError("edit-invalid", "An edit's place in its window is negative.")


def edit_class(replacement: Replacement) -> str:
    """Class of a change for scores and calibration; classes are never compared raw.

    Returns:
        `substitution` when the length does not change, `indel_in_phase` when it changes by a multiple of six
        (later six-mers stay cut as they were), else `indel_out_of_phase`.
    """
    net = replacement.net
    if net == 0:
        return "substitution"
    return "indel_in_phase" if net % 6 == 0 else "indel_out_of_phase"


def _check_alleles(ref: str, alt: str) -> None:
    for name, allele in (("REF", ref), ("ALT", alt)):
        if not allele:
            raise InputError(
                "edit-invalid", f"An edit's {name} allele is empty.", expected="an anchor base at least"
            )
        if not is_plain(allele):
            raise InputError(
                "allele-invalid",
                f"An edit's {name} allele has characters other than A, C, G and T.",
                expected="upper-case A, C, G and T",
            )
        if len(allele) > V1_MAX_LEN:
            raise InputError(
                "edit-unsupported",
                f"An edit's {name} allele is too long.",
                expected=f"at most {V1_MAX_LEN} bases, anchor included",
                found=f"{len(allele)} bases",
            )
    if ref == alt:
        raise InputError("edit-invalid", "An edit's REF and ALT alleles are equal.")
