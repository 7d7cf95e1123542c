"""What the package promises about its files, checked with the standard library alone."""

import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path

ROOT = Path(str(files("genolewm_mini")))
MANIFEST = json.loads((ROOT / "model/manifest.json").read_text())


def test_weights_are_the_manifests():
    weights = ROOT / "model" / MANIFEST["weights"][0]["name"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == MANIFEST["weights"][0]["sha256"]
    assert weights.stat().st_size == MANIFEST["weights"][0]["n_bytes"] <= 20_000_000


def test_weights_are_bf16():
    raw = (ROOT / "model" / MANIFEST["weights"][0]["name"]).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"BF16"}


def test_it_says_what_it_is():
    assert MANIFEST["name"] == "genolewm-mini"
    assert MANIFEST["demonstration"] is True
    card = (ROOT / "model/card.md").read_text()
    assert "does not know biology" in card
    assert (ROOT / "model/loss_curve.png").read_bytes().startswith(b"\x89PNG")


def test_demo_slice():
    with gzip.open(ROOT / "demo/NA12878.vcf.gz", "rt") as file:
        positions = [int(line.split("\t")[1]) for line in file if not line.startswith("#")]
    assert len(positions) == 1_513
    assert 24_990_000 < min(positions) < max(positions) <= 26_000_000
    with gzip.open(ROOT / "demo/reference.fa.gz", "rb") as file:
        assert file.readline() == b">chr21\n"
