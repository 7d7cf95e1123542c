import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement, reverse_complement, shift_right
from genolewm_core.scoring.cells import Geometry, StrandView, Window


class Text:
    """A contig held in memory."""

    def __init__(self, bases: str) -> None:
        self.bases, self.length = bases, len(bases)

    def fetch(self, start: int, end: int) -> str:
        assert 0 <= start <= end <= self.length
        return self.bases[start:end]


@pytest.mark.parametrize(
    ("length", "cell", "strand", "expected"),
    [
        (100_000, 0, "+", Window(0, 9_216)),  # less than 3,072 bases on the left: starts at 0
        (100_000, 1, "+", Window(3_072, 15_360)),
        (100_000, 2, "+", Window(9_216, 21_504)),
        (20_000, 2, "+", Window(9_216, 20_000)),  # cut off at the right end, not shifted
        (5_000, 0, "+", Window(0, 5_000)),
        # Reverse: the cell [6144, 12288) of 20,000 bases is [7712, 13856) from the other end.
        (20_000, 1, "-", Window(7_712 - 3_072, 7_712 - 3_072 + 12_288)),
        (20_000, 0, "-", Window(13_856 - 3_072, 20_000)),
        (20_000, 3, "-", Window(0, 20_000 - 24_576 - 3_072 + 12_288)),
    ],
)
def test_window_of_a_cell(length, cell, strand, expected):
    view = StrandView(Text("ACGT" * (length // 4)), strand)
    assert Geometry().window(cell, view) == expected


def test_default_phase_is_the_cells_own():
    geometry = Geometry()
    view = StrandView(Text("ACGT" * 25_000))
    starts = {geometry.window(cell, view).start % 6 for cell in range(16)}
    assert starts == {0}
    assert [geometry.window(3, view, shift).start % 6 for shift in range(6)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("n_leading", "start"), [(0, 0), (5, 0), (6, 6), (3_001, 3_000)])
def test_leading_n_leave_by_whole_sixmers(n_leading, start):
    view = StrandView(Text("N" * n_leading + "ACGT" * 3_000))
    assert Geometry().window(0, view).start == start


@pytest.mark.parametrize(
    ("window_bp", "cell_bp"), [(4_096, 1_200), (12_288, 100), (12_288, 24_576), (6_144, 0)]
)
def test_sizes_that_break_the_phase_are_refused(window_bp, cell_bp):
    with pytest.raises(ConfigError) as caught:
        Geometry(window_bp, cell_bp)
    assert caught.value.code == "config-invalid"


def test_reverse_complement():
    assert reverse_complement("AACGTNRyK") == "MrYNACGTT"


@given(
    st.text(alphabet="ACGT", min_size=12, max_size=40),
    st.integers(0, 11),
    st.integers(0, 4),
    st.text(alphabet="ACGT", max_size=4),
)
def test_orienting_describes_the_same_edit(bases, start, ref_len, alt):
    if ref_len == 0 and not alt:
        return
    contig = Text(bases)
    edit = shift_right(Replacement(start, min(start + ref_len, len(bases)), alt), contig)
    view = StrandView(contig, "-")
    mirrored = view.orient(edit)
    forward = bases[: edit.start] + edit.alt + bases[edit.end :]
    flipped = reverse_complement(bases)
    assert flipped[: mirrored.start] + mirrored.alt + flipped[mirrored.end :] == reverse_complement(forward)
