import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

from genolewm_core.errors import ConfigError, ProvenanceError
from genolewm_core.scoring.states import WindowBlock
from genolewm_encoder.cache_command import cache as command
from genolewm_encoder.identity import EncoderIdentity, StateContract

CONTRACT = StateContract(20, "span_mean", 8, "fp32")
OLD = EncoderIdentity("carbon-500m", "1" * 40, "a" * 64, {"tokenizer.json": "b" * 64}, CONTRACT)
NEW = EncoderIdentity("carbon-500m", "2" * 40, "a" * 64, {"tokenizer.json": "c" * 64}, CONTRACT)


def run(*arguments, error=None):
    answer = CliRunner().invoke(command, [*map(str, arguments), "--no-progress"])
    if error is None:
        assert answer.exit_code == 0, (answer.output, answer.exception)
        return answer.output
    kind, code = error
    assert isinstance(answer.exception, kind), (answer.output, answer.exception)
    assert answer.exception.code == code
    return answer.output


@pytest.fixture
def identities(tmp_path):
    folders = {}
    for name, identity in {
        "old": OLD,
        "new": NEW,
        "weights": EncoderIdentity("carbon-500m", "2" * 40, "d" * 64, {"tokenizer.json": "c" * 64}, CONTRACT),
        "contract": NEW.with_contract(pool_radius=9),
        "adapter": NEW.with_contract(lora_sha256="e" * 64),
    }.items():
        folders[name] = tmp_path / "identities" / name
        folders[name].mkdir(parents=True)
        identity.write(folders[name])
    return folders


def test_what_is_in_it_is_shown(world):
    output = run(world.folder)
    lines = output.splitlines()
    size = sum(path.stat().st_size for path in world.paths)
    assert len(lines) == 3
    encoder = world.batches[0].encoding.encoder_hash.hex()[:16]
    assert lines[0].startswith(
        f"{encoder} layer 20 span_mean radius 8 fp32 width 6  chr1  40 states  2 shards"
    )
    assert "chr2  20 states  1 shards" in lines[1]
    total = (size + os.path.getsize(world.folder / "index.sqlite")) / 1e6
    assert lines[2] == f"in all 60 states in 3 shards, {total:.2f} MB"


def test_missing_and_damaged_files_are_told(world):
    world.paths[0].unlink()
    world.paths[1].write_bytes(b"x")
    output = run(world.folder, "--verify", error=(ProvenanceError, "cache-corrupt"))
    assert {line.split("  ")[0] for line in output.splitlines()} == {"digest", "missing"}
    assert "2 problems put right, 0 unfinished files deleted" in run(world.folder, "--repair")
    assert "1 damaged files in" in run(world.folder)
    assert run(world.folder, "--verify") == "1 shards are sound\n"
    world.paths[2].unlink()
    assert "1 shards are in the index only" in run(world.folder)
    assert run(world.folder, "--reindex") == "0 shards indexed\n"


@pytest.mark.parametrize("two", [("--verify", "--repair"), ("--reindex", "--verify")])
def test_one_thing_at_a_time(world, two):
    run(world.folder, *two, error=(ConfigError, "config-invalid"))


def test_no_cache_is_made_by_looking(tmp_path):
    run(tmp_path / "none", error=(ConfigError, "config-invalid"))
    assert not (tmp_path / "none").exists()


def test_states_are_carried_over_to_the_same_weights_and_contract(world, identities):
    encoding = world.batches[0].encoding
    old = [world.batch_of(n, encoding=encoding._replace(encoder_hash=OLD.encoder_hash)) for n in range(2)]
    new = [world.batch_of(n, encoding=encoding._replace(encoder_hash=NEW.encoder_hash)) for n in range(2)]
    with world.open() as opened:
        for number, batch in enumerate(old):
            opened.put_many(WindowBlock("chr1", number), batch)
    assert run(world.folder, "--migrate", identities["old"], identities["new"]) == "40 states carried over\n"
    with world.open() as opened:
        for before, after in zip(old, new, strict=True):
            assert not opened.get_many(before.keys)[1].any()
            assert np.array_equal(opened.get_many(after.keys)[0], before.states)
        world.assert_found(opened, 0, 1, 2)  # another encoder's states stay
        assert len(opened.files()) == 5
    assert run(world.folder, "--migrate", identities["old"], identities["new"]) == "0 states carried over\n"
    assert run(world.folder, "--verify") == "5 shards are sound\n"


@pytest.mark.parametrize("other", ["weights", "contract", "adapter"])
def test_states_of_another_encoder_are_not_carried_over(world, identities, other):
    before = {path.name for path in world.paths}
    output = run(
        world.folder,
        "--migrate",
        identities["old"],
        identities[other],
        error=(ProvenanceError, "cache-identity"),
    )
    assert output == ""
    assert {path.name for path in (world.folder / "shards").iterdir()} == before


def test_an_identity_that_was_bent_is_refused(world, identities):
    config = json.loads((identities["new"] / "config.json").read_text())
    config["encoder"]["weights_sha256"] = "f" * 64
    (identities["new"] / "config.json").write_text(json.dumps(config))
    run(
        world.folder,
        "--migrate",
        identities["old"],
        identities["new"],
        error=(ProvenanceError, "encoder-identity-invalid"),
    )


def test_help_names_what_can_be_done():
    text = run("--help")
    assert {"--verify", "--repair", "--reindex", "--migrate"} <= set(re.findall(r"--\w+", text))
