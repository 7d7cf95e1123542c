import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import ResourceError
from genolewm_train.card import training_time
from genolewm_train.commands import train_mini
from genolewm_train.data_folder import read_training_sequence
from genolewm_train.language_model import train
from genolewm_train.publish import contract_of, publish


@pytest.fixture(scope="module")
def published(tiny, tiny_data, tmp_path_factory):
    recipe = tiny()
    output = tmp_path_factory.mktemp("published")
    sequence, holdouts = read_training_sequence(tiny_data, human=recipe.human, species=recipe.species)
    model = train(recipe, sequence, output)
    measured = publish(model, recipe, sequence, holdouts, tiny_data, output, output / "model")
    return output / "model", recipe, measured, (model, sequence, holdouts, tiny_data, output)


def test_the_model_directory_keeps_its_manifests_promises(published):
    directory, recipe, measured, (model, *_) = published
    opened = ModelDirectory.open(directory)
    assert opened.manifest.demonstration
    assert opened.manifest.contract == contract_of(recipe.network)
    assert opened.manifest.training["measured"] == json.loads(json.dumps(asdict(measured)))
    assert opened.manifest.training["held_out"]["genes"] == ["AGRN"]
    tensors = opened.tensors()
    expected = dict(model.named_parameters())
    assert set(tensors) == set(expected)
    for name, values in tensors.items():
        assert np.array_equal(values, expected[name].detach().numpy()), name
        assert torch.equal(expected[name], expected[name].bfloat16().float())


def test_only_safetensors_hold_weights(published):
    directory = published[0]
    assert sorted(p.name for p in directory.iterdir()) == [
        "card.md",
        "loss_curve.png",
        "manifest.json",
        "model.safetensors",
    ]


def test_the_card_says_what_the_model_is(published):
    directory, _, measured, _ = published
    card = (directory / "card.md").read_text()
    assert "does not know biology" in card
    for number in (measured.chain_bits, measured.marginal_bits, measured.single_bits):
        assert f"{number:.4f}" in card
    assert "Carbon-3B" in card
    assert (directory / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_publishes_the_same_bytes_again(published, tmp_path):
    directory, recipe, _, (_, sequence, holdouts, data, output) = published
    model = train(recipe, sequence, output, resume=True)
    publish(model, recipe, sequence, holdouts, data, output, tmp_path / "again")
    for name in ("model.safetensors", "manifest.json", "loss_curve.png", "card.md"):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes(), name


def test_an_existing_model_is_not_replaced(published):
    directory, recipe, _, (model, sequence, holdouts, data, output) = published
    with pytest.raises(ResourceError) as caught:
        publish(model, recipe, sequence, holdouts, data, output, directory)
    assert caught.value.code == "output-exists"


def test_time_is_that_of_computing():
    log = [{"tokens": 100, "tokens_per_s": 10.0}, {"tokens": 400, "tokens_per_s": 100.0}]
    assert training_time(log).seconds == pytest.approx(13.0)
    assert training_time(log).n_tokens == 400


def test_contract_of_the_default_network():
    contract = contract_of(ARCHITECTURES["mini"])
    assert (contract.state_layer, contract.window_bp, contract.cell_bp) == (4, 12_288, 6_144)


def test_the_command(tiny_data, tmp_path):
    arguments = ["--data", str(tiny_data), "--output", str(tmp_path / "out"), "--steps", "1", "--no-progress"]
    result = CliRunner().invoke(train_mini, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "bits per base" in result.output
    weights = tmp_path / "out" / "model" / "model.safetensors"
    assert weights.stat().st_size < 20_000_000
