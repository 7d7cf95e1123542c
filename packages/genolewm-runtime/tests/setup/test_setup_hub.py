"""The tests' Hub is one: the Hub's own client lists its commits and fetches the same bytes from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genolewm_core.artifacts.carbon import RELEASES
from genolewm_runtime.setup.hub import listing
from genolewm_runtime.setup.transport import Transport

FETCH = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download

endpoint, repo, revision, folder = sys.argv[1:]
info = HfApi(endpoint=endpoint).model_info(repo, revision=revision, files_metadata=True)
print(json.dumps({s.rfilename: [s.size, s.blob_id, s.lfs and s.lfs.sha256] for s in info.siblings}))
for sibling in info.siblings:
    got = hf_hub_download(repo, sibling.rfilename, revision=revision, endpoint=endpoint, cache_dir=folder)
print(Path(got).parent)
"""


@pytest.fixture
def snapshot(site, carbon, tmp_path):
    """What the Hub's own client made of Carbon-500M: its description of the files, and the snapshot folder."""
    pytest.importorskip("huggingface_hub")
    revision = carbon.revisions["carbon-500m"]
    answer = subprocess.run(
        [sys.executable, "-c", FETCH, site.url, RELEASES["carbon-500m"].repo, revision, tmp_path / "cache"],
        capture_output=True,
        text=True,
        check=False,
        env={"HF_HUB_DISABLE_XET": "1", "HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"},
    )
    assert answer.returncode == 0, answer.stderr
    listed, folder = answer.stdout.splitlines()
    return json.loads(listed), Path(folder)


def test_the_hubs_own_client_fetches_the_same_files(snapshot, site, carbon):
    described, folder = snapshot
    files = carbon.files["carbon-500m"]
    revision = carbon.revisions["carbon-500m"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert folder.name == revision
    with Transport() as transport:
        ours = listing(transport, site.url, RELEASES["carbon-500m"].repo, revision)
    assert set(ours) == set(files)
    for name, (n_bytes, digest) in ours.items():
        size, blob_id, lfs = described[name]
        assert n_bytes == size
        expected = ("git-sha1", blob_id) if lfs is None else ("sha256", lfs)
        assert (digest.algorithm, digest.value) == expected


def test_a_snapshot_of_the_hubs_client_is_set_up_by_the_digests_that_it_noted(snapshot, setup, carbon):
    _, folder = snapshot
    assert any(path.is_symlink() for path in folder.iterdir())
    home = setup("--encoder", "500m", "--from", folder, "--trust-host", "--yes").home
    (path,) = (home / "models" / "carbon-500m").iterdir()
    assert not any(child.is_symlink() for child in path.iterdir())
    record = json.loads((path / "setup.json").read_text())
    assert {file["vouched_by"] for file in record["files"]} == {"the host, as the Hub's client noted it"}
    blob = (folder / "config.json").resolve()
    blob.write_bytes(b"{}")
    error = setup("--encoder", "500m", "--from", folder, "--trust-host", "--yes", home="other").error
    assert error.code == "artifact-digest"
