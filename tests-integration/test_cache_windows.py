"""`geno-lewm cache-windows` on the embedded model and the demo's reference: the commands of its page."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genolewm_encoder.cache import StateCache
from genolewm_runtime.models import demo_directory, embedded_model

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("geno-lewm")
LINES = re.findall(r"^geno-lewm .*$", (ROOT / "docs" / "cache-windows.md").read_text(), flags=re.MULTILINE)


def geno_lewm(*arguments, cwd=None):
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120"},
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as on the page; the embedded model stands for Carbon, and the genes are three cells."""
    folder = tmp_path_factory.mktemp("windows")
    demo = demo_directory()
    (folder / "GRCh38.fa").symlink_to(demo / "reference.fa.gz")
    for index in ("fai", "gzi"):
        (folder / f"GRCh38.fa.{index}").symlink_to(demo / f"reference.fa.gz.{index}")
    (folder / "carbon-500m").symlink_to(embedded_model())
    (folder / "genes.bed").write_text("chr21\t25000000\t25010000\nchr21\t1000\t2000\n")
    return folder


@pytest.mark.slow
def test_the_commands_of_the_page_run_and_the_second_adds_to_the_first(place):
    told = []
    for line in LINES:
        answer = geno_lewm(*shlex.split(line)[1:], cwd=place)
        assert answer.returncode == 0, answer.stderr
        told.append(answer.stderr)
    # Two cells of bases and one of N. Centres lie 3,072 bases into a cell, tokens of multiples of 1,200 elsewhere.
    assert "3 windows over 18,432 bases, in 2 blocks" in told[0]
    assert "2 windows encoded to 2 states" in told[0]
    assert "1 windows skipped" in told[0]
    assert "2 windows encoded to 10 states" in told[1]
    assert "0 states were in the cache" not in told[1]
    with StateCache(place / "states", create=False) as cache:
        assert len(list(cache.shards.iterdir())) == 2
        assert cache.problems == ()


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--at", "middle"], "config-invalid", 3),
        (["--at", "centre", "--pool-type", "global_mean"], "config-invalid", 3),
        (["--contigs", "chr99"], "contig-unknown", 2),
        (["--contigs", "chr21", "--regions", "genes.bed"], "config-invalid", 3),
        (["--regions", "none.bed"], "bed-invalid", 2),
        (["--workers", "0"], "config-invalid", 3),
        (["--block-cells", "0"], "config-invalid", 3),
        (["--devices", "tpu"], "config-invalid", 3),
        (["--devices", "cuda:0", "--cluster", "local"], "config-invalid", 3),
        (["--encoder", "nowhere"], "manifest-invalid", 8),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(options, code, exit_code, place):
    usual = {"--reference": "GRCh38.fa", "--encoder": "carbon-500m", "--cache": "refused"}
    given = [part for name, value in usual.items() if name not in options for part in (name, value)]
    answer = geno_lewm("cache-windows", *given, *options, cwd=place)
    assert f"[{code}]" in answer.stderr
    assert answer.returncode == exit_code
    assert not (place / "refused").exists()
