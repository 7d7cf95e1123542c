import math

import pytest
import torch

from genolewm_core.scoring.sixmer import Vocabulary, base_log_marginals, sixmer_codes
from genolewm_train.objective import base_losses, place_digits


def code(sixmer):
    return int(sixmer_codes(sixmer)[0])


def logits_of(probabilities):
    """Logits of a distribution over named six-mers; all others impossible."""
    logits = torch.full((4096,), -1e4)
    for sixmer, p in probabilities.items():
        logits[code(sixmer)] = math.log(p)
    return logits


def test_losses_by_hand():
    # Two six-mers share their first four bases: their marginals are 1 there, 0.75 and 0.25 + 0.75 after.
    logits = logits_of({"ACGTAC": 0.75, "ACGTTC": 0.25})
    losses = base_losses(logits[None], torch.tensor([code("ACGTAC")]))
    assert losses.n_positions == 1
    assert losses.token.item() == pytest.approx(-math.log(0.75) / 6, rel=1e-5)
    assert losses.marginal.item() == pytest.approx(-math.log(0.75) / 6, rel=1e-5)


def test_marginals_ignore_dependence_within_a_sixmer():
    # AAAAAA and TTTTTT, half each: every base costs one bit by its marginal, the six-mer one bit in all.
    logits = logits_of({"AAAAAA": 0.5, "TTTTTT": 0.5})
    losses = base_losses(logits[None], torch.tensor([code("TTTTTT")]))
    assert losses.marginal.item() == pytest.approx(math.log(2), rel=1e-5)
    assert losses.token.item() == pytest.approx(math.log(2) / 6, rel=1e-5)


def test_uniform_is_two_bits_a_base():
    losses = base_losses(torch.zeros(3, 4096), torch.tensor([0, 17, 4095]))
    assert losses.token.item() / 3 / math.log(2) == pytest.approx(2.0, rel=1e-5)
    assert losses.marginal.item() / 3 / math.log(2) == pytest.approx(2.0, rel=1e-5)


def test_oov_targets_are_left_out():
    logits = torch.randn(3, 4096, generator=torch.Generator().manual_seed(0))
    with_oov = base_losses(logits, torch.tensor([5, -1, 9]))
    without = base_losses(logits[[0, 2]], torch.tensor([5, 9]))
    assert with_oov.n_positions == 2
    assert torch.equal(with_oov.marginal, without.marginal)
    assert torch.equal(with_oov.token, without.token)


def test_marginals_equal_those_of_scoring():
    logits = torch.randn(1, 4096, generator=torch.Generator().manual_seed(1))
    target = code("GATTAC")
    marginals = base_log_marginals(torch.log_softmax(logits.double(), -1).numpy())[0]
    by_hand = -sum(marginals[place, digit] for place, digit in enumerate(place_digits()[target])) / 6
    assert base_losses(logits, torch.tensor([target])).marginal.item() == pytest.approx(by_hand, rel=1e-5)


def test_digits_follow_the_tokenizer():
    vocabulary = Vocabulary(0)
    for value in (0, 1, 4, 1000, 4095):
        letters = "".join("ATCG"[digit] for digit in place_digits()[value])
        assert vocabulary.encode(letters)[0] - vocabulary.sixmer_start == value


def test_each_term_has_a_gradient():
    logits = torch.zeros(2, 4096, requires_grad=True)
    losses = base_losses(logits, torch.tensor([3, 7]))
    for term in (losses.marginal, losses.token):
        (gradient,) = torch.autograd.grad(term, logits, retain_graph=True)
        assert gradient.abs().sum() > 0
        assert gradient[0, 3] < 0
