"""Contexts of edits, checked by hand and against a slow definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.context import CellContext, simple_repeats


class Text:
    """A contig in memory."""

    def __init__(self, bases):
        self.bases = bases
        self.length = len(bases)

    def fetch(self, start, end):
        return self.bases[start:end]


def marks(text):
    inside = simple_repeats(np.frombuffer(text.encode(), dtype=np.uint8))
    return "".join("#" if x else "." for x in inside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GAAAAAAAC", "........."),  # seven of one base: too short
        ("GAAAAAAAAC", ".########."),
        ("TCACACACAG", ".########."),
        ("TCACACAG", "........"),  # six bases of a unit of two
        ("GCAGCAGCAGT", "##########."),  # GCA three times, and the G that goes on
        ("ACAGCAGCAT", "..........",),  # CAG two and two thirds times: eight bases, not three copies
        ("GACGTGACGTGACGTC", "###############."),
        ("NNNNNNNNNNNN", "............"),
        ("", ""),
        ("A", "."),
    ],
)  # fmt: skip
def test_simple_repeats(text, expected):
    assert marks(text) == expected


def slow_repeats(text):
    inside = [False] * len(text)
    for period in range(1, 7):
        for start in range(len(text)):
            end = start + period
            while end < len(text) and text[end] == text[end - period] and text[end] in "ACGT":
                end += 1
            if end - start >= max(8, 3 * period) and text[start : start + period].strip("ACGT") == "":
                inside[start:end] = [True] * (end - start)
    return "".join("#" if x else "." for x in inside)


@given(st.text(alphabet="ACN", max_size=60))
def test_simple_repeats_are_what_the_definition_says(text):
    assert marks(text) == slow_repeats(text)


GEOMETRY = Geometry(window_bp=6_144, cell_bp=1_200)


@pytest.mark.parametrize(
    ("start", "phases", "offset"),
    [(0, 1, 0), (5, 1, 5), (6, 1, 0), (5, 2, 2), (3, 2, 0), (5, 3, 1), (4, 3, 0), (5, 6, 0)],
)
def test_offsets_by_phases(start, phases, offset):
    contig = Text("ACGT" * 300)
    context = CellContext(contig, GEOMETRY, 0, phases).of(Replacement(start, 1, "T"))
    assert context.offset == offset


def test_gc_and_left_context():
    contig = Text("G" * 600 + "A" * 600 + "N" * 100 + "A" * 600)
    around = CellContext(contig, GEOMETRY, 1, 1)
    context = around.of(Replacement(1_230, 1, "C"))
    assert context.gc == pytest.approx(600 / 1_800)
    assert context.left_tok == 1_230 // 6


def test_an_edit_beside_a_repeat_touches_it():
    contig = Text("G" + "A" * 10 + "CGTTGC" * 20)
    around = CellContext(contig, GEOMETRY, 0, 1)
    found = {start: around.of(Replacement(start, 1, "T")).repeat for start in (0, 1, 10, 11, 12)}
    assert found == {0: "none", 1: "simple", 10: "simple", 11: "simple", 12: "simple"}
    far = CellContext(Text("G" + "A" * 10 + "CGTTGCATCCA"), GEOMETRY, 0, 1)
    assert [far.of(Replacement(start, 1, "T")).repeat for start in (11, 12)] == ["simple", "none"]
