"""Every spelling of a change gives one replacement, and one VCF spelling: that of bcftools norm."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.alleles import Replacement, is_plain, shift_left, shift_right, to_vcf, trim


@dataclass
class Text:
    """A contig held as a string, which counts how often it is asked."""

    bases: str
    fetches: int = 0

    @property
    def length(self) -> int:
        return len(self.bases)

    def fetch(self, start: int, end: int) -> str:
        assert 0 <= start <= end <= len(self.bases)
        self.fetches += 1
        return self.bases[start:end]


def edited(bases: str, change: Replacement) -> str:
    return bases[: change.start] + change.alt + bases[change.end :]


@pytest.mark.parametrize(
    ("allele", "plain"),
    [
        ("A", True),
        ("ACGT", True),
        ("", False),
        ("a", False),
        ("N", False),
        ("AN", False),
        ("ANA", False),
        ("*", False),
    ],
)
def test_is_plain(allele: str, plain: bool) -> None:
    assert is_plain(allele) is plain


@pytest.mark.parametrize(
    ("ref", "alt", "expected"),
    [
        ("A", "C", Replacement(10, 11, "C")),
        ("A", "A", None),
        ("ACG", "ACG", None),
        ("AT", "AG", Replacement(11, 12, "G")),
        ("CAT", "CGT", Replacement(11, 12, "G")),
        ("A", "AT", Replacement(11, 11, "T")),
        ("T", "AT", Replacement(10, 10, "A")),
        ("AT", "A", Replacement(11, 12, "")),
        ("AAA", "A", Replacement(10, 12, "")),
        ("ACA", "A", Replacement(10, 12, "")),
        ("A", "ACA", Replacement(10, 10, "AC")),
        ("ACGT", "AGT", Replacement(11, 12, "")),
        ("GCAT", "GTGAT", Replacement(11, 12, "TG")),
        ("AC", "GT", Replacement(10, 12, "GT")),
        ("ATA", "CTC", Replacement(10, 13, "CTC")),
    ],
)
def test_trim(ref: str, alt: str, expected: Replacement | None) -> None:
    assert trim(10, ref, alt) == expected


def test_replacement_lengths() -> None:
    assert (Replacement(4, 7, "A").ref_len, Replacement(4, 7, "A").net) == (3, -2)
    assert (Replacement(4, 4, "ACG").ref_len, Replacement(4, 4, "ACG").net) == (0, 3)


@pytest.mark.parametrize(
    ("bases", "change", "left", "right"),
    [
        # GAAAAC: an A can go at any of four places; the sequences differ first at the last A, or at the C.
        ("GAAAAC", Replacement(3, 4, ""), Replacement(1, 2, ""), Replacement(4, 5, "")),
        ("GAAAAC", Replacement(3, 3, "A"), Replacement(1, 1, "A"), Replacement(5, 5, "A")),
        # CACACA: an inserted unit turns as it rolls past half a unit.
        ("TCACAG", Replacement(3, 3, "CA"), Replacement(1, 1, "CA"), Replacement(5, 5, "CA")),
        ("TCACACG", Replacement(3, 3, "CA"), Replacement(1, 1, "CA"), Replacement(6, 6, "AC")),
        ("TCACACG", Replacement(3, 5, ""), Replacement(1, 3, ""), Replacement(4, 6, "")),
        # Contig ends.
        ("AAAA", Replacement(2, 3, ""), Replacement(0, 1, ""), Replacement(3, 4, "")),
        ("AAAA", Replacement(2, 2, "AA"), Replacement(0, 0, "AA"), Replacement(4, 4, "AA")),
        # An uncalled base stops it on either side.
        ("AANAACAANAA", Replacement(3, 4, ""), Replacement(3, 4, ""), Replacement(4, 5, "")),
        ("AANAANAA", Replacement(4, 4, "A"), Replacement(3, 3, "A"), Replacement(5, 5, "A")),
        # Substitutions and delins stay.
        ("AAAA", Replacement(1, 2, "C"), Replacement(1, 2, "C"), Replacement(1, 2, "C")),
        ("AAAA", Replacement(1, 2, "CC"), Replacement(1, 2, "CC"), Replacement(1, 2, "CC")),
    ],
)
def test_shift(bases: str, change: Replacement, left: Replacement, right: Replacement) -> None:
    contig = Text(bases)
    assert shift_left(change, contig) == left
    assert shift_right(change, contig) == right
    assert edited(bases, left) == edited(bases, change) == edited(bases, right)


@pytest.mark.parametrize(
    ("bases", "change", "spelling"),
    [
        ("GAAAAC", Replacement(3, 4, ""), (1, "GA", "G")),
        ("GAAAAC", Replacement(3, 3, "A"), (1, "G", "GA")),
        ("GATTAC", Replacement(1, 3, "CC"), (2, "AT", "CC")),
        ("GATTAC", Replacement(1, 3, "C"), (2, "AT", "C")),
        ("AAAC", Replacement(2, 3, ""), (1, "AA", "A")),
        ("CAT", Replacement(0, 1, ""), (1, "CA", "A")),
        ("CAT", Replacement(0, 0, "GG"), (1, "C", "GGC")),
        ("CAT", Replacement(3, 3, "GG"), (3, "T", "TGG")),
        ("NNAAT", Replacement(3, 4, ""), (2, "NA", "N")),
    ],
)
def test_to_vcf(bases: str, change: Replacement, spelling: tuple[int, str, str]) -> None:
    assert to_vcf(change, Text(bases)) == spelling


def test_a_whole_contig_cannot_be_deleted() -> None:
    with pytest.raises(ValueError, match="anchor"):
        to_vcf(Replacement(0, 3, ""), Text("ACG"))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Replacement]:
    """A repeat-rich sequence and a trimmed change of it."""
    unit = draw(st.text("ACGT", min_size=1, max_size=4))
    bases = "".join(
        draw(st.lists(st.sampled_from([unit, unit, unit, "A", "C", "GT"]), min_size=3, max_size=60))
    )
    start = draw(st.integers(0, len(bases)))
    end = draw(st.integers(start, min(len(bases), start + 8)))
    alt = draw(st.sampled_from(["", unit, unit * 2, bases[start : start + 3]]) | st.text("ACGT", max_size=8))
    change = trim(start, bases[start:end], alt)
    if change is None or change.ref_len == len(bases):
        change = Replacement(0, 1, "A" if bases[0] != "A" else "C")
    return bases, change


@given(changes(), st.data())
def test_every_spelling_gives_one_replacement_and_one_vcf_spelling(
    made: tuple[str, Replacement], data: st.DataObject
) -> None:
    bases, change = made
    target = edited(bases, change)
    contig = Text(bases)
    # By brute force: every replacement of this size that makes the same sequence, with any shared context.
    size, added = change.ref_len, len(change.alt)
    spellings = [
        other
        for at in range(len(bases) - size + 1)
        if edited(bases, other := Replacement(at, at + size, target[at : at + added])) == target
    ]
    other = data.draw(st.sampled_from(spellings))
    before = data.draw(st.integers(0, other.start))
    after = data.draw(st.integers(0, len(bases) - other.end))
    ref = bases[before : other.end + after]
    alt = bases[before : other.start] + other.alt + bases[other.end : other.end + after]
    again = trim(before, ref, alt)
    assert again is not None
    locus = shift_right(change, contig)
    assert shift_right(again, contig) == locus
    assert shift_left(again, contig) == shift_left(change, contig)
    assert to_vcf(again, contig) == to_vcf(change, contig)
    assert edited(bases, locus) == target
    # The locus is where the two sequences differ first, by comparing them.
    shared = next((i for i, (a, b) in enumerate(zip(bases, target, strict=False)) if a != b), None)
    assert locus.start == (min(len(bases), len(target)) if shared is None else shared)


def test_long_repeats_are_read_in_chunks() -> None:
    contig = Text("C" + "A" * 300_000 + "C")
    assert shift_right(Replacement(1, 2, ""), contig).start == 300_000
    assert shift_right(Replacement(1, 1, "AA"), contig) == Replacement(300_001, 300_001, "AA")
    assert shift_left(Replacement(300_000, 300_001, ""), contig).start == 1
    assert shift_left(Replacement(300_001, 300_001, "AA"), contig) == Replacement(1, 1, "AA")
    assert contig.fetches < 100


@given(st.integers(1, 7), st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_shifts_agree_across_chunk_borders(unit_len: int, left: int, right: int, insertion: bool) -> None:
    """A tandem repeat of up to 400 bases: chunks of 32, 128, ... must join without a seam."""
    unit = "ACGTTGC"[:unit_len]
    repeat = (unit * 400)[: left + right + unit_len]
    contig = Text("N" + repeat + "N")
    at = 1 + left
    size = 0 if insertion else unit_len
    inserted = (unit * 400)[left : left + unit_len] if insertion else ""
    change = Replacement(at, at + size, inserted)
    assert shift_right(change, contig).start == 1 + len(repeat) - size
    assert shift_left(change, contig).start == 1


def test_bcftools_norm_writes_the_same(tmp_path: Path, bcftools: str) -> None:
    """3,000 unnormalised changes on 30 repeat-rich contigs, with those at both contig ends."""
    rng = random.Random(20)
    contigs = {}
    records = []
    for number in range(30):
        units = ["".join(rng.choices("ACGT", k=rng.randint(1, 4))) * rng.randint(1, 12) for _ in range(30)]
        bases = "".join(units) + "".join(rng.choices("ACGT", k=20))
        contigs[f"c{number}"] = bases
        for index in range(100):
            start = 0 if index < 8 else rng.randrange(len(bases) - 12)
            end = start + rng.randint(1, 12)
            if index > 91:
                end = len(bases)
            ref = bases[start:end]
            cut = rng.randrange(len(ref) + 1)
            alt = (
                ref[:cut] + "".join(rng.choices("ACGT", k=rng.randint(0, 6))) + ref[cut + rng.randint(0, 5) :]
            )
            if alt not in ("", ref):
                records.append((f"c{number}", start + 1, ref, alt))
    fasta, vcf = tmp_path / "ref.fa", tmp_path / "in.vcf"
    fasta.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    lines = [f"##contig=<ID={name},length={len(bases)}>" for name, bases in contigs.items()]
    body = [f"{c}\t{pos}\t{i}\t{ref}\t{alt}\t.\t.\t." for i, (c, pos, ref, alt) in enumerate(records)]
    head = ["##fileformat=VCFv4.2", *lines, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    vcf.write_text("\n".join([*head, *body]) + "\n")
    done = subprocess.run(
        [bcftools, "norm", "-f", str(fasta), str(vcf)], capture_output=True, text=True, check=True
    )
    theirs = {}
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            _, pos, record, ref, alt = line.split("\t")[:5]
            theirs[int(record)] = (int(pos), ref, alt)
    ours = {}
    for index, (chrom, pos, ref, alt) in enumerate(records):
        change = trim(pos - 1, ref, alt)
        assert change is not None
        ours[index] = to_vcf(change, Text(contigs[chrom]))
    assert len(theirs) == len(records) > 2_500
    assert ours == theirs
