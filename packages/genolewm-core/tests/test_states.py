import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genolewm_core.scoring.states import (
    UNTARGETED,
    Encoding,
    ReferenceWindow,
    StateKey,
    StateMemory,
    unit,
    window_hash,
)

ENCODING = Encoding(b"e" * 32, 20, "span_mean", 8, "fp32")


class Source:
    """States whose first value is their number; remembers what it was asked."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.asked = []

    def get_many(self, keys):
        self.asked.append(list(keys))
        states = np.full((len(keys), 2), np.nan, dtype=np.float32)
        found = np.array([key.center_tok in self.numbers for key in keys])
        for i in np.flatnonzero(found):
            states[i] = keys[i].center_tok, 1
        return states, found


def keys_of(*numbers):
    window = ReferenceWindow("chr1", 0, 6, "ACGTAC")
    return [StateKey.of(window, ENCODING, number) for number in numbers]


def test_a_key_names_the_bases_and_the_encoding():
    lower = StateKey.of(ReferenceWindow("chr1", 0, 6, "acgtac"), ENCODING, 3)
    upper = StateKey.of(ReferenceWindow("chr7", 60, 66, "ACGTAC"), ENCODING, 3)
    assert lower == upper
    assert upper.window_hash == hashlib.sha256(b"ACGTAC").digest() == window_hash("acgtac")
    assert upper.encoding == ENCODING
    assert StateKey.of(ReferenceWindow("chr1", 0, 6, "ACGTAC"), ENCODING).center_tok == UNTARGETED == -1


@pytest.mark.parametrize(
    "other",
    [
        {"encoder_hash": b"f" * 32},
        {"state_layer": 21},
        {"pool_type": "global_mean"},
        {"pool_radius": 9},
        {"dtype": "bf16"},
    ],
)
def test_every_field_of_the_encoding_makes_another_key(other):
    window = ReferenceWindow("chr1", 0, 6, "ACGTAC")
    assert StateKey.of(window, ENCODING, 3) != StateKey.of(window, ENCODING._replace(**other), 3)


@pytest.mark.parametrize(
    ("start", "end", "sequence", "loci"),
    [
        (-1, 5, "ACGTAC", ()),
        (6, 6, "", ()),
        (0, 6, "ACGTA", ()),
        (0, 6, "ACGTAC", (6,)),
        (0, 6, "ACGTAC", (-1,)),
    ],
)
def test_windows_that_cannot_be(start, end, sequence, loci):
    with pytest.raises(ValueError, match="window"):
        ReferenceWindow("chr1", start, end, sequence, loci)


def test_a_padded_window_is_longer_than_its_stretch():
    assert ReferenceWindow("chrM", 0, 5, "ACGTAA", (4,)).loci == (4,)


@given(
    hnp.arrays(
        np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32).map(lambda x: 0 if abs(x) < 1e-3 else x)
    )
)
def test_unit_rows_have_length_one_and_zero_stays(states):
    norms = np.linalg.norm(unit(states).astype(np.float64), axis=1)
    assert np.allclose(norms, np.where((states == 0).all(axis=1), 0, 1), atol=1e-6)


def test_unit_of_large_values_does_not_overflow():
    assert np.allclose(unit(np.array([[3e30, 4e30]], np.float32)), [[0.6, 0.8]], rtol=1e-6)


def test_memory_asks_for_each_missing_key_once_and_keeps_order():
    source = Source({1, 2, 3})
    memory = StateMemory(source)
    states, found = memory.get_many(keys_of(3, 1, 3, 9))
    assert found.tolist() == [True, True, True, False]
    assert states[:3, 0].tolist() == [3, 1, 3]
    assert np.isnan(states[3]).all()
    assert source.asked == [keys_of(3, 1, 9)]
    memory.get_many(keys_of(1, 2, 9))
    assert source.asked[1] == keys_of(2, 9)  # what was not there may be there by now
    assert len(memory) == 3


def test_memory_forgets_what_was_used_longest_ago():
    source = Source({1, 2, 3})
    memory = StateMemory(source, capacity=2)
    for number in (1, 2, 1, 3, 1, 2):
        assert memory.get_many(keys_of(number))[1].all()
    assert [keys[0].center_tok for keys in source.asked] == [1, 2, 3, 2]
    assert len(memory) == 2


def test_an_answer_larger_than_the_memory_is_whole():
    states, found = StateMemory(Source({1, 2, 3}), capacity=1).get_many(keys_of(1, 2, 3))
    assert found.all()
    assert states[:, 0].tolist() == [1, 2, 3]


def test_what_memory_gave_is_the_callers_own():
    memory = StateMemory(Source({1}))
    memory.get_many(keys_of(1))[0][:] = 7
    assert memory.get_many(keys_of(1))[0][0, 0] == 1


def test_memory_without_room_is_refused():
    with pytest.raises(ValueError, match="one state"):
        StateMemory(Source(set()), capacity=0)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=8), st.integers(1, 5))
def test_memory_answers_as_its_source(requests, capacity):
    memory, source = StateMemory(Source(set(range(7))), capacity), Source(set(range(7)))
    for numbers in requests:
        states, found = memory.get_many(keys_of(*numbers))
        expected, there = source.get_many(keys_of(*numbers))
        assert np.array_equal(found, there)
        assert np.array_equal(states[found], expected[there])
        assert len(memory) <= capacity
