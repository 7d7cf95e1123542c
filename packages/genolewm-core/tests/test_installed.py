"""Names of what was set up: a path wins, the last set up has the name, and nothing is guessed."""

import json
from pathlib import Path

import pytest

from genolewm_core.artifacts.installed import (
    home,
    installed,
    installed_annotation,
    installed_model,
    installed_reference,
)
from genolewm_core.errors import DeploymentError, InputError

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    table = [
        ("models", "carbon-500m", OLD, "2026-02-01", ""),
        ("models", "carbon-500m", NEW, "2026-01-01", ""),
        ("models", "own", "1", "2026-01-01", ""),
        ("references", "GRCh38", "gencode-47", "2026-01-01", "reference.fa"),
        ("annotations", "GRCh38", "gencode-47", "2026-01-01", "g.gff3.gz"),
    ]
    for kind, name, version, at, main_file in table:
        path = folder / kind / name / version
        path.mkdir(parents=True)
        (path / "setup.json").write_text(json.dumps({"set_up_at": at, "main_file": main_file}))
    for odd, text in (("no-record", None), ("bad-record", "{"), ("list", "[]"), (".c.partial", "{}")):
        path = folder / "models" / "carbon-3b" / odd
        path.mkdir(parents=True)
        if text is not None:
            (path / "setup.json").write_text(text)
    monkeypatch.setenv("GENOLEWM_HOME", str(folder))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return folder


def test_the_home_is_the_variable_or_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GENOLEWM_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("GENOLEWM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in home().parents
    assert home().name == "geno-lewm"


def test_only_what_setup_published_counts(root):
    found = [(each.kind, each.name, each.version) for each in installed()]
    assert found == [
        ("models", "carbon-500m", OLD),
        ("models", "carbon-500m", NEW),
        ("models", "own", "1"),
        ("references", "GRCh38", "gencode-47"),
        ("annotations", "GRCh38", "gencode-47"),
    ]
    assert list(installed(root / "nowhere")) == []


@pytest.mark.parametrize(
    ("find", "given", "place"),
    [
        (installed_model, "carbon-500m", f"models/carbon-500m/{OLD}"),
        (installed_model, "Carbon-500M", f"models/carbon-500m/{OLD}"),
        (installed_model, Path("carbon-500m"), f"models/carbon-500m/{OLD}"),
        (installed_model, f"carbon-500m@{NEW}", f"models/carbon-500m/{NEW}"),
        (installed_model, "carbon-500m@bbbb", f"models/carbon-500m/{NEW}"),
        (installed_model, "own", "models/own/1"),
        (installed_reference, "GRCh38", "references/GRCh38/gencode-47/reference.fa"),
        (installed_reference, "grch38", "references/GRCh38/gencode-47/reference.fa"),
        (installed_annotation, "GRCh38", "annotations/GRCh38/gencode-47/g.gff3.gz"),
    ],
)
def test_names(root, find, given, place):
    assert find(given) == root / place


@pytest.mark.parametrize("find", [installed_model, installed_reference, installed_annotation])
@pytest.mark.parametrize(
    "given",
    ["x.fa", "./GRCh38", "models/carbon-500m", "/a/b", "..", ".", "", "a" * 5_000, "nul\0", "@", "own@2"],
)
def test_what_is_no_name_is_a_path(root, find, given):
    assert find(given) == Path(given)


@pytest.mark.parametrize(
    ("find", "given", "kind", "code"),
    [
        (installed_model, "carbon-3b", DeploymentError, "model-missing"),
        (installed_model, "carbon-500m@cccc", DeploymentError, "model-missing"),
        (installed_reference, "GRCh37", InputError, "reference-unreadable"),
        (installed_annotation, "GRCh37", InputError, "annotation-unreadable"),
    ],
)
def test_a_known_name_that_is_not_there_says_how_to_get_it(root, find, given, kind, code):
    with pytest.raises(kind) as caught:
        find(given)
    assert caught.value.code == code
    assert caught.value.next_step.startswith("run: geno-lewm setup --")
    assert caught.value.next_step.endswith(given.split("@")[0])


def test_a_path_wins_over_a_name(root):
    Path("GRCh38").write_text(">chr1\n")
    assert installed_reference("GRCh38") == Path("GRCh38")
    Path("carbon-3b").mkdir()
    assert installed_model("carbon-3b") == Path("carbon-3b")
