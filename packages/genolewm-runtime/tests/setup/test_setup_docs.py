"""The commands of docs/setup.md run, one after the other, against the Hub on this machine."""

import json
import re
import shlex
from pathlib import Path

from genolewm_runtime.setup import catalogue

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "setup.md"


def commands_of(page):
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_pages_commands_run(setup, carbon, release_index, tmp_path, monkeypatch):
    carbon.folder("carbon-500m", tmp_path / "media")
    (tmp_path / "SHA256SUMS").write_text(carbon.sums("carbon-500m"))
    release_index()
    monkeypatch.chdir(tmp_path)
    lines = commands_of(PAGE)
    assert len(lines) >= 5
    for number, (program, command, *arguments) in enumerate(lines):
        assert (program, command) == ("geno-lewm", "setup")
        ended = setup(*arguments, home=f"home{number}")
        assert ended.error is None, arguments
        published = "--yes" in arguments
        assert ended.home.exists() == published


def test_the_readmes_commands_run(setup, release_index):
    """With the index that has GENCODE's files on this machine, and consent."""
    lines = [line for line in commands_of(ROOT / "README.md") if line[:2] == ["geno-lewm", "setup"]]
    assert lines
    for _, _, *arguments in lines:
        ended = setup(*arguments, "--index", release_index(), "--yes")
        assert ended.error is None, arguments
    assert {path.name for path in ended.home.iterdir()} >= {"models", "references", "annotations"}


def test_the_pages_index_is_one(setup, tmp_path):
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    path = tmp_path / "index.json"
    path.write_text(block.replace("64 hex digits", "a" * 64))
    ended = setup("--reference", "GRCh38", "--index", path, "--from", tmp_path, "--yes")
    (artefact,) = json.loads(block)["artefacts"]
    assert ended.error.code == "setup-download-failed"
    assert Path(ended.error.where).name == artefact["files"][0]["name"] == catalogue.reference("GRCh38").file
    assert artefact["version"] == catalogue.reference("GRCh38").version


def test_the_page_names_the_catalogues_commits():
    for entry in catalogue.encoders():
        assert entry.revision is None or entry.revision[:8] in PAGE.read_text()
