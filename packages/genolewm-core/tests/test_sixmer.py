import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.scoring.sixmer import (
    BASE_ORDER,
    N_SIXMERS,
    K,
    Vocabulary,
    base_log_marginals,
    sixmer_codes,
)

CARBON = Vocabulary(151_669)


@pytest.mark.parametrize(
    ("sequence", "ids"),
    [
        ("AAAAAA", [151672]),
        ("AAAAAT", [151673]),
        ("AAAAAC", [151674]),
        ("AAAAAG", [151675]),
        ("TAAAAA", [152696]),
        ("TTTTTT", [153037]),
        ("CCCCCC", [154402]),
        ("GGGGGG", [155767]),
        ("ATCGAT", [152105]),
        ("CGATCG", [154515]),
        ("ACGTAC", [152394]),
        ("ATGGCC", [152178]),
        ("ACGTACGTACGT", [152394, 155045]),
        ("acgtac", [152394]),
        ("ACGTANACGTAC", [151671, 152394]),
        ("ACGTAUACGTAR", [151671, 151671]),
        (
            "ATGCGCTAGCTACGATCGATCGTAGCTAGCTAGCTAGCTACG",
            [152166, 152924, 154515, 152108, 155334, 152924, 155331],
        ),
        ("", []),
    ],
)
def test_ids_are_carbons(sequence, ids):
    assert CARBON.encode(sequence).tolist() == ids
    assert CARBON.encode(sequence.encode()).tolist() == ids


def test_sliced_vocabulary_starts_at_zero():
    sliced = Vocabulary(0)
    assert (sliced.dna, sliced.end_dna, sliced.oov, sliced.sixmer_start) == (0, 1, 2, 3)
    assert sliced.encode("AAAAAAGGGGGGNNNNNN").tolist() == [3, 4098, 2]


def test_codes_count_in_base_order():
    every = ["".join(bases) for bases in itertools.product(BASE_ORDER, repeat=K)]
    assert sixmer_codes("".join(every)).tolist() == list(range(N_SIXMERS))


@given(st.text(alphabet="ACGT", max_size=20).map(lambda s: s + "A" * (-len(s) % K)))
def test_decode_inverts_encode(sequence):
    assert CARBON.decode(CARBON.encode(sequence)) == sequence


def test_partial_sixmers_are_refused():
    with pytest.raises(ValueError, match="multiple of 6"):
        sixmer_codes("ACGTA")


def test_marginals_against_counting():
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(N_SIXMERS), size=2))
    marginals = np.exp(base_log_marginals(log_probs))
    assert marginals.shape == (2, K, 4)
    sixmers = ["".join(bases) for bases in itertools.product(BASE_ORDER, repeat=K)]
    for place, base in [(0, "A"), (3, "G"), (5, "T")]:
        having = [i for i, s in enumerate(sixmers) if s[place] == base]
        expected = np.exp(log_probs[:, having]).sum(axis=1)
        np.testing.assert_allclose(marginals[:, place, BASE_ORDER.index(base)], expected, rtol=1e-12)
