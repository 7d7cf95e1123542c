"""Trimming, shifting and spelling of allele changes; pure functions on bases.

A change has many spellings: with more or fewer shared bases around it, and, for an insertion or a
deletion in a repeat, at any of the repeat's places. Two of them matter here. `shift_right` gives the one
whose start is the *locus*, the first base at which the edited and the reference sequences differ; it
decides what is scored. `to_vcf` gives the left-aligned, parsimonious one that `bcftools norm` writes (Tan,
Abecasis and Kang 2015); it is what people read.

Coordinates are 0-based half-open; `pos` alone is 1-based, as in VCF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "BASES",
    "ContigSequence",
    "Replacement",
    "is_plain",
    "reverse_complement",
    "shift_left",
    "shift_right",
    "to_vcf",
    "trim",
]

BASES = "ACGT"

_FIRST_CHUNK_BP = 32
_LAST_CHUNK_BP = 65_536


class ContigSequence(Protocol):
    """Bases of one contig."""

    @property
    def length(self) -> int:
        """Number of bases of the contig."""
        ...

    def fetch(self, start: int, end: int) -> str:
        """Upper-case bases of [start, end); 0 <= start <= end <= length."""
        ...


_COMPLEMENT = str.maketrans("ACGTRYKMBDHVacgtrykmbdhv", "TGCAYRMKVHDBtgcayrmkvhdb")


@dataclass(frozen=True, slots=True)
class Replacement:
    """The reference stretch [start, end) of a contig is replaced by `alt`.

    Attributes:
        start: first replaced base, 0-based.
        end: one past the last replaced base; equal to `start` in a pure insertion.
        alt: upper-case bases; empty in a pure deletion.
    """

    start: int
    end: int
    alt: str

    @property
    def ref_len(self) -> int:
        """Number of reference bases replaced."""
        return self.end - self.start

    @property
    def net(self) -> int:
        """Change of length in bp: positive for insertions, negative for deletions."""
        return len(self.alt) - (self.end - self.start)


def reverse_complement(sequence: str) -> str:
    """The other strand of a sequence, read 5' to 3'. IUPAC codes are complemented, N stays N."""
    return sequence.translate(_COMPLEMENT)[::-1]


def is_plain(allele: str) -> bool:
    """Whether an allele is one or more of A, C, G and T; upper-case it first."""
    return allele != "" and not allele.strip(BASES)


def trim(start: int, ref: str, alt: str) -> Replacement | None:
    """Drop the bases that REF and ALT share: at their ends first, then at their beginnings.

    Args:
        start: 0-based position of the first base of `ref`.
        ref: upper-case reference allele.
        alt: upper-case alternate allele.

    Returns:
        The smallest replacement, or None when the alleles are equal.
    """
    if ref == alt:
        return None
    ref_end, alt_end = len(ref), len(alt)
    while ref_end and alt_end and ref[ref_end - 1] == alt[alt_end - 1]:
        ref_end -= 1
        alt_end -= 1
    shorter = min(ref_end, alt_end)
    shared = 0
    while shared < shorter and ref[shared] == alt[shared]:
        shared += 1
    return Replacement(start + shared, start + ref_end, alt[shared:alt_end])


def shift_right(replacement: Replacement, contig: ContigSequence) -> Replacement:
    """Roll a pure insertion or deletion right, as far as the sequence it makes stays the same.

    The start of the result is the locus, the first base at which the edited and the reference sequences
    differ, and the same for every spelling of a change. Rolling stops at the contig's end and at any
    reference base other than A, C, G and T. Anything but a pure insertion or deletion is returned as it is;
    trimmed, its start is the locus already.
    """
    start, end, alt = replacement.start, replacement.end, replacement.alt
    if alt and end > start:
        return replacement
    shift = 0
    if alt:
        # The insertion may move past a base when the sequence it makes reads there like the reference.
        tail = alt
        for chunk in _rightwards(contig, start):
            ahead = (tail + chunk)[: len(chunk)]
            same = _common_prefix(chunk, ahead)
            shift += same
            tail = (tail + chunk)[same : same + len(alt)]
            if same < len(chunk):
                break
        return replacement if shift == 0 else Replacement(start + shift, start + shift, tail)
    length = end - start
    for chunk in _rightwards(contig, end):
        behind = contig.fetch(start + shift, start + shift + len(chunk))
        same = _common_prefix(chunk, behind)
        shift += same
        if same < len(chunk):
            break
    return replacement if shift == 0 else Replacement(start + shift, start + shift + length, "")


def shift_left(replacement: Replacement, contig: ContigSequence) -> Replacement:
    """Roll a pure insertion or deletion left, as far as the sequence it makes stays the same.

    The mirror image of `shift_right`: it stops at the contig's first base and at any reference base other
    than A, C, G and T, and returns anything but a pure insertion or deletion as it is.
    """
    start, end, alt = replacement.start, replacement.end, replacement.alt
    if alt and end > start:
        return replacement
    shift = 0
    if alt:
        head = alt
        for chunk in _leftwards(contig, start):
            text = chunk + head
            same = _common_suffix(chunk, text[len(alt) :])
            shift += same
            head = text[len(chunk) - same : len(chunk) - same + len(alt)]
            if same < len(chunk):
                break
        return replacement if shift == 0 else Replacement(start - shift, start - shift, head)
    for chunk in _leftwards(contig, start):
        ahead = contig.fetch(end - shift - len(chunk), end - shift)
        same = _common_suffix(chunk, ahead)
        shift += same
        if same < len(chunk):
            break
    return replacement if shift == 0 else Replacement(start - shift, end - shift, "")


def to_vcf(replacement: Replacement, contig: ContigSequence) -> tuple[int, str, str]:
    """The left-aligned, parsimonious VCF spelling of a trimmed replacement.

    A pure insertion or deletion carries the base before it, or the base after it where it starts the contig,
    as `bcftools norm -f` writes it.

    Returns:
        (pos, ref, alt); pos is 1-based.

    Raises:
        ValueError: the whole contig is deleted, which VCF cannot spell.
    """
    if replacement.alt and replacement.end > replacement.start:
        return (
            replacement.start + 1,
            contig.fetch(replacement.start, replacement.end),
            replacement.alt,
        )
    left = shift_left(replacement, contig)
    if left.start > 0:
        ref = contig.fetch(left.start - 1, left.end)
        return left.start, ref, ref[0] + left.alt
    if left.end >= contig.length:
        raise ValueError("a deletion of a whole contig has no anchor base")
    ref = contig.fetch(0, left.end + 1)
    return 1, ref, left.alt + ref[-1]


def _rightwards(contig: ContigSequence, start: int) -> Iterator[str]:
    """Chunks of A, C, G, T from `start` on, growing, up to another base or the contig's end."""
    size = _FIRST_CHUNK_BP
    while start < contig.length:
        raw = contig.fetch(start, min(start + size, contig.length))
        plain = raw[: len(raw) - len(raw.lstrip(BASES))]
        if plain:
            yield plain
        if len(plain) < len(raw):
            return
        start += len(raw)
        size = min(size * 4, _LAST_CHUNK_BP)


def _leftwards(contig: ContigSequence, end: int) -> Iterator[str]:
    """Chunks of A, C, G, T down from `end`, growing, to another base or the contig's start."""
    size = _FIRST_CHUNK_BP
    while end > 0:
        raw = contig.fetch(max(0, end - size), end)
        plain = raw[len(raw.rstrip(BASES)) :]
        if plain:
            yield plain
        if len(plain) < len(raw):
            return
        end -= len(raw)
        size = min(size * 4, _LAST_CHUNK_BP)


def _common_prefix(a: str, b: str) -> int:
    """Number of leading bases that two strings of equal length share."""
    if a == b:
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)


def _common_suffix(a: str, b: str) -> int:
    """Number of trailing bases that two strings of equal length share."""
    if a == b:
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(reversed(a), reversed(b), strict=True)) if x != y)
