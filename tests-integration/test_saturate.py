"""The command `saturate`: on the embedded model and a piece of a genome, killed and taken up, and misused."""

import gzip
import json
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest

from genolewm_runtime.models import demo_directory
from genolewm_runtime.saturate.shards import SCHEMA

COMMAND = Path(sys.executable).with_name("geno-lewm")
ROOT = Path(__file__).resolve().parent.parent
REFERENCE = demo_directory() / "reference.fa.gz"


def geno_lewm(*arguments, cwd=None):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )


def score_of_demo(folder, start, end):
    """Substitutions of the demo's person in a stretch of chromosome 21, scored by `score`."""
    with gzip.open(demo_directory() / "NA12878.vcf.gz", "rt") as source:
        lines = [
            line for line in source if line.startswith("#") or start < int(line.split("\t", 2)[1]) <= end
        ]
    (folder / "in.vcf").write_text("".join(lines))
    arguments = ["--vcf", folder / "in.vcf", "--reference", REFERENCE, "--output", folder / "scores.parquet"]
    answer = geno_lewm("score", *arguments, "--no-progress", "--allow-failed")
    assert answer.returncode == 0, answer.stderr
    table = pl.read_parquet(folder / "scores.parquet")
    one_base = (pl.col("ref").str.len_bytes() == 1) & (pl.col("alt").str.len_bytes() == 1)
    return table.filter((pl.col("status") == "scored") & one_base)


def test_on_the_embedded_model_the_values_are_those_of_score(tmp_path):
    start, end = 25_118_000, 25_123_000
    bed = tmp_path / "r.bed"
    bed.write_text(f'track name="two styles"\n21\t{start}\t{end - 2_000}\r\nchr21\t{end - 2_500}\t{end}\n')
    answer = geno_lewm(
        "saturate", "--reference", REFERENCE, "--regions", bed, "--output", tmp_path / "s", "--no-progress"
    )
    assert answer.returncode == 0, answer.stderr
    assert "2 regions that overlap or touch were merged to 1" in answer.stderr
    table = pl.read_parquet(tmp_path / "s.parquet")
    assert len(table) == 3 * (end - start)
    scored = score_of_demo(tmp_path, start, end)
    assert len(scored) >= 5
    both = scored.join(table, on=["chrom", "pos", "ref", "alt"], how="left", suffix="_all")
    np.testing.assert_allclose(both["marginal_llr_all"], both["marginal_llr"], rtol=1e-5, atol=1e-5)
    receipt = json.loads((tmp_path / "s.json").read_text())
    assert receipt["bases"] == {"scored": end - start}
    assert receipt["guard"] in ("seccomp", "python-only")
    with pysam.TabixFile(str(tmp_path / "s.tsv.gz")) as indexed:
        chrom, pos, ref, alt = scored.select("chrom", "pos", "ref", "alt").row(0)
        rows = [line.split("\t") for line in indexed.fetch(chrom, pos - 1, pos)]
    assert [row[:3] for row in rows] == [[chrom, str(pos), ref]] * 3
    assert alt in {row[3] for row in rows}


@pytest.fixture(scope="module")
def regions(tmp_path_factory, small_world):
    """All eight contigs, of one cell each; the last two lie in one shard of the server's runs."""
    bed = tmp_path_factory.mktemp("regions") / "all.bed"
    bed.write_text("".join(f"chr{n + 1}\t0\t360\n" for n in range(8)))
    return bed


def argv(world, regions, output, *more):
    given = ["--reference", world.reference, "--model", world.model, "--regions", regions, "--output", output]
    return ["saturate", *map(str, given), "--backend", "onnx", "--no-progress", *map(str, more)]


def published(folder):
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    receipt = json.loads(found["s.json"])
    assert receipt.pop("timestamp")
    return {**found, "s.json": receipt}


