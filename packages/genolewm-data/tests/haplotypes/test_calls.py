"""Blocks of close calls, against every run there is."""

from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.edits import apply_edits
from genolewm_core.genome.variant import EditType, Variant
from genolewm_data.haplotypes.calls import Call, Haplotype, blocks_of, edits_in


def calls_at(*starts, ref="A", alt="G"):
    variants = [Variant("chr1", start + 1, ref, alt) for start in starts]
    return [Call(variant, variant) for variant in variants]


def starts_of(blocks):
    return [tuple(call.called.start for call in block.calls) for block in blocks]


def test_blocks_by_hand():
    assert starts_of(blocks_of(calls_at(10))) == []
    assert starts_of(blocks_of(calls_at(0, 999))) == [(0, 999)]
    assert starts_of(blocks_of(calls_at(0, 1_000))) == []
    assert starts_of(blocks_of(calls_at(0, 900, 1_100, 5_000))) == [(0, 900), (900, 1_100)]
    assert starts_of(blocks_of(calls_at(*range(10)))) == [
        tuple(range(8)), tuple(range(1, 9)), tuple(range(2, 10))
    ]  # fmt: skip
    assert starts_of(blocks_of(calls_at(1, 2, 3), max_variants=2)) == [(1, 2), (2, 3)]


def test_a_blocks_span_ends_with_its_last_base():
    (first,), (last,) = calls_at(0), calls_at(990, ref="ACGTACGTACG", alt="A")
    assert len(list(blocks_of([first, last]))) == 0
    assert len(list(blocks_of([first, last], span_bp=1_001))) == 1


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=14), st.integers(1, 30), st.integers(2, 5)
)  # fmt: skip
def test_blocks_are_the_largest_runs(starts, span_bp, max_variants):
    starts = sorted(starts)
    runs = [
        (i, j)
        for i in range(len(starts))
        for j in range(i + 1, len(starts))
        if starts[j] + 1 - starts[i] <= span_bp and j - i < max_variants
    ]
    largest = [
        tuple(starts[i : j + 1])
        for i, j in runs
        if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in runs)
    ]
    found = starts_of(blocks_of(calls_at(*starts), span_bp=span_bp, max_variants=max_variants))
    assert found == largest


def test_calls_as_edits():
    bases = "ACGTACGTACGT"
    calls = (
        Call(Variant("chr1", 102, "C", "T"), Variant("chr1", 102, "C", "T")),
        Call(Variant("chr1", 104, "TA", "T"), Variant("chr1", 104, "TA", "T")),
        Call(Variant("chr1", 106, "C", "CGG"), Variant("chr1", 106, "C", "CGG")),
    )
    haplotype = Haplotype("chr1", 100, 112, "P", 0, calls, 0)
    edits = haplotype.edits()
    assert [(e.rel_pos, e.edit_type) for e in edits] == [
        (1, EditType.SNV), (3, EditType.DEL), (5, EditType.INS)
    ]  # fmt: skip
    assert edits_in(calls, 100) == edits
    assert apply_edits(bases, edits) == "ATGT" + "CGGG" + "TACGT"
