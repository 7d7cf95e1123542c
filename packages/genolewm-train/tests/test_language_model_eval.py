import numpy as np
import pytest
import torch

from genolewm_core.errors import EvaluationError
from genolewm_core.scoring.sixmer import base_digits
from genolewm_train.language_model import build_network, predict_logits
from genolewm_train.language_model_eval import (
    _windows,
    bits_per_base,
    evaluation_pieces,
    markov_bits,
    paired_margin,
)


@pytest.mark.parametrize(("n_tok", "window_tok"), [(1, 8), (8, 8), (9, 8), (30, 8), (31, 7)])
def test_windows_score_every_sixmer_once(n_tok, window_tok):
    scored = [at for start, first, end in _windows(n_tok, window_tok) for at in range(first, end)]
    assert scored == list(range(n_tok))
    for start, first, end in _windows(n_tok, window_tok):
        assert 0 <= start <= first < end
        assert end - start <= window_tok
        assert start == 0 or first - start >= window_tok // 2


def test_bits_of_one_window_are_those_of_a_plain_pass(tiny, random_bases):
    model = build_network(tiny().network, 0).eval()
    text = random_bases(60, 0)
    found = bits_per_base(model, [base_digits(text).astype(np.uint8)])
    from genolewm_core.scoring.sixmer import sixmer_codes

    codes = torch.from_numpy(sixmer_codes(text).astype(np.int64))
    with torch.no_grad():
        log_probs = torch.log_softmax(predict_logits(model, codes[None]), -1)
    expected = -log_probs[torch.arange(10), codes].double().numpy() / np.log(2) / 6
    assert found.chain == pytest.approx(expected)


def test_a_network_without_weights_takes_two_bits(tiny, random_bases):
    model = build_network(tiny().network, 0).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.zero_()
    found = bits_per_base(model, [base_digits(random_bases(600, 0)).astype(np.uint8)], window_tok=40)
    assert found.chain == pytest.approx(np.full(100, 2.0))
    assert found.marginal == pytest.approx(np.full(100, 2.0))


def test_markov_bits_pair_with_the_networks(sequence_of, random_bases):
    sequence = sequence_of(*(random_bases(500, seed) for seed in range(21)))
    pieces = [base_digits(random_bases(60, 99)).astype(np.uint8)]
    single, interpolated, _ = markov_bits(sequence, pieces, orders=(0, 1, 2))
    assert single.chain.shape == interpolated.chain.shape == (10,)


def test_margin():
    rng = np.random.default_rng(0)
    better = rng.uniform(1.0, 2.0, 5_000)
    margin = paired_margin(better, better + 0.1, block=50)
    assert (margin.mean, margin.low, margin.high) == pytest.approx((0.1, 0.1, 0.1))
    noise = paired_margin(better, better + rng.normal(0, 1, 5_000), block=50)
    assert noise.low < 0 < noise.high


def test_pieces_are_whole_sixmers_of_chromosome_21(tiny_data, tmp_path):
    (piece,) = evaluation_pieces(tiny_data)
    assert len(piece) == 12_000
    with pytest.raises(Exception, match="FASTA"):
        evaluation_pieces(tmp_path)


def test_no_bases_there(tmp_path):
    import pysam

    (tmp_path / "reference").mkdir()
    plain = tmp_path / "reference" / "x.fa"
    plain.write_text(">chr21\n" + "N" * 100 + "\n")
    target = tmp_path / "reference" / "GRCh38.shared.fa.gz"
    pysam.tabix_compress(str(plain), str(target))
    pysam.faidx(str(target))
    with pytest.raises(EvaluationError):
        evaluation_pieces(tmp_path)
