"""What a change does to a toy gene, checked by hand, on both strands.

Offsets of the toy contig, 0-based: 20 bases before the gene, exon 1 at 20-33 (4 bases of 5' UTR, then
ATG CAA TC), an intron of 24 bases at 33-57 that splits the codon TCA, exon 2 at 57-71 (A TGG TAC TAA and
5 bases of 3' UTR, ending at 72), and 20 bases more.
"""

from __future__ import annotations

from itertools import product

import pytest

from genolewm_core.genome.alleles import reverse_complement, trim
from genolewm_core.genome.consequence import (
    CONSEQUENCES,
    REGIONS,
    Change,
    consequence_on,
    region_of,
)
from genolewm_core.genome.transcripts import Transcript

BEFORE = "CTGACTTCAGACCTGAGTCA"
EXON_1 = "GACC" + "ATGCAATC"
INTRON = "GTAAGTCCTACGATCGTTTCTCAG"
EXON_2 = "A" + "TGGTACTAA" + "GCTTC"
BASES = BEFORE + EXON_1 + INTRON + EXON_2 + BEFORE
E1, I1, E2 = 20, 32, 56
END = E2 + len(EXON_2)


class Text:
    def __init__(self, bases: str) -> None:
        self.bases = bases
        self.length = len(bases)

    def fetch(self, start: int, end: int) -> str:
        return self.bases[start:end]


FORWARD = Transcript("TOY", "t", "c", False, ((E1, I1), (E2, END)), ((E1 + 4, I1, 0), (E2, E2 + 10, 1)))
N = len(BASES)
REVERSE = Transcript(
    "TOY",
    "t",
    "c",
    True,
    ((N - END, N - E2), (N - I1, N - E1)),
    ((N - E2 - 10, N - E2, 1), (N - I1, N - E1 - 4, 0)),
)


def on_both(start: int, ref: str, alt: str) -> tuple[str, str]:
    """The consequence at a place of the toy contig, and of the same change in the reverse-complemented world."""
    assert BASES[start : start + len(ref)] == ref
    forward, reverse = Text(BASES), Text(reverse_complement(BASES))
    change = trim(start, ref, alt)
    mirrored = trim(N - start - len(ref), reverse_complement(ref), reverse_complement(alt))
    assert change is not None
    assert mirrored is not None
    return (
        consequence_on(FORWARD, Change.of(change, forward), forward),
        consequence_on(REVERSE, Change.of(mirrored, reverse), reverse),
    )


@pytest.mark.parametrize(
    ("start", "ref", "alt", "expected"),
    [
        (E1 - 1, "A", "C", "flank"),
        (E1, "G", "C", "utr5"),
        (E1 + 4, "A", "C", "missense"),  # the start codon
        (E1 + 7, "C", "T", "nonsense"),  # CAA > TAA
        (E1 + 9, "A", "G", "synonymous"),  # CAA > CAG
        (E1 + 10, "T", "C", "missense"),  # TC|A > CC|A, the codon across the intron
        (E1 + 11, "C", "A", "nonsense"),  # TC|A > TA|A
        (E2, "A", "G", "synonymous"),  # TC|A > TC|G
        (I1, "G", "A", "splice_site"),
        (I1 + 1, "T", "A", "splice_site"),
        (I1 + 2, "A", "C", "splice_region"),
        (I1 + 7, "C", "A", "splice_region"),
        (I1 + 8, "T", "A", "intron"),
        (E2 - 9, "G", "A", "intron"),
        (E2 - 8, "T", "A", "splice_region"),
        (E2 - 2, "A", "C", "splice_site"),
        (E2 - 1, "G", "A", "splice_site"),
        (E2 + 3, "G", "A", "nonsense"),  # TGG > TGA
        (E2 + 6, "C", "A", "nonsense"),  # TAC > TAA
        (E2 + 7, "T", "C", "stop_lost"),  # TAA > CAA
        (E2 + 9, "A", "G", "synonymous"),  # TAA > TAG, still a stop
        (E2 + 10, "G", "A", "utr3"),
        (END, "C", "A", "flank"),
        # Several bases.
        (E1 + 7, "CA", "TT", "indel_inframe"),  # CAA > TTA
        (E2 + 2, "GG", "AA", "nonsense"),  # TGG > TAA
        (E2 + 3, "GT", "AC", "nonsense"),  # TGG TAC > TGA CAC
        (E1 + 7, "CAA", "CAAG", "indel_frameshift"),
        (E1 + 6, "GC", "G", "indel_frameshift"),
        (E1 + 6, "GCAA", "G", "indel_inframe"),
        (E2 + 3, "G", "GTAA", "nonsense"),  # a stop codon put in
        (E2 + 6, "CTAA", "C", "stop_lost"),
        (I1 - 1, "CGT", "C", "indel_splice_site"),
        (I1 - 2, "TCGT", "T", "indel_splice_site"),
        (I1 + 8, "TA", "T", "indel_intron"),
        (E1 + 1, "AC", "A", "indel_utr5"),
        (E2 + 10, "GC", "G", "indel_utr3"),
        (2, "GA", "G", "indel_flank"),
        # Between exon and intron: the intron is whole, so it is the exon's.
        (I1 - 1, "C", "CA", "indel_frameshift"),
    ],
)
def test_a_change_is_named_on_both_strands(start, ref, alt, expected):
    assert on_both(start, ref, alt) == (expected, expected)


