"""Interval sets against sets of bases."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_data.holdouts.intervals import Intervals, chromosome

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)
SETS = st.dictionaries(st.sampled_from(["chr1", "1", "chr2", "NC_000002.12"]), SPANS, max_size=4)


def bases(intervals):
    return {
        (chromosome(contig), base)
        for contig, spans in intervals.items()
        for start, end in spans
        for base in range(start, end)
    }


def bases_of(intervals):
    return bases(intervals.by_contig)


@given(SETS)
def test_a_set_has_the_bases_it_was_made_of_in_its_smallest_form(spans):
    made = Intervals.of(spans)
    assert bases_of(made) == bases(spans)
    assert made.n_bp == len(bases(spans))
    for merged in made.by_contig.values():
        assert merged
        assert all(start < end for start, end in merged)
        assert all(left[1] < right[0] for left, right in pairwise(merged))


@given(SETS, SETS)
def test_operations_are_those_of_sets_of_bases(first, second):
    a, b = Intervals.of(first), Intervals.of(second)
    assert bases_of(a.union(b)) == bases_of(a) | bases_of(b)
    assert bases_of(a.minus(b)) == bases_of(a) - bases_of(b)
    assert bases_of(a.both(b)) == bases_of(a) & bases_of(b)
    assert a.minus(b) == Intervals.of(a.minus(b).by_contig)


@given(SETS, st.sampled_from(["1", "chr2", "chr3"]), st.integers(0, 45), st.integers(0, 45))
def test_touching_is_sharing_a_base(spans, contig, start, end):
    made = Intervals.of(spans)
    shared = bases_of(made) & bases({contig: [(start, end)]})
    assert made.touches(contig, start, end) == bool(shared)
    assert made.overlap_bp(contig, start, end) == len(shared)


@given(SPANS, st.integers(0, 6))
def test_a_gap_is_filled_only_when_it_is_short_enough(spans, gap_bp):
    plain = Intervals.of({"chr1": spans}).on("1")
    filled = {
        ("chr1", base)
        for left, right in pairwise(plain)
        if right[0] - left[1] <= gap_bp
        for base in range(left[1], right[0])
    }
    assert bases_of(Intervals.of({"chr1": spans}, gap_bp=gap_bp)) == bases({"chr1": spans}) | filled


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("17", "chr17"),
        ("chr17", "chr17"),
        ("NC_000021.8", "chr21"),
        ("NC_000021.9", "chr21"),
        ("NC_000023.11", "chrX"),
        ("NC_000024.10", "chrY"),
        ("NC_000025.1", "chrNC_000025.1"),
        ("MT", "chrMT"),
        ("chr21_GL383578v2_alt", "chr21_GL383578v2_alt"),
    ],
)
def test_one_spelling_of_a_contig(name, spelled):
    assert chromosome(name) == spelled
