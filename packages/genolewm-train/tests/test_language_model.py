import hashlib
import json

import numpy as np
import pytest
import torch

from genolewm_core.errors import ConfigError, InputError, TrainingError
from genolewm_train.language_model import CHECKPOINT_NAME, LOG_NAME, build_network, predict_logits, train
from genolewm_train.recipe import Recipe


def fingerprint(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def sequence(sequence_of, random_bases):
    return sequence_of(random_bases(3_000, 0), random_bases(2_500, 1))


def test_the_default_network_is_carbons_shape():
    model = build_network(Recipe().network, 0)
    names = dict(model.named_parameters())
    assert not any("bias" in name for name in names)
    assert "lm_head.weight" not in names
    assert model.lm_head.weight is model.model.embed_tokens.weight
    n_bytes = 2 * sum(p.numel() for p in model.parameters())
    assert n_bytes < 20_000_000
    assert names["model.embed_tokens.weight"].shape == (4_107, 256)


def test_prediction_is_causal(tiny):
    model = build_network(tiny().network, 0).eval()
    codes = torch.randint(0, 4096, (2, 12), generator=torch.Generator().manual_seed(0))
    changed = codes.clone()
    changed[0, 7] = (changed[0, 7] + 1) % 4096
    with torch.no_grad():
        before, after = (predict_logits(model, c).reshape(2, 12, 4096) for c in (codes, changed))
    # Row 7 predicts six-mer 7 from those before it; the first row to see the change is 8.
    assert torch.equal(before[0, :8], after[0, :8])
    assert not torch.equal(before[0, 8], after[0, 8])
    assert torch.equal(before[1], after[1])


def test_equal_runs_give_equal_bytes_and_the_seed_matters(tiny, sequence, tmp_path):
    for name, recipe in (("a", tiny()), ("b", tiny()), ("c", tiny(seed=1))):
        train(recipe, sequence, tmp_path / name)
    a, b, c = (fingerprint(tmp_path / name / CHECKPOINT_NAME) for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("stops", [(1,), (3, 1), (5,)])
def test_resumed_run_equals_the_uninterrupted_one(tiny, sequence, tmp_path, stops):
    whole = train(tiny(), sequence, tmp_path / "whole")
    for number, steps in enumerate(stops):
        train(tiny(), sequence, tmp_path / "parts", resume=number > 0, stop_after=steps)
    parts = train(tiny(), sequence, tmp_path / "parts", resume=True)
    whole_path, parts_path = (tmp_path / name / CHECKPOINT_NAME for name in ("whole", "parts"))
    assert fingerprint(whole_path) == fingerprint(parts_path)
    for (name, one), (_, other) in zip(whole.named_parameters(), parts.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_run_killed_between_checkpoints_repeats_the_lost_steps(tiny, sequence, tmp_path):
    train(tiny(), sequence, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(now):
        if now.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(), sequence, tmp_path / "parts", checkpoint_every=2, on_progress=kill)
    train(tiny(), sequence, tmp_path / "parts", resume=True)
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    assert fingerprint(whole / CHECKPOINT_NAME) == fingerprint(parts / CHECKPOINT_NAME)
    steps = [json.loads(line)["step"] for line in (parts / LOG_NAME).read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_training_learns(tiny, sequence_of, tmp_path):
    seen = []
    sequence = sequence_of("ACGTTG" * 400)
    train(tiny(n_steps=30, other_lr=0.03), sequence, tmp_path, on_progress=seen.append)
    assert seen[-1].marginal_bits < 1.5
    assert seen[-1].tokens == tiny(n_steps=30).n_tokens


def test_every_parameter_moves(tiny, sequence, tmp_path):
    recipe = tiny()
    start = {name: p.clone() for name, p in build_network(recipe.network, recipe.seed).named_parameters()}
    for name, parameter in train(recipe, sequence, tmp_path).named_parameters():
        assert not torch.equal(start[name], parameter), name


def test_a_loss_that_is_not_finite_stops_the_run(tiny, sequence, tmp_path):
    with pytest.raises(TrainingError) as caught:
        train(tiny(matrix_lr=1e30, other_lr=1e30, warmup_steps=1), sequence, tmp_path)
    assert caught.value.code == "training-diverged"
    assert not (tmp_path / CHECKPOINT_NAME).exists()


def test_what_cannot_be_resumed(tiny, sequence, sequence_of, tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        train(tiny(), sequence, tmp_path, resume=True)
    train(tiny(), sequence, tmp_path, stop_after=1)
    with pytest.raises(InputError, match="in the way"):
        train(tiny(), sequence, tmp_path)
    for recipe, bases in ((tiny(seed=1), sequence), (tiny(), sequence_of("ACGTTG" * 400))):
        with pytest.raises(InputError) as caught:
            train(recipe, bases, tmp_path, resume=True)
        assert caught.value.code == "resume-conflict"
    (tmp_path / CHECKPOINT_NAME).write_bytes(b"rubbish")
    with pytest.raises(InputError) as caught:
        train(tiny(), sequence, tmp_path, resume=True)
    assert caught.value.code == "tensor-file-invalid"


def test_schedule_and_stages(tiny):
    recipe = tiny(n_steps=100, warmup_steps=10, decay=0.4)
    factors = [recipe.lr_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:60] == [1.0] * 51
    assert np.all(np.diff(factors[60:]) < 0)
    assert factors[-1] == pytest.approx(1 / 40)
    assert [recipe.stage(step).length_tok for step in (0, 49, 50, 99)] == [24, 24, 60, 60]
    assert recipe.n_tokens == 50 * 3 * 24 + 50 * 60


@pytest.mark.parametrize("change", [{"n_steps": 0}, {"threads": 0}, {"seed": -1}])
def test_options_that_cannot_be_used(tiny, change):
    with pytest.raises(ConfigError):
        tiny(**change)