@pytest.mark.timeout(1_800)
def test_killed_at_any_moment_the_result_is_the_same(server, small_world, regions, tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    answer = server.run(argv(small_world, regions, folder / "s"))
    assert answer["code"] == 0, answer["stderr"]
    whole, seconds = published(folder), answer["seconds"]
    assert set(whole) == {"s.parquet", "s.tsv.gz", "s.tsv.gz.tbi", "s.json"}
    rng = random.Random(3)
    kills = [{"shards": n} for n in range(4)] + [{"after": rng.random() * seconds} for _ in range(4)]
    places = set()
    for number, when in enumerate(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        request = argv(small_world, regions, folder / "s")
        killed = server.run(request, kill={"signal": signal.SIGKILL, **when})
        assert killed["code"] in (0, -signal.SIGKILL), killed["stderr"]
        if killed["code"]:
            places.add(len(list(folder.glob(".s.parts/[0-9]*.parquet"))))
            if (folder / ".s.parts").exists() or not (folder / "s.json").exists():
                answer = server.run(request)
                assert answer["code"] == 0, answer["stderr"]
        assert published(folder) == whole
    assert len(places) >= 3, places


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(server, small_world, regions, tmp_path, number):
    request = argv(small_world, regions, tmp_path / "s")
    answer = server.run(request, kill={"signal": number, "shards": 1})
    assert answer["code"] == 130, answer["stderr"]
    assert "run the same command again to go on" in answer["stderr"]
    assert [path.name for path in tmp_path.iterdir()] == [".s.parts"]
    answer = server.run(request)
    assert answer["code"] == 0, answer["stderr"]
    assert "from an earlier run" in answer["stderr"]


MISUSED = {
    "no regions": ([], None, 3, "config-invalid"),
    "both": (["--regions", "r.bed", "--whole-genome"], "chr1\t0\t9\n", 3, "config-invalid"),
    "no such file": (["--regions", "no.bed"], None, 2, "bed-invalid"),
    "empty": (["--regions", "r.bed"], "\n", 2, "bed-invalid"),
    "beyond the end": (["--regions", "r.bed"], "chr1\t0\t361\n", 2, "bed-invalid"),
    "no such contig": (["--regions", "r.bed"], "chr99\t0\t9\n", 2, "bed-invalid"),
    "no such format": (["--regions", "r.bed", "--output", "s.tsv"], "chr1\t0\t9\n", 3, "output-format"),
    "no folder": (["--regions", "r.bed", "--output", "no/s"], "chr1\t0\t9\n", 4, "output-unwritable"),
    "no processes": (["--regions", "r.bed", "--jobs", "0"], "chr1\t0\t9\n", 3, "config-invalid"),
    "five phases": (["--regions", "r.bed", "--phases", "5"], "chr1\t0\t9\n", 3, "config-invalid"),
    "nobody to ask": (["--whole-genome"], None, 3, "config-invalid"),
}


@pytest.mark.parametrize("case", MISUSED)
def test_misuse_is_told_and_leaves_nothing(case, server, small_world, tmp_path, monkeypatch):
    arguments, bed, code, name = MISUSED[case]
    if bed is not None:
        (tmp_path / "r.bed").write_text(bed)
    given = [str(tmp_path / a) if a.endswith(".bed") or a.startswith(("s.", "no/")) else a for a in arguments]
    output = [] if "--output" in given else ["--output", str(tmp_path / "s")]
    usual = ["--reference", small_world.reference, "--model", small_world.model]
    answer = server.run(["saturate", *map(str, usual), *output, *given, "--no-progress"])
    assert (answer["code"], f"[{name}]" in answer["stderr"]) == (code, True), answer["stderr"]
    assert [p.name for p in tmp_path.iterdir() if p.name != "r.bed"] == []


def test_the_plan_is_printed_and_the_whole_genome_asks(server, small_world, tmp_path):
    usual = ["--reference", small_world.reference, "--model", small_world.model, "--backend", "onnx"]
    usual = ["saturate", *map(str, usual), "--output", str(tmp_path / "s"), "--whole-genome", "--no-progress"]
    answer = server.run([*usual, "--plan"])
    assert answer["code"] == 0, answer["stderr"]
    for text in ("2,880", "8,640", "tokens/s"):
        assert text in answer["stderr"]  # the server has one stream for both
    assert list(tmp_path.iterdir()) == []
    answer = server.run([*usual, "--yes"])
    assert answer["code"] == 0, answer["stderr"]
    assert json.loads((tmp_path / "s.json").read_text())["bases"] == {"scored": 2_880}


def test_every_column_is_described():
    text = (ROOT / "docs/formats/saturation.md").read_text()
    rows = [
        line.split("|")[1].strip(" `") for line in text.split("## Columns")[1].splitlines() if "| `" in line
    ]
    assert rows[: len(SCHEMA)] == list(SCHEMA)


def test_examples_of_the_page_run(tmp_path):
    for ending in ("", ".fai", ".gzi"):
        (tmp_path / f"GRCh38.fa{ending}").symlink_to(f"{REFERENCE}{ending}")
    (tmp_path / "exons.bed").write_text("chr21\t25118000\t25118200\n")
    text = (ROOT / "docs/saturate.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```console\n")[1:]]
    lines = [line for block in blocks for line in block.splitlines()]
    ours = [line for line in lines if line.startswith("geno-lewm saturate")]
    assert len(ours) >= 2
    for line in ours:
        answer = geno_lewm(*shlex.split(line)[1:], cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "exons.tsv.gz.tbi").exists()
