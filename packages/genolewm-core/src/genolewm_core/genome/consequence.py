"""What a change does to one transcript, in one word.

The words are those of the table that they are tested on: `missense`, `splice_site`, `utr5` and so on for a
substitution of one base, and the same with `indel_` before them for every other change, where coding ones
are `indel_frameshift` or `indel_inframe`. docs/formats/annotation.md has the rules and what they were
compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from genolewm_core.genome.alleles import (
    ContigSequence,
    Replacement,
    reverse_complement,
    shift_left,
    shift_right,
)
from genolewm_core.genome.transcripts import Kind, Transcript

__all__ = ["CONSEQUENCES", "REGIONS", "Change", "Effect", "consequence_on", "region_of"]

CONSEQUENCES = (
    *("splice_site", "indel_splice_site", "nonsense", "indel_frameshift", "stop_lost", "missense"),
    *("indel_inframe", "cds_other", "splice_region", "indel_splice_region", "synonymous"),
    *("utr5", "indel_utr5", "utr3", "indel_utr3", "intron", "indel_intron", "flank", "indel_flank"),
)
"""Every consequence, the most severe first; where genes overlap, the first of theirs is the answer."""

REGIONS = {
    "coding_synonymous": ("synonymous",),
    "coding_missense": ("missense", "indel_inframe"),
    "coding_nonsense": ("nonsense", "stop_lost", "indel_frameshift"),
    "splice": ("splice_site", "splice_region", "indel_splice_site", "indel_splice_region"),
    "utr5": ("utr5", "indel_utr5"),
    "utr3": ("utr3", "indel_utr3"),
    "intron": ("intron", "indel_intron"),
    "intergenic": ("flank", "indel_flank"),
    "other": ("cds_other",),
}
"""Region classes of the calibration, and the consequences that each of them takes in."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to a gene.

    Attributes:
        gene: name of the gene.
        consequence: one of `CONSEQUENCES`.
    """

    gene: str
    consequence: str


@dataclass(frozen=True, slots=True)
class Change:
    """A trimmed change at the first and the last of its places.

    A deletion or an insertion in a repeat makes the same sequence at each of several places; for any other
    change both are the same.

    Attributes:
        left: the leftmost spelling.
        right: the rightmost one.
    """

    left: Replacement
    right: Replacement

    @classmethod
    def of(cls, replacement: Replacement, contig: ContigSequence) -> Change:
        """The change that a trimmed replacement makes, wherever it is spelled."""
        if replacement.alt and replacement.end > replacement.start:
            return cls(replacement, replacement)
        return cls(shift_left(replacement, contig), shift_right(replacement, contig))

    @property
    def start(self) -> int:
        """First base that any spelling touches, or that is next to it in an insertion."""
        return self.left.start - (self.left.ref_len == 0)

    @property
    def end(self) -> int:
        """One past the last base that any spelling touches, or that is next to it in an insertion."""
        return self.right.end + (self.right.ref_len == 0)

    def spelling(self, place: int) -> Replacement:
        """The spelling whose start is `place`, between those of `left` and `right`."""
        left = self.left
        if not left.alt or left.ref_len:
            return Replacement(place, place + left.ref_len, left.alt)
        turn = (place - left.start) % len(left.alt)
        # Rolled by one base, an insertion begins with its second base and ends with its first.
        return Replacement(place, place, left.alt[turn:] + left.alt[:turn])


def region_of(consequence: str | None) -> str:
    """The calibration's class of a consequence; None stands for outside of all genes.

    Raises:
        KeyError: not one of `CONSEQUENCES`.
    """
    return _REGION_OF[consequence]


def consequence_on(transcript: Transcript, change: Change, contig: ContigSequence) -> str:
    """What a change does to a transcript.

    A change is as severe as the most severe base that it touches. Spellings of one change make the same
    sequence, so where one of them lies in the exon (or outside of the gene) and leaves the intron whole, that
    one counts; else the leftmost does, as VCF spells it. An insertion between two bases of an intron belongs
    to the left one, and one between exon and intron to the exon.

    Args:
        transcript: the transcript, on the same contig.
        change: the change.
        contig: bases of the contig.

    Returns:
        One of `CONSEQUENCES`.
    """
    left = change.left
    if left.end - left.start == 1 == len(left.alt):
        kind = transcript.kind(left.start)
        return _substitution(transcript, left, contig) if kind == Kind.CDS else _NAMES[kind]
    kind, replacement = _place(transcript, change)
    if kind != Kind.CDS:
        return f"indel_{_NAMES[kind]}"
    return "indel_frameshift" if replacement.net % 3 else _in_frame(transcript, replacement, contig)


def _place(transcript: Transcript, change: Change) -> tuple[int, Replacement]:
    """The spelling of a change that counts, and the most severe kind of base that it touches."""
    if len(transcript.kinds(change.start, change.end)) == 1:
        return transcript.kind(change.left.start), change.left
    ref_len = change.left.ref_len
    kind, place = min(
        ((_kind_at(transcript, place, ref_len), place) for place in _places(transcript, change)),
        key=lambda found: (_ORDER[found[0]], found[1]),
    )
    return kind, change.spelling(place)


def _places(transcript: Transcript, change: Change) -> Iterable[int]:
    """Starts of the spellings to compare; only those of a change that no intron holds whole can differ."""
    if min(_ORDER[kind] for kind in transcript.kinds(change.start, change.end)) == _ORDER[Kind.INTRON]:
        return (change.left.start,)
    return range(change.left.start, change.right.start + 1)


def _kind_at(transcript: Transcript, place: int, ref_len: int) -> int:
    if ref_len:
        return max(transcript.kinds(place, place + ref_len))
    # An insertion between an exon and an intron is the exon's; within an intron, the base before it decides.
    before, after = transcript.kind(max(place - 1, 0)), transcript.kind(place)
    return min(before, after, key=_ORDER.__getitem__)


def _substitution(transcript: Transcript, replacement: Replacement, contig: ContigSequence) -> str:
    """`synonymous`, `missense`, `nonsense`, `stop_lost` or `cds_other`."""
    codon = transcript.codon(replacement.start)
    codons: tuple[str, str] | None = None
    if codon is not None:
        # The way of nearly all; codons that an intron parts, the last one and inner stops take the general one.
        low, at = codon
        codons = _one_codon(transcript, contig.fetch(low, low + 3), at, replacement.alt)
    if codons is None or codons[0] == "*":
        codons = _codons(transcript, replacement, contig)
    if codons is None:
        return "cds_other"
    return _translated(*codons, otherwise="missense")


def _one_codon(transcript: Transcript, bases: str, at: int, alt: str) -> tuple[str, str] | None:
    code = _MITOCHONDRIAL if transcript.contig in _MITOCHONDRIA else _STANDARD
    if transcript.reverse:
        bases, alt = reverse_complement(bases), reverse_complement(alt)
    before, after = code.get(bases), code.get(bases[:at] + alt + bases[at + 1 :])
    return None if before is None or after is None else (before, after)


def _in_frame(transcript: Transcript, replacement: Replacement, contig: ContigSequence) -> str:
    """`indel_inframe`, unless it makes or removes a stop codon, or changes no amino acid at all."""
    codons = _codons(transcript, replacement, contig)
    if codons is None:
        return "indel_inframe"
    return _translated(*codons, otherwise="indel_inframe")


def _translated(before: str, after: str, *, otherwise: str) -> str:
    """What became of the amino acids: `synonymous`, a stop made or lost, or the class's own word."""
    if before == after:
        return "synonymous"
    if "*" in after and "*" not in before:
        return "nonsense"
    return "stop_lost" if "*" in before and "*" not in after else otherwise


