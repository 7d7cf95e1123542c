"""A variant or block that lies in several windows is the first one's that it can be edited in, and no other's."""

import random

from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.release.evaluated import BlocksIn, Taken, VariantsIn, elsewhere
from genolewm_data.samplers import EditableWindow, VariantTable
from genolewm_data.tuples import TrainingTuple, WindowRef, tuple_of_variants

MARGIN, WINDOW_BP = 64, 600
_DRAWN = random.Random(3)
# A run of A from 520 to 560: what is deleted at its start rolls behind the margin of the window [0, 600).
BASES = "".join(_DRAWN.choices("CGT", k=520)) + "A" * 40 + "".join(_DRAWN.choices("CGT", k=1_440))


def opened(start):
    window = ReferenceWindow("chr1", start, start + WINDOW_BP, BASES[start : start + WINDOW_BP])
    return EditableWindow.of(window, MARGIN), WindowRef.of(window)


def snv(start, ref=None):
    ref = ref or BASES[start]
    return Variant("chr1", start + 1, ref, "ACGT"["ACGT".index(ref) - 1])


ROLLING = Variant("chr1", 520, BASES[519] + "A", BASES[519])
BOTH = snv(500)
WRONG = snv(505, "A")
LONG = Variant("chr1", 531, BASES[530:540], BASES[530])


def test_a_window_that_refuses_a_variant_leaves_it_to_the_next():
    groups_in = VariantsIn(VariantTable.of([ROLLING, BOTH, WRONG, LONG]))
    windows = [(7, *opened(0)), (3, *opened(400))]
    assert list(groups_in(windows[0][1])) == [(BOTH,), (WRONG,), (ROLLING,)]
    assert list(groups_in(windows[1][1])) == [(BOTH,), (WRONG,), (ROLLING,), (LONG,)]
    assert elsewhere(windows, groups_in) == {7: {2}, 3: {0, 1}}
    taken = Taken(groups_in)
    assert [taken.take(*window) for _, *window in windows] == [{(BOTH,)}, {(ROLLING,), (LONG,)}]
    assert taken.take(*windows[0][1:]) == set()


@given(
    starts=st.lists(st.integers(0, 1_400), min_size=1, max_size=6),
    places=st.sets(st.integers(0, 1_990), min_size=1, max_size=40),
)
def test_each_group_is_in_one_window_the_first_that_it_fits_in(starts, places):
    blocks = [
        Block(tuple(Call(v, v) for v in (snv(place), snv(place + gap))))
        for place, gap in ((place, 1 + place % 7) for place in places)
    ]
    windows = [(number, *opened(start)) for number, start in enumerate(starts)]
    groups_in = BlocksIn(HaplotypeTable(dict.fromkeys(blocks, 1)))
    others = elsewhere(windows, groups_in)
    had = {
        number: [group for place, group in enumerate(groups_in(window)) if place not in others[number]]
        for number, window, _ in windows
    }
    for group in {group for _, window, _ in windows for group in groups_in(window)}:
        holding = [number for number, window, _ in windows if group in list(groups_in(window))]
        fitting = [
            number
            for number, window, ref in windows
            if number in holding and isinstance(tuple_of_variants(window, ref, 0, group), TrainingTuple)
        ]
        assert [number for number in had if group in had[number]] == [(fitting or holding)[0]]
