"""Variants, edits of RFC-0003 and the class of a change."""

from __future__ import annotations

import pickle

import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import EditSpec, EditType, RelEdit, Variant, edit_class, edit_type


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("chr17:43044295:G:A", Variant("chr17", 43044295, "G", "A")),
        ("1:1:a:acg", Variant("1", 1, "A", "ACG")),
        ("HLA-A*01:01:01:01:12:T:C", Variant("HLA-A*01:01:01:01", 12, "T", "C")),
        (" 7:10:AC:A\n", Variant("7", 10, "AC", "A")),
        ("7:10:A:A", Variant("7", 10, "A", "A")),
    ],
)
def test_parse(text: str, variant: Variant) -> None:
    assert Variant.parse(text) == variant


@pytest.mark.parametrize(
    "text",
    [
        *("", "17", "17:5", "17:5:A", ":5:A:C", "17:0:A:C", "17:-5:A:C", "17:5.0:A:C", "17:five:A:C"),
        *(
            "17:+5:A:C",
            "17:1_0:A:C",
            "17:²:A:C",
            "17:5::C",
            "17:5:A:",
            "17:5:N:C",
            "17:5:A:<DEL>",
            "17:5:A:.",
        ),
    ],
)
def test_parse_refuses_and_does_not_repeat_the_text(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Variant.parse(text)
    assert caught.value.code == "variant-syntax"
    assert len(text) < 3 or text not in str(caught.value)


def test_variant_coordinates_order_and_text() -> None:
    variant = Variant("chr2", 5, "ACG", "A")
    assert (variant.start, variant.end) == (4, 7)
    assert str(variant) == "chr2:5:ACG:A"
    assert Variant.parse(str(variant)) == variant
    assert sorted([Variant("2", 9, "A", "C"), Variant("2", 5, "T", "C"), Variant("1", 7, "A", "C")]) == [
        Variant("1", 7, "A", "C"),
        Variant("2", 5, "T", "C"),
        Variant("2", 9, "A", "C"),
    ]
    assert pickle.loads(pickle.dumps(variant)) == variant
    with pytest.raises(AttributeError):
        variant.pos = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ref", "alt", "kind"),
    [
        ("A", "C", EditType.SNV),
        ("A", "AC", EditType.INS),
        ("AC", "A", EditType.DEL),
        ("AC", "GT", EditType.MNV),
        ("AC", "GTT", EditType.INDEL),
        ("ACG", "TT", EditType.INDEL),
        ("A" * 16, "C" * 16, EditType.MNV),
        ("A" * 17, "A", EditType.SV),
    ],
)
def test_edit_type(ref: str, alt: str, kind: EditType) -> None:
    assert edit_type(ref, alt) is kind
    if kind is not EditType.SV:
        assert EditSpec("1", 1, ref, alt).edit_type is kind


def test_edit_type_numbers_are_the_published_ones() -> None:
    assert [(kind.name, int(kind)) for kind in EditType] == [
        *(("SNV", 0), ("INS", 1), ("DEL", 2)),
        *(("MNV", 3), ("INDEL", 4), ("SV", 5)),
    ]


@pytest.mark.parametrize(
    ("chrom", "pos", "ref", "alt", "code"),
    [
        ("", 1, "A", "C", "edit-invalid"),
        ("1", 0, "A", "C", "edit-invalid"),
        ("1", 1, "", "C", "edit-invalid"),
        ("1", 1, "A", "", "edit-invalid"),
        ("1", 1, "A", "A", "edit-invalid"),
        ("1", 1, "a", "C", "allele-invalid"),
        ("1", 1, "A", "N", "allele-invalid"),
        ("1", 1, "A", "<DEL>", "allele-invalid"),
        ("1", 1, "A", "C" * 17, "edit-unsupported"),
        ("1", 1, "C" * 17, "A", "edit-unsupported"),
    ],
)
def test_edit_spec_refuses(chrom: str, pos: int, ref: str, alt: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        EditSpec(chrom, pos, ref, alt)
    assert caught.value.code == code


def test_edit_spec_counts_from_its_window() -> None:
    edit = EditSpec("1", 101, "ACG", "A")
    assert edit.relative_to(100, 103) == RelEdit(0, EditType.DEL, "ACG", "A")
    assert edit.relative_to(90, 200) == RelEdit(10, EditType.DEL, "ACG", "A")


@pytest.mark.parametrize(("start", "end"), [(101, 200), (0, 102), (0, 50), (200, 300)])
def test_edit_spec_refuses_a_window_that_does_not_hold_it(start: int, end: int) -> None:
    with pytest.raises(InputError) as caught:
        EditSpec("1", 101, "ACG", "A").relative_to(start, end)
    assert caught.value.code == "edit-outside-window"


def test_rel_edit_refuses_a_negative_place() -> None:
    with pytest.raises(InputError) as caught:
        RelEdit(-1, EditType.SNV, "A", "C")
    assert caught.value.code == "edit-invalid"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Replacement(0, 1, "C"), "substitution"),
        (Replacement(0, 2, "CG"), "substitution"),
        (Replacement(0, 0, "ACGTAC"), "indel_in_phase"),
        (Replacement(0, 12, ""), "indel_in_phase"),
        (Replacement(0, 7, "C"), "indel_in_phase"),
        (Replacement(0, 0, "A"), "indel_out_of_phase"),
        (Replacement(0, 3, ""), "indel_out_of_phase"),
        (Replacement(0, 6, "C"), "indel_out_of_phase"),
    ],
)
def test_edit_class(change: Replacement, expected: str) -> None:
    assert edit_class(change) == expected
