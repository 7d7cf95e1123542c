"""A Carbon that was set up is found by its names and by either form of a revision."""

import dataclasses

import pytest

from genolewm_core.artifacts.manifest import Contract, ModelDirectory, write_manifest
from genolewm_core.errors import ConfigError, DeploymentError
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.models import write_model
from genolewm_encoder.revisions import open_revision, revision_of

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENOLEWM_HOME", str(tmp_path))
    tensors = random_model(TEST_ARCHITECTURE)
    for commit in (COMMIT, OTHER):
        folder = tmp_path / "models" / "carbon-500m" / commit
        made = write_model(folder, TEST_ARCHITECTURE, tensors, Contract(state_layer=2)).manifest
        write_manifest(folder, dataclasses.replace(made, name="carbon-500m", version=commit))
        (folder / "setup.json").write_text('{"set_up_at": "2026", "main_file": ""}')
    return tmp_path / "models" / "carbon-500m"


@pytest.mark.parametrize("name", ["carbon-500m", "HuggingFaceBio/Carbon-500M"])
@pytest.mark.parametrize("commit", [COMMIT, OTHER])
def test_by_name(home, name, commit):
    expected = ModelDirectory.open(home / commit)
    assert open_revision(name, commit).path == expected.path
    assert open_revision(name, expected.manifest.model_id).path == expected.path
    assert revision_of(expected.manifest) == commit


def test_what_is_not_there(home):
    with pytest.raises(DeploymentError, match="set up"):
        open_revision("carbon-500m", "c" * 40)
    with pytest.raises(ConfigError, match="another revision"):
        open_revision("carbon-500m", "c" * 64)
    with pytest.raises(ConfigError, match="pinned"):
        open_revision("carbon-500m", "main")
