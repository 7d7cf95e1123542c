"""Shares of the sources."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError
from genolewm_data.samplers import SourceMix
from genolewm_data.samplers.mix import apportion


def by_hand(weights, n, n_windows):
    """Largest remainder in one window after the other, what is owed carried on."""
    owed = [Fraction(0)] * len(weights)
    for _ in range(n_windows):
        due = [o + Fraction(w * n, sum(weights)) for o, w in zip(owed, weights, strict=True)]
        seats = [max(0, d.__floor__()) for d in due]
        # A source that is in debt by a whole seat or more cannot pay with a negative number of edits.
        while sum(seats) != n:
            step = 1 if sum(seats) < n else -1
            able = [i for i in range(len(due)) if step == 1 or seats[i] > 0]
            seats[max(able, key=lambda i, s=step, t=seats: (s * (due[i] - t[i]), -i))] += step
        owed = [d - s for d, s in zip(due, seats, strict=True)]
        yield tuple(seats)


@pytest.mark.parametrize(
    ("weights", "n"),
    [
        ((40, 30, 20, 10), 8),
        ((40, 40, 20), 8),
        ((90, 10), 8),
        ((1, 1, 1), 2),
        ((40, 30, 20, 10), 1),
        ((7, 3), 5),
    ],
)
def test_counts_are_those_of_the_windows_gone_through_one_by_one(weights, n):
    expected = list(by_hand(weights, n, 60))
    assert [apportion(weights, n, window) for window in range(60)] == expected
    assert apportion(weights, n, 59 + 10**12 * sum(weights)) == expected[59]


def test_the_first_windows_of_the_seeds_mix_can_be_checked_by_hand():
    # 8 x 40/30/20/10 % = 3.2, 2.4, 1.6, 0.8; then 3.4, 2.8, 1.2, 0.6 with what the first window owed.
    assert apportion((40, 30, 20, 10), 8, 0) == (3, 2, 2, 1)
    assert apportion((40, 30, 20, 10), 8, 1) == (3, 3, 1, 1)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    st.integers(1, 12),
    st.integers(1, 300),
)
def test_no_source_is_ever_more_than_a_few_edits_from_its_share(weights, n, n_windows):
    given_so_far = [0] * len(weights)
    for window in range(n_windows):
        seats = apportion(tuple(weights), n, window)
        assert sum(seats) == n
        assert min(seats) >= 0
        given_so_far = [a + b for a, b in zip(given_so_far, seats, strict=True)]
        for got, weight in zip(given_so_far, weights, strict=True):
            assert abs(got - Fraction(weight * n * (window + 1), sum(weights))) < len(weights)


def test_clinvar_is_off_unless_asked_for_and_its_share_is_synthetic():
    assert SourceMix.standard().weights == (("gnomad", 40), ("synthetic_snv", 40), ("synthetic_indel", 20))
    assert dict(SourceMix.standard(clinvar=True).weights)["clinvar"] == 10
    slots = [source for w in range(100) for source in SourceMix.standard().of_window(w, 8)]
    assert [slots.count(s) for s in ("gnomad", "synthetic_snv", "synthetic_indel")] == [320, 320, 160]


@pytest.mark.parametrize(
    "weights",
    [
        (),
        (("gnomad", 0),),
        (("gnomad", -1), ("clinvar", 2)),
        (("gnomad", 1), ("gnomad", 1)),
        (("elsewhere", 1),),
        (("gnomad", 1_001),),
    ],
)
def test_a_mix_that_cannot_be_used_is_refused(weights):
    with pytest.raises(ConfigError) as error:
        SourceMix(weights)
    assert error.value.code == "config-invalid"


@pytest.mark.parametrize(
    ("chance", "source"), [(0.0, "gnomad"), (0.399, "gnomad"), (0.41, "synthetic_snv"), (0.99999, "clinvar")]
)
def test_one_source_at_random(chance, source):
    assert SourceMix.standard(clinvar=True).pick(chance) == source