def _codons(
    transcript: Transcript, replacement: Replacement, contig: ContigSequence
) -> tuple[str, str] | None:
    """Amino acids of the codons that a change touches, before and after; None when they cannot be told."""
    start, end = replacement.start, replacement.end
    if any(kind != Kind.CDS for kind in transcript.kinds(start - (start == end), end + (start == end))):
        return None
    first = end - 1 if transcript.reverse else start
    last = start if transcript.reverse else end - 1
    if start == end:
        # An insertion lies before the base that follows it in the transcript's direction.
        first = last = start - 1 if transcript.reverse else start
    codons_start = transcript.codon_start(first)
    codons_end = transcript.codon_start(last) + 3
    bases = transcript.coding_bases(codons_start, codons_end, contig)
    if bases is None:
        return None
    at = transcript.offset(first) - codons_start
    alt = reverse_complement(replacement.alt) if transcript.reverse else replacement.alt
    changed = bases[:at] + alt + bases[at + end - start :]
    code = _MITOCHONDRIAL if transcript.contig in _MITOCHONDRIA else _STANDARD
    before, after = _translate(bases, code), _translate(changed, code)
    if before is None or after is None:
        return None
    is_last = codons_end == transcript.coding_bp
    inner = before[:-1] if is_last else before
    if "*" in inner:
        if code is _MITOCHONDRIAL or any(
            bases[3 * i : 3 * i + 3] != "TGA" for i, amino_acid in enumerate(inner) if amino_acid == "*"
        ):
            return None
        # A TGA that the transcript reads through is selenocysteine.
        before = inner.replace("*", "U") + before[len(inner) :]
        if len(changed) == len(bases):
            after = "".join(
                "U" if old == "U" and changed[3 * i : 3 * i + 3] == "TGA" else new
                for i, (old, new) in enumerate(zip(before, after, strict=True))
            )
    return before, after


def _translate(bases: str, code: dict[str, str]) -> str | None:
    """Amino acids of whole codons, `*` for a stop; None when a base is not A, C, G or T."""
    try:
        return "".join([code[bases[i : i + 3]] for i in range(0, len(bases), 3)])
    except KeyError:
        return None


# NCBI's translation tables 1 and 2.
_STANDARD = dict(
    zip(
        map("".join, product("TCAG", repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)
_MITOCHONDRIAL = {**_STANDARD, "AGA": "*", "AGG": "*", "ATA": "M", "TGA": "W"}
_MITOCHONDRIA = frozenset({"MT", "M", "chrM", "chrMT", "NC_012920.1"})

_ORDER = (0, 3, 1, 1, 3, 2, 3)
"""Which places of a change are preferred, by `Kind`: outside, untranslated, coding, anywhere in an intron."""

_NAMES: dict[int, str] = {kind: kind.name.lower() for kind in Kind}
_REGION_OF: dict[str | None, str] = {
    None: "intergenic",
    **{consequence: region for region, members in REGIONS.items() for consequence in members},
}
