"""Edits applied to a window, by hand, by property, and as bcftools consensus applies them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_core.genome.edits import apply_edit, apply_edits
from genolewm_core.genome.variant import RelEdit, edit_type


def edit(place: int, ref: str, alt: str) -> RelEdit:
    return RelEdit(place, edit_type(ref, alt), ref, alt)


@pytest.mark.parametrize(
    ("place", "ref", "alt", "expected"),
    [
        (0, "A", "T", "TCGTAC"),
        (5, "C", "G", "ACGTAG"),
        (1, "CG", "TT", "ATTTAC"),
        (1, "C", "CAAA", "ACAAAGTAC"),
        (1, "CGT", "C", "ACAC"),
        (0, "AC", "C", "CGTAC"),
        (0, "ACGTAC", "A", "A"),
        (2, "GT", "A", "ACAAC"),
    ],
)
def test_apply_edit(place: int, ref: str, alt: str, expected: str) -> None:
    assert apply_edit("ACGTAC", edit(place, ref, alt)) == expected


def test_lower_case_windows_are_compared_in_upper_case_and_kept() -> None:
    assert apply_edit("acgtac", edit(1, "C", "T")) == "aTgtac"


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], "ACGTAC"),
        ([edit(0, "A", "T"), edit(5, "C", "G")], "TCGTAG"),
        ([edit(1, "C", "CTT"), edit(3, "TA", "T")], "ACTTGTC"),
        # The anchor of an insertion or deletion is not changed by it.
        ([edit(1, "C", "CTT"), edit(1, "C", "A")], "AATTGTAC"),
        ([edit(1, "CG", "C"), edit(1, "C", "A")], "AATAC"),
        # Insertions just before and just after a deleted stretch.
        ([edit(1, "C", "CT"), edit(1, "CG", "C")], "ACTTAC"),
        ([edit(2, "G", "GA"), edit(1, "CG", "C")], "ACATAC"),
    ],
)
def test_apply_edits_in_any_order(edits: list[RelEdit], expected: str) -> None:
    assert apply_edits("ACGTAC", edits) == expected
    assert apply_edits("ACGTAC", edits[::-1]) == expected


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ([edit(1, "C", "T"), edit(1, "C", "G")], "edit-overlap"),
        ([edit(1, "C", "T"), edit(1, "C", "T")], "edit-overlap"),
        ([edit(1, "CGT", "C"), edit(2, "G", "A")], "edit-overlap"),
        ([edit(1, "CGT", "C"), edit(2, "G", "GA")], "edit-overlap"),
        ([edit(1, "C", "CA"), edit(1, "C", "CT")], "edit-overlap"),
        ([edit(1, "G", "T")], "window-mismatch"),
        ([edit(5, "CA", "C")], "edit-outside-window"),
        ([edit(9, "A", "C")], "edit-outside-window"),
    ],
)
def test_apply_edits_refuses(edits: list[RelEdit], code: str) -> None:
    for order in (edits, edits[::-1]):
        with pytest.raises(InputError) as caught:
            apply_edits("ACGTAC", order)
        assert caught.value.code == code


@given(st.text("ACGT", min_size=1, max_size=80), st.data())
def test_prefix_stays_and_length_follows_the_edits(window: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(window) - 1))
    ref = window[place : place + data.draw(st.integers(1, 16))]
    alt = data.draw(st.text("ACGT", min_size=1, max_size=16))
    result = apply_edit(window, edit(place, ref, alt))
    assert result[:place] == window[:place]
    assert result[place : place + len(alt)] == alt
    assert result[place + len(alt) :] == window[place + len(ref) :]


def test_bcftools_consensus_makes_the_same(tmp_path: Path, bcftools: str) -> None:
    """200 windows of 400 bases with up to twelve edits each, two bases or more apart."""
    rng = random.Random(3)
    windows, made, body = {}, {}, []
    for number in range(200):
        name = f"w{number:03d}"
        window = "".join(rng.choices("ACGT", k=400))
        edits = []
        place = rng.randint(0, 20)
        while place < 370 and len(edits) < 12:
            ref = window[place : place + rng.choice([1, 1, 1, 2, 5, 16])]
            tail = "".join(rng.choices("ACGT", k=rng.choice([0, 0, 1, 6, 15])))
            alt = ref[0] + tail if rng.random() < 0.6 else rng.choice("ACGT") + tail
            if alt != ref:
                edits.append(edit(place, ref, alt))
                body.append(f"{name}\t{place + 1}\t.\t{ref}\t{alt}\t.\t.\t.")
            place += len(ref) + rng.randint(2, 40)
        windows[name] = window
        made[name] = apply_edits(window, edits)
    fasta, vcf = tmp_path / "windows.fa", tmp_path / "edits.vcf"
    fasta.write_text("".join(f">{name}\n{window}\n" for name, window in windows.items()))
    contigs = [f"##contig=<ID={name},length=400>" for name in windows]
    head = ["##fileformat=VCFv4.2", *contigs, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    vcf.write_text("\n".join([*head, *body]) + "\n")
    compressed = pysam.tabix_index(str(vcf), preset="vcf", force=True)
    done = subprocess.run(
        [bcftools, "consensus", "-f", str(fasta), compressed], capture_output=True, text=True, check=True
    )
    theirs = {
        part.split("\n", 1)[0].split()[0]: part.split("\n", 1)[1].replace("\n", "")
        for part in done.stdout.split(">")[1:]
    }
    assert len(body) > 1_500
    assert theirs == made
