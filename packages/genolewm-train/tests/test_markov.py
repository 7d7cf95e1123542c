import math

import numpy as np
import pytest

from genolewm_core.errors import TrainingError
from genolewm_core.scoring.sixmer import BASE_ORDER, base_digits
from genolewm_train import markov


def digits(text):
    return base_digits(text).astype(np.uint8)


def counts_after(text, context):
    counts = markov.KmerCounts([digits(text)], len(context))
    packed = np.array([0], dtype=np.uint64)
    for base in digits(context):
        packed = packed * np.uint64(4) + np.uint64(base)
    return dict(zip(BASE_ORDER, counts.after(packed)[0].astype(int).tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        # Other strand of AACA: TGTT.
        ("AACA", "", {"A": 3, "T": 3, "C": 1, "G": 1}),
        ("AACA", "A", {"A": 1, "T": 0, "C": 1, "G": 0}),
        ("AACA", "T", {"A": 0, "T": 1, "C": 0, "G": 1}),
        ("AACA", "AA", {"A": 0, "T": 0, "C": 1, "G": 0}),
        ("AACA", "GGG", {"A": 0, "T": 0, "C": 0, "G": 0}),
        # The sparse form, above order 10: other strand of AAAAAAAAAAAC is G and 11 T.
        ("AAAAAAAAAAAC", "AAAAAAAAAAA", {"A": 0, "T": 0, "C": 1, "G": 0}),
        ("AAAAAAAAAAAC", "GTTTTTTTTTT", {"A": 0, "T": 1, "C": 0, "G": 0}),
        ("AAAAAAAAAAAC", "CCCCCCCCCCC", {"A": 0, "T": 0, "C": 0, "G": 0}),
        ("A", "AAAAAAAAAAA", {"A": 0, "T": 0, "C": 0, "G": 0}),
    ],
)
def test_counts_by_hand(text, context, expected):
    assert counts_after(text, context) == expected


def test_nothing_is_counted_across_pieces():
    split = markov.KmerCounts([digits("AA"), digits("CC")], 1)
    assert split.after(np.array([0], dtype=np.uint64)).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_single_order_by_hand():
    chosen = markov.Fit(1, 0.5, (0,), (np.zeros(60),), {}, {})
    found = markov.predict_single([digits("AACA")], [digits("AAC")], chosen)
    # The first base has no context: counts 0, so a quarter. After A: 1 A, 1 C of 2, pseudo-count 0.5 each.
    assert found == pytest.approx([2.0, -math.log2(1.5 / 4), -math.log2(1.5 / 4)])


def test_interpolation_by_hand():
    strength = np.full(60, 2.0)
    chosen = markov.Fit(1, 0.5, (0, 1), (strength, strength), {}, {})
    found = markov.predict_interpolated([digits("AACA")], [digits("AA")], chosen)
    order_0 = (3 + 2 * 0.25) / (8 + 2)
    order_1 = (1 + 2 * order_0) / (2 + 2)
    assert found == pytest.approx([-math.log2(order_0), -math.log2(order_1)])


def test_finds_the_order_of_a_markov_source():
    # The next base is the base three before it, nine times in ten: order 3 and no other.
    rng = np.random.default_rng(0)
    made = rng.integers(0, 4, 60_000).astype(np.uint8)
    for at in range(3, len(made)):
        if rng.random() < 0.9:
            made[at] = made[at - 3]
    # Counting both strands is right for this source: reversed and complemented it obeys the same rule.
    chosen = markov.fit([made[:50_000]], [made[50_000:55_000]], orders=range(7))
    assert chosen.order == 3
    p = 0.9 + 0.1 / 4
    entropy = -p * math.log2(p) - (1 - p) * math.log2((1 - p) / 3)
    test = [made[55_000:]]
    single = markov.predict_single([made[:50_000]], test, chosen).mean()
    mixed = markov.predict_interpolated([made[:50_000]], test, chosen).mean()
    assert single == pytest.approx(entropy, abs=0.03)
    # A bucket's weight is one for all contexts of its size, so the mixture pays a little on so few bases.
    assert mixed == pytest.approx(entropy, abs=0.05)


def test_random_bases_take_two_bits():
    rng = np.random.default_rng(1)
    train, left_out, test = (rng.integers(0, 4, n).astype(np.uint8) for n in (40_000, 10_000, 10_000))
    chosen = markov.fit([train], [left_out], orders=(0, 4, 8, 12))
    assert markov.predict_interpolated([train], [test], chosen).mean() == pytest.approx(2.0, abs=0.01)


def test_nothing_to_choose_on():
    with pytest.raises(TrainingError):
        markov.fit([digits("ACGT")], [])
