"""Every substitution of a cell from its trunks: the same values as those of the scores, base by base."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.saturation import ALT_ORDER, saturate_cell, substitution_llr
from genolewm_core.scoring.sixmer import BASE_ORDER, sixmer_codes
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.numpy_backend import NumpyBackend

BACKEND = NumpyBackend(TEST_ARCHITECTURE, random_model(TEST_ARCHITECTURE, seed=4), state_layer=2)
CELL_BP = 96


class Bases:
    """A contig in memory."""

    def __init__(self, text):
        self.text = text
        self.length = len(text)

    def fetch(self, start, end):
        assert 0 <= start <= end <= self.length
        return self.text[start:end]


def options(**more):
    return PassOptions(Geometry(window_bp=6_144, cell_bp=CELL_BP), heads=("marginal_llr",), **more)


def random_bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=n))


def substitutions(contig, cell):
    end = min((cell + 1) * CELL_BP, contig.length)
    places = range(cell * CELL_BP, end)
    return [
        Replacement(at, at + 1, alt)
        for at in places
        for alt in ALT_ORDER
        if contig.text[at] in "ACGT" and alt != contig.text[at]
    ]


def expected_of(contig, cell, chosen):
    """(L, 4) of what `score_cell` says."""
    edits = substitutions(contig, cell)
    end = min((cell + 1) * CELL_BP, contig.length)
    table = np.full((end - cell * CELL_BP, 4), np.nan)
    if edits:
        values = score_cell(BACKEND, contig, cell, edits, chosen).values["marginal_llr"]
        for edit, value in zip(edits, values, strict=True):
            table[edit.start - cell * CELL_BP, ALT_ORDER.index(edit.alt)] = value
    return table.astype(np.float32)


TEXT = random_bases(6 * CELL_BP + 40)
CONTIGS = {
    "plain": TEXT,
    "leading N": "N" * 40 + TEXT[40:],
    "N within": TEXT[:100] + "N" * 7 + TEXT[107:150] + "RY" + TEXT[152:],
    "a cell of N": TEXT[: CELL_BP - 5] + "N" * (CELL_BP + 9) + TEXT[2 * CELL_BP + 4 :],
    "shorter than a six-mer": "ACGTA",
    "N alone": "N" * 100,
    "one base in a last cell": TEXT[: CELL_BP + 1],
}
CHOICES = [(False, 1), (True, 1), (False, 3), (True, 2), (True, 6)]


@pytest.mark.parametrize(("both_strands", "phases"), CHOICES)
@pytest.mark.parametrize("name", CONTIGS)
def test_the_same_bits_as_scoring_each_substitution(name, both_strands, phases):
    contig = Bases(CONTIGS[name])
    chosen = options(both_strands=both_strands, phases=phases)
    for cell in range(-(-min(contig.length, 3 * CELL_BP) // CELL_BP)):
        found = saturate_cell(BACKEND, contig, cell, chosen)
        assert found.start == cell * CELL_BP
        assert found.ref.tobytes().decode() == contig.text[found.start : found.start + CELL_BP]
        assert found.llr.dtype == np.float32
        np.testing.assert_array_equal(found.llr, expected_of(contig, cell, chosen))


def test_the_contigs_last_cell_and_a_window_that_is_cut_on_the_left():
    contig = Bases(random_bases(40 * CELL_BP + 17, seed=2))
    chosen = options(both_strands=True, phases=2)
    for cell in (37, 40):
        found = saturate_cell(BACKEND, contig, cell, chosen)
        np.testing.assert_array_equal(found.llr, expected_of(contig, cell, chosen))


def test_with_few_substitutions_and_all_scores_the_values_agree():
    """Other packs end their trunk elsewhere, so that only sums of another order differ."""
    contig = Bases(TEXT)
    chosen = PassOptions(Geometry(window_bp=6_144, cell_bp=CELL_BP), both_strands=True, phases=3)
    edits = substitutions(contig, 2)[::17]
    values = score_cell(BACKEND, contig, 2, edits, chosen).values["marginal_llr"]
    found = saturate_cell(BACKEND, contig, 2, chosen)
    mine = [found.llr[e.start - found.start, ALT_ORDER.index(e.alt)] for e in edits]
    np.testing.assert_allclose(mine, values, rtol=1e-6, atol=1e-6)


def test_tokens_are_those_of_the_trunks():
    contig = Bases(TEXT)
    found = saturate_cell(BACKEND, contig, 0, options(phases=2))
    scored = score_cell(BACKEND, contig, 0, substitutions(contig, 0), options(phases=2))
    assert found.n_tok == scored.n_tok
    # 96 bases are 16 six-mers in either phase, and the row of <dna> and those of 15 six-mers predict them.
    assert found.n_tok == 16 + 16


@given(st.text("ACGT", min_size=6, max_size=6), st.integers(0, 2**32 - 1))
def test_a_substitution_is_the_difference_of_two_log_probabilities(sixmer, seed):
    log_probs = np.random.default_rng(seed).normal(size=4096).astype(np.float32)
    (code,) = sixmer_codes(sixmer)
    found = substitution_llr(np.array([code]), log_probs[None])[0]
    for place in range(6):
        for digit, base in enumerate(BASE_ORDER):
            if base == sixmer[place]:
                assert np.isnan(found[place, digit])
                continue
            (other,) = sixmer_codes(sixmer[:place] + base + sixmer[place + 1 :])
            assert found[place, digit] == np.float64(log_probs[other]) - np.float64(log_probs[code])
