"""The written outcomes of VCF input hold: for hts-specs' files, for the page, and for standard input."""

import gzip
import importlib.util
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path(str(files("genolewm_mini"))) / "demo"
COMMAND = Path(sys.executable).with_name("geno-lewm")


@pytest.fixture(scope="module")
def outcomes():
    """The script that observes the files and writes the page."""
    spec = importlib.util.spec_from_file_location("vcf_outcomes", ROOT / "scripts" / "vcf_outcomes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_conformance_file_fares_as_the_table_says(outcomes, shared_data):
    kept = [entry._replace(note="") for entry in outcomes.read_table()]
    assert len(kept) == 683
    assert outcomes.observe_all(shared_data / "conformance" / "vcf") == kept


def test_every_outcome_that_is_no_plain_acceptance_is_explained(outcomes):
    for entry in outcomes.read_table():
        assert (entry.outcome == "accepted") == (entry.note == ""), entry.file
        assert entry.outcome in ("accepted", "accepted with note", "some rows", "refused")


def test_the_page_is_made_from_the_tables(outcomes):
    assert outcomes.PAGE.read_text() == outcomes.render(outcomes.read_table())


def test_standard_input_is_read_like_a_file(tmp_path):
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        lines = source.readlines()
    header = [line for line in lines if line.startswith("#")]
    text = "".join([*header, *lines[len(header) : len(header) + 3]])
    output = tmp_path / "s.parquet"
    arguments = ["score", "--vcf", "-", "--reference", DEMO / "reference.fa.gz", "--output", output]
    answer = subprocess.run(
        [COMMAND, *map(str, arguments), "--no-progress"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    assert pl.read_parquet(output)["row"].to_list() == [1, 2, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"s.parquet", "s.parquet.receipt.json"}
