"""Windows for an evaluation are those that can have a tuple of it; others are not even read."""

from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.variant import V1_MAX_LEN, Variant
from genolewm_data.dataset.validation import _WithGroups
from genolewm_data.samplers import EditableWindow, VariantTable

MARGIN, WINDOW_BP = 64, 300
BASES = "ACGT" * 250


@given(
    rows=st.lists(st.tuples(st.integers(0, 800), st.integers(1, V1_MAX_LEN + 30)), min_size=1, max_size=8),
    start=st.integers(0, 700),
)
def test_a_window_is_wanted_when_a_whole_variant_lies_between_its_margins(rows, start):
    variants = [Variant("chr1", at + 1, BASES[at : at + n_bp], "T" * 2) for at, n_bp in rows]
    wanted = _WithGroups.of_variants(VariantTable.of(variants), MARGIN)
    inside = [
        v
        for v in variants
        if len(v.ref) <= V1_MAX_LEN and start + MARGIN <= v.start and v.end <= start + WINDOW_BP - MARGIN
    ]
    assert wanted.touches("chr1", start, start + WINDOW_BP) == bool(inside)
    window = EditableWindow(BASES[start : start + WINDOW_BP], MARGIN, "chr1", start)
    assert {variant for (variant,) in wanted.taken.groups_in(window)} == set(inside)
    assert not wanted.touches("chr2", start, start + WINDOW_BP)
