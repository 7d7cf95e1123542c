"""Where edits may lie in a window, and which are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.variant import RelEdit, edit_type
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.samplers import EditableWindow, Refusal, edge_margin, place
from genolewm_data.samplers.words import uniform

PLAIN = "ACGTTGCAAC" * 30


def test_margins_hold_the_pooled_span_and_64_bases():
    assert [edge_margin(radius) for radius in (0, 8, 9, 256)] == [64, 64, 70, 1552]


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        (PLAIN, ((10, 290),)),
        ("N" * 30 + PLAIN, ((40, 320),)),
        (PLAIN[:100] + "N" + PLAIN[101:], ((10, 90), (111, 290))),
        (PLAIN[:100] + "RN" + PLAIN[102:112] + "N" + PLAIN[113:], ((10, 90), (123, 290))),
        ("N" * 300, ()),
        (PLAIN[:20], ()),
        ("", ()),
    ],
)
def test_rooms_are_a_margin_away_from_ends_and_other_letters(text, rooms):
    assert EditableWindow(text, 10).rooms == rooms


def test_what_a_short_contig_was_padded_with_is_no_room():
    window = EditableWindow.of(ReferenceWindow("c", 0, 200, PLAIN.lower()), 10)
    assert (window.text, window.contig, window.rooms) == (PLAIN[:200], "c", ((10, 190),))


@settings(deadline=None)
@given(st.text("ACGTN", min_size=30, max_size=80), st.integers(1, 6), st.integers(0, 40), st.integers(0, 80))
def test_places_are_all_the_free_ones_and_no_others(text, footprint, low, high):
    window = EditableWindow(text, 2)
    free = [
        p
        for p in range(max(low, 2), min(high, len(text) - 2) - footprint + 1)
        if "N" not in text[max(0, p - 2) : p + footprint + 2]
    ]
    n = 8 * max(len(free), 1)
    found = [window.free_place((i + 0.5) / n, footprint, low, high) for i in range(n)]
    assert found == (np.repeat(free, 8).tolist() if free else [-1] * n)


def test_uniform_words_reach_both_ends_of_a_room():
    window = EditableWindow(PLAIN, 10)
    assert [window.free_place(uniform(word), 5, 0, 300) for word in (0, (1 << 64) - 1)] == [10, 285]


#          0         1         2         3
#          0123456789012345678901234567890123456789
REPEAT = "ACGTACGTACTTTTTTTTGACGTACGNACGTACGTACGTA"


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "outcome"),
    [
        (4, "A", "C", Replacement(4, 5, "C")),
        (9, "C", "CT", Replacement(18, 18, "T")),  # rolls to the end of the run of T
        (9, "CT", "C", Replacement(17, 18, "")),
        (9, "CTT", "CGG", Replacement(10, 12, "GG")),
        (4, "A", "A", Refusal.NO_CHANGE),
        (4, "C", "A", Refusal.REF_MISMATCH),
        (3, "T", "A", Refusal.MARGIN),
        (21, "G", "A", Replacement(21, 22, "A")),
        (22, "T", "A", Refusal.MARGIN),  # four bases from the N
        (21, "GTA", "G", Refusal.MARGIN),
        (26, "N", "A", Refusal.NOT_PLAIN),
        (4, "A", "", Refusal.NOT_PLAIN),
        (4, "A", "A" + "C" * 16, Refusal.TOO_LONG),
        (39, "AC", "A", Refusal.REF_MISMATCH),
    ],
)
def test_edits_are_placed_or_refused(pos, ref, alt, outcome):
    placed = place(EditableWindow(REPEAT, 4), RelEdit(pos, edit_type(ref, alt), ref, alt), "gnomad")
    assert (placed if isinstance(placed, Refusal) else placed.change) == outcome


def test_an_edit_that_rolls_into_the_margin_is_refused():
    text = "ACGTACGTAC" + "T" * 10
    edit = RelEdit(9, edit_type("C", "CT"), "C", "CT")
    assert place(EditableWindow(text, 4), edit, "gnomad") is Refusal.MARGIN
    assert place(EditableWindow(text + "GACGT", 4), edit, "gnomad").change == Replacement(20, 20, "T")


@pytest.mark.parametrize(
    ("first", "second", "touch"),
    [
        ((4, "A", "C"), (5, "C", "G"), True),  # neighbours: a base between them is wanted
        ((4, "A", "C"), (6, "G", "C"), False),
        ((9, "C", "CT"), (14, "T", "A"), True),  # inside the run that the insertion rolls through
        ((9, "C", "CT"), (19, "A", "C"), False),
        ((9, "C", "CT"), (7, "T", "A"), False),
        ((9, "C", "CT"), (9, "C", "G"), True),
    ],
)
def test_edits_that_touch(first, second, touch):
    window = EditableWindow(REPEAT, 0)
    a, b = (place(window, RelEdit(p, edit_type(r, x), r, x), "gnomad") for p, r, x in (first, second))
    assert a.touches(b) == b.touches(a) == touch
