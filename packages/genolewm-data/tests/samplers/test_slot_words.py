"""Random words by seed, window and slot."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_data.samplers.words import EDITS_PER_SLOT, WORDS_PER_EDIT, SlotWords, below, uniform

_ALL = (1 << 64) - 1


def philox(counter, key):
    """Philox4x64-10 as Salmon and others (2011) write it down."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (p1 >> 64) ^ b ^ k0, p1 & _ALL, (p0 >> 64) ^ d ^ k1, p0 & _ALL
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & _ALL, (k1 + 0xBB67AE8584CAA73B) & _ALL
    return [a, b, c, d]


def test_the_oracle_gives_the_published_answer():
    assert philox((0, 0, 0, 0), (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


@settings(deadline=None)
@given(st.integers(0, _ALL), st.integers(0, _ALL), st.integers(0, 20), st.integers(0, EDITS_PER_SLOT - 1))
def test_words_are_philox_of_seed_window_and_slot(seed, window, slot, edit):
    words = SlotWords(seed)
    held = words.of_window(window, slot + 1)
    block = 2 * (slot * EDITS_PER_SLOT + edit) + 1
    assert held.shape == (slot + 1, EDITS_PER_SLOT, WORDS_PER_EDIT)
    assert held[slot, edit, :4].tolist() == philox((block, 0, 0, 0), (seed, window))
    more = words.again(window, slot, edit, 3)
    assert more[1, 4:].tolist() == philox((4, 1 + slot * EDITS_PER_SLOT + edit, 0, 0), (seed, window))


@settings(deadline=None)
@given(st.integers(0, _ALL), st.integers(0, 5), st.integers(1, 9))
def test_the_words_of_a_slot_do_not_depend_on_how_many_slots_there_are(seed, slot, more):
    words = pickle.loads(pickle.dumps(SlotWords(seed)))
    words.of_window(3, 2)
    assert (words.of_window(7, slot + 1)[slot] == SlotWords(seed).of_window(7, slot + more)[slot]).all()


def test_numbers_lie_in_their_ranges():
    assert uniform(0) == 0.0
    assert 1 - 1e-15 < uniform(_ALL) < 1.0
    assert [below(word, n) for word in (0, _ALL) for n in (3, 0)] == [0, 0, 2, 0]


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        SlotWords(seed)