def test_every_substitution_is_the_same_on_the_other_strand():
    seen = set()
    for start, base in enumerate(BASES):
        for alt in "ACGT":
            if alt != base:
                forward, reverse = on_both(start, base, alt)
                assert forward == reverse
                seen.add(forward)
    assert seen == {name for name in CONSEQUENCES if "indel" not in name} - {"cds_other"}


def test_a_deletion_that_can_lie_in_the_exon_leaves_the_splice_site_alone():
    # ...CAG|AGTGG...: of AGAG one AG goes, and the intron still ends in AG.
    bases = BEFORE + EXON_1 + INTRON + "AG" + EXON_2[2:] + BEFORE
    contig = Text(bases)
    change = trim(E2 - 3, "CAG", "C")
    assert consequence_on(FORWARD, Change.of(change, contig), contig) == "indel_frameshift"


def test_selenocysteine_is_an_amino_acid():
    # ATG TGA TAA: TGA is read through.
    bases = "CCCC" + "ATGTGATAA" + "CCCC"
    transcript = Transcript("SEC", "t", "c", False, ((4, 13),), ((4, 13, 0),))

    def name(start, alt):
        contig = Text(bases)
        return consequence_on(transcript, Change.of(trim(start, bases[start], alt), contig), contig)

    assert (name(9, "G"), name(8, "A"), name(10, "C")) == ("missense", "nonsense", "stop_lost")


@pytest.mark.parametrize("bases", ["CCCCATGNAATAACCCC", "CCCCATGTAAAAATAACC"])
def test_a_codon_that_cannot_be_read_is_other(bases):
    transcript = Transcript("X", "t", "c", False, ((4, 16),), ((4, 16, 0),))
    contig = Text(bases)
    assert consequence_on(transcript, Change.of(trim(9, "A", "C"), contig), contig) == "cds_other"


@pytest.mark.parametrize(
    ("contig_name", "start", "expected"),
    [("chrM", 3, "nonsense"), ("chrM", 5, "synonymous"), ("chr1", 3, "missense"), ("chr1", 5, "nonsense")],
)
def test_the_mitochondrion_has_its_own_code(contig_name, start, expected):
    # TGG becomes AGG or TGA.
    contig = Text("ATGTGGCCCTAA")
    transcript = Transcript("X", "t", contig_name, False, ((0, 12),), ((0, 12, 0),))
    change = Change.of(trim(start, contig.bases[start], "A"), contig)
    assert consequence_on(transcript, change, contig) == expected


def test_all_spellings_of_a_change_are_one():
    contig = Text("CCCC" + "ATGAAAAAACCCTAA" + "CCCC")
    transcript = Transcript("X", "t", "c", False, ((0, 23),), ((4, 19, 0),))
    names = {
        consequence_on(transcript, Change.of(trim(place, "A", ""), contig), contig) for place in range(7, 13)
    }
    assert names == {"indel_frameshift"}


def test_every_consequence_has_one_region():
    assert sorted(name for members in REGIONS.values() for name in members) == sorted(CONSEQUENCES)
    table = {
        "synonymous": "coding_synonymous",
        "missense": "coding_missense",
        "indel_inframe": "coding_missense",
        "nonsense": "coding_nonsense",
        "stop_lost": "coding_nonsense",
        "indel_frameshift": "coding_nonsense",
        "cds_other": "other",
        None: "intergenic",
    }
    for prefix, (name, region) in product(
        ("", "indel_"),
        [
            ("splice_site", "splice"),
            ("splice_region", "splice"),
            ("utr5", "utr5"),
            ("utr3", "utr3"),
            ("intron", "intron"),
            ("flank", "intergenic"),
        ],
    ):
        table[prefix + name] = region
    assert {name: region_of(name) for name in (*CONSEQUENCES, None)} == table
