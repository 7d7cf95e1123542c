"""Synthetic edits have the distributions they promise (chi-square, fixed seeds)."""

from statistics import NormalDist

import numpy as np
import pytest

from genolewm_data.samplers import EditableWindow, SlotWords
from genolewm_data.samplers.synthetic import indel_draws, mnv_draws, snv_draws

_SLOTS = 12_500  # 100,000 edits at a time
_BINS = 48
_GEOMETRIC = 0.5 ** np.arange(1, 16) / (1 - 0.5**15)


def chi_square_p(observed, expected):
    """Chance of so large a statistic; Wilson and Hilferty's approximation, good to some 1e-4 around 0.01."""
    observed, expected = np.asarray(observed, float).ravel(), np.asarray(expected, float).ravel()
    df = len(observed) - 1
    statistic = ((observed - expected) ** 2 / expected).sum()
    z = ((statistic / df) ** (1 / 3) - (1 - 2 / (9 * df))) / np.sqrt(2 / (9 * df))
    return 1 - NormalDist().cdf(z)


def p_values(n_edits, seed, window_bp=12_288):
    """p of every promise over `n_edits` edits of each kind, rounded up to whole batches."""
    rng = np.random.Generator(np.random.PCG64(7))
    text = "".join(np.array(list("ATCG"))[rng.integers(0, 4, window_bp)])
    window = EditableWindow(text, 64)
    words = SlotWords(seed)
    room = window_bp - 128
    counts, expected = {}, {"insertion length": _GEOMETRIC, "deletion length": _GEOMETRIC}

    def add_places(name, pos, n_places):
        # Bins of 48ths of the places do not all have the same number of them.
        expected[name] = np.bincount(np.arange(n_places) * _BINS // n_places) / n_places
        add(name, (pos - 64) * _BINS // n_places, _BINS)

    def add(name, values, n_cells):
        counts[name] = counts.get(name, 0) + np.bincount(values, minlength=n_cells)[:n_cells]

    for number in range(-(-n_edits // (8 * _SLOTS))):
        part = words.of_window(number, _SLOTS)[:, 1:].reshape(-1, 8)
        low, high = np.zeros(len(part), np.int64), np.full(len(part), window_bp)
        snv, indel, mnv = (draw(window, part, low, high) for draw in (snv_draws, indel_draws, mnv_draws))
        assert (snv.ref == window.digits[snv.pos]).all()
        assert (snv.ref != snv.alt).all()
        add_places("snv place", snv.pos, room)
        add("snv substitution", (snv.alt - snv.ref) % 4 - 1, 3)
        add("indel kind", indel.insertion.astype(int), 2)
        add("insertion length", indel.size_bp[indel.insertion] - 1, 15)
        add("deletion length", indel.size_bp[~indel.insertion] - 1, 15)
        add_places("insertion place", indel.pos[indel.insertion], room)
        one = ~indel.insertion & (indel.size_bp == 3)
        add_places("deletion of 3 place", indel.pos[one], room - 3)
        add("first inserted bases", indel.bases[:, 0] * 16 + indel.bases[:, 1] * 4 + indel.bases[:, 14], 64)
        rows = np.arange(len(part))
        last = mnv.size_bp - 1
        ends = (
            (mnv.alt[:, 0] - window.digits[mnv.pos]) % 4,
            (mnv.alt[rows, last] - window.digits[mnv.pos + last]) % 4,
        )
        assert min(int(end.min()) for end in ends) == 1
        add("mnv length", mnv.size_bp - 2, 7)
        add("mnv outer bases", (ends[0] - 1) * 3 + ends[1] - 1, 9)
        add("mnv inner bases", (mnv.alt[:, 1] * 4 + mnv.alt[:, 2])[mnv.size_bp > 3], 16)
        add_places("mnv of 5 place", mnv.pos[last == 4], room - 4)
    return {
        name: chi_square_p(
            observed, observed.sum() * expected.get(name, np.full(len(observed), 1 / len(observed)))
        )
        for name, observed in counts.items()
    }


def test_the_p_value_agrees_with_a_printed_table():
    # Critical values at p = 0.01 for 1, 11 and 47 degrees of freedom.
    for df, critical in ((2, 9.2103), (11, 24.725), (47, 72.443)):
        expected = np.full(df + 1, 1e6)
        observed = expected + np.sqrt(critical * 1e6 / 2) * np.eye(df + 1)[0]
        observed -= np.sqrt(critical * 1e6 / 2) * np.eye(df + 1)[1]
        assert chi_square_p(observed, expected) == pytest.approx(0.01, abs=4e-4)


def test_synthetic_edits_match_their_distributions():
    p = p_values(200_000, seed=20_261_121)
    assert len(p) == 12
    assert min(p.values()) > 0.01, p
