"""Synthetic edits have the distributions they promise.

The draws are written down a second time, with arrays. These are fast enough to compare millions of them with the
distributions (chi-square, fixed seeds), and the samplers must give the very same edits.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pytest

from genolewm_core.genome.variant import EditType, RelEdit
from genolewm_data.samplers import EditableWindow, SlotWords, SyntheticIndel, SyntheticMnv, SyntheticSnv

_SLOTS = 12_500  # 100,000 edits at a time
_BINS = 48
_GEOMETRIC = 0.5 ** np.arange(1, 16) / (1 - 0.5**15)

_CDF = (1 - 0.5 ** np.arange(1, 16)) / (1 - 0.5**15)
_TWO_BITS = 2 * np.arange(15, dtype=np.uint64)
_LETTERS = np.frombuffer(b"ATCG", dtype=np.uint8)


class Snvs(NamedTuple):
    pos: np.ndarray
    ref: np.ndarray
    alt: np.ndarray


class Indels(NamedTuple):
    pos: np.ndarray
    insertion: np.ndarray
    size_bp: np.ndarray
    bases: np.ndarray


class Mnvs(NamedTuple):
    pos: np.ndarray
    size_bp: np.ndarray
    alt: np.ndarray


def uniform(words):
    return (words >> np.uint64(11)) * 2.0**-53


def places(words, footprint, low, high):
    """Uniform in the one room [low, high)."""
    return low + (uniform(words) * (high - low - footprint + 1)).astype(np.int64)


def snv_draws(digits, words, low, high):
    pos = places(words[:, 0], 1, low, high)
    ref = digits[pos]
    return Snvs(pos, ref, (ref + 1 + (uniform(words[:, 1]) * 3).astype(np.int64)) % 4)


def indel_draws(digits, words, low, high):
    insertion = words[:, 0] < np.uint64(1 << 63)
    size = 1 + np.searchsorted(_CDF, uniform(words[:, 1]), side="right")
    pos = places(words[:, 2], np.where(insertion, 1, 1 + size), low, high)
    return Indels(pos, insertion, size, ((words[:, 3:4] >> _TWO_BITS) & np.uint64(3)).astype(np.int64))


def mnv_draws(digits, words, low, high):
    size = 2 + (uniform(words[:, 0]) * 7).astype(np.int64)
    pos = places(words[:, 1], size, low, high)
    outer = (uniform(words[:, 2]) * 9).astype(np.int64)
    alt = ((words[:, 3:4] >> _TWO_BITS[:8]) & np.uint64(3)).astype(np.int64)
    rows, last = np.arange(len(words)), size - 1
    alt[:, 0] = (digits[pos] + 1 + outer // 3) % 4
    alt[rows, last] = (digits[pos + last] + 1 + outer % 3) % 4
    return Mnvs(pos, size, alt)


def random_window(seed, window_bp):
    rng = np.random.Generator(np.random.PCG64(seed))
    digits = rng.integers(0, 4, window_bp)
    return EditableWindow(_LETTERS[digits].tobytes().decode(), 64), digits


def chi_square_p(observed, expected):
    """Chance of so large a statistic; Wilson and Hilferty's approximation, good to some 1e-4 around 0.01."""
    observed, expected = np.asarray(observed, float).ravel(), np.asarray(expected, float).ravel()
    df = len(observed) - 1
    statistic = ((observed - expected) ** 2 / expected).sum()
    z = ((statistic / df) ** (1 / 3) - (1 - 2 / (9 * df))) / np.sqrt(2 / (9 * df))
    return 1 - NormalDist().cdf(z)


def p_values(n_edits, seed, window_bp=12_288):
    """p of every promise over `n_edits` edits of each kind, rounded up to whole batches."""
    _, digits = random_window(7, window_bp)
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
        snv, indel, mnv = (
            draw(digits, part, 64, window_bp - 64) for draw in (snv_draws, indel_draws, mnv_draws)
        )
        assert (snv.ref == digits[snv.pos]).all()
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
            (mnv.alt[:, 0] - digits[mnv.pos]) % 4,
            (mnv.alt[rows, last] - digits[mnv.pos + last]) % 4,
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


def test_samplers_give_the_edits_that_arrays_give():
    window, digits = random_window(8, 900)
    text = window.text
    words = SlotWords(3).of_window(5, 250)[:, 1:].reshape(-1, 8)
    for low, high in ((0, 900), (300, 340)):
        bounds = max(low, 64), min(high, 900 - 64)
        snv, indel, mnv = (draw(digits, words, *bounds) for draw in (snv_draws, indel_draws, mnv_draws))
        for i, row in enumerate(words.tolist()):
            pos = int(snv.pos[i])
            assert SyntheticSnv().propose(window, row, low, high) == RelEdit(
                pos, EditType.SNV, text[pos], "ATCG"[snv.alt[i]]
            )
            pos, size = int(indel.pos[i]), int(indel.size_bp[i])
            bases = "".join("ATCG"[digit] for digit in indel.bases[i, :size])
            ref = text[pos] if indel.insertion[i] else text[pos : pos + 1 + size]
            kind, alt = (EditType.INS, ref + bases) if indel.insertion[i] else (EditType.DEL, text[pos])
            assert SyntheticIndel().propose(window, row, low, high) == RelEdit(pos, kind, ref, alt)
            pos, size = int(mnv.pos[i]), int(mnv.size_bp[i])
            alt = "".join("ATCG"[digit] for digit in mnv.alt[i, :size])
            assert SyntheticMnv().propose(window, row, low, high) == RelEdit(
                pos, EditType.MNV, text[pos : pos + size], alt
            )
    for sampler in (SyntheticSnv(), SyntheticIndel(), SyntheticMnv()):
        assert sampler.propose(window, [(1 << 64) - 1] * 8, 300, 300) is None
