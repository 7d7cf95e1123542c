"""The command as a user runs it: in a process of its own, with the guard on."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

DEMO = Path(str(files("genolewm_mini"))) / "demo"
REFERENCE = DEMO / "reference.fa.gz"
COMMAND = Path(sys.executable).with_name("geno-lewm")
BANNER = "This is a research tool. Not a clinical diagnostic. If a variant concerns you, talk to a genetic counselor."


def geno_lewm(*arguments, cwd=None, **environment):
    clean = {key: value for key, value in os.environ.items() if key != "CI"}
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, "COLUMNS": "120", **environment},
        check=False,
    )


def vcf_of(path, records):
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    path.write_text(
        "\n".join(lines + ["\t".join((c, p, ".", r, a, ".", ".", ".")) for c, p, r, a in records]) + "\n"
    )
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Forty records of the demo's VCF."""
    target = tmp_path_factory.mktemp("few") / "few.vcf"
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        lines = source.readlines()
    header = [line for line in lines if line.startswith("#")]
    target.write_text("".join(header + lines[len(header) : len(header) + 40]))
    return target


def test_help_answers_quickly():
    times = []
    for _ in range(5):
        started = time.perf_counter()
        answer = geno_lewm("--help")
        times.append(time.perf_counter() - started)
        assert answer.returncode == 0
    assert {"score", "demo", "train-mini", "export-graph"} <= set(answer.stdout.split())
    assert min(times) < 0.5


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom genolewm_core.umbrella import main\nsys.argv = ['geno-lewm', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'onnxruntime', 'polars', 'pysam', 'rich', 'onnx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_demo(tmp_path):
    answer = geno_lewm("demo", "--output", tmp_path / "demo", "--no-progress")
    assert answer.returncode == 0, answer.stderr
    assert BANNER in answer.stderr
    assert "demonstration model" in answer.stderr
    assert "substitutions that move the state most" in answer.stdout
    assert answer.stdout.count("chr21:") == 10
    table = pl.read_parquet(tmp_path / "demo" / "scores.parquet")
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        records = [line.split("\t") for line in source if not line.startswith("#")]
    assert len(table) == sum(1 + record[4].count(",") for record in records)
    assert set(table["status"]) == {"scored"}
    receipt = json.loads((tmp_path / "demo" / "scores.receipt.json").read_text())
    assert receipt["guard"] == "seccomp"
    assert receipt["rows"] == {"scored": len(table)}
    assert receipt["demonstration"] is True
    # Tokens a variant, within 5 % of the design's figure for personal genomes.
    assert receipt["n_tok"] / len(table) == pytest.approx(151, rel=0.05)


def test_score_writes_tsv(few, tmp_path):
    answer = geno_lewm(
        "score", "--vcf", few, "--reference", REFERENCE, "--output", tmp_path / "s.tsv", "--no-progress"
    )
    assert answer.returncode == 0, answer.stderr
    lines = (tmp_path / "s.tsv").read_text().splitlines()
    assert lines[0].startswith("row\tallele\tsource_chrom")
    assert lines[1].split("\t")[0] == "1"


def test_backends_give_the_same_scores(few, tmp_path):
    tables = []
    for backend in ("onnx", "torch"):
        output = tmp_path / f"{backend}.parquet"
        answer = geno_lewm(
            "score",
            "--vcf",
            few,
            "--reference",
            REFERENCE,
            "--output",
            output,
            "--backend",
            backend,
            "--no-progress",
        )
        assert answer.returncode == 0, answer.stderr
        assert json.loads(output.with_suffix(".receipt.json").read_text())["backend"] == backend
        tables.append(pl.read_parquet(output))
    one, two = tables
    for name in ("marginal_llr", "delta_ll", "displacement"):
        assert (one[name] - two[name]).abs().max() <= 1e-4 * max(one[name].abs().max(), 1)


def test_one_variant_as_json():
    answer = geno_lewm("score", "--variant", "chr21:25118121:T:C", "--reference", REFERENCE, "--json")
    assert answer.returncode == 0, answer.stderr
    record = json.loads(answer.stdout)
    assert record["status"] == "scored"
    assert record["locus"] == record["pos"] == 25_118_121
    assert record["displacement"] > 0
    table = geno_lewm("score", "--variant", "21:25118121:T:C", "--reference", REFERENCE)
    assert f"{record['displacement']:.4f}" in table.stdout


def test_jobs_work_under_the_guard(few, tmp_path):
    output = tmp_path / "s.parquet"
    answer = geno_lewm(
        "score", "--vcf", few, "--reference", REFERENCE, "--output", output, "--jobs", "2", "--no-progress"
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "s.receipt.json").read_text())["guard"] == "seccomp"
    assert set(pl.read_parquet(output)["status"]) == {"scored"}


def test_failed_rows_decide_the_exit_code(tmp_path):
    vcf = vcf_of(tmp_path / "in.vcf", [("chr21", "25118121", "T", "C"), ("chr21", "25118164", "C", "T")])
    arguments = ("score", "--vcf", vcf, "--reference", REFERENCE, "--no-progress")
    answer = geno_lewm(*arguments, "--output", tmp_path / "a.tsv")
    assert answer.returncode == 2
    assert "ref_mismatch" in answer.stderr
    assert len((tmp_path / "a.tsv").read_text().splitlines()) == 3
    assert geno_lewm(*arguments, "--output", tmp_path / "b.tsv", "--allow-failed").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--variant", "chr21:25118121:T"], "variant-syntax", 2),
        (["--variant", "chr21:25118121:T:C", "--vcf", "x.vcf"], "config-invalid", 3),
        ([], "config-invalid", 3),
        (["--vcf", "missing.vcf", "--output", "s.tsv"], "vcf-unreadable", 2),
        (["--vcf", "missing.vcf", "--output", "s.docx"], "output-format", 3),
        (["--variant", "chr21:25118121:T:C", "--model", "nowhere"], "manifest-invalid", 8),
        (["--variant", "chr21:25118121:T:C", "--heads", "risk"], "config-invalid", 3),
    ],
)
def test_wrong_use_is_explained(arguments, code, exit_code, tmp_path):
    answer = geno_lewm("score", "--reference", REFERENCE, *arguments, cwd=tmp_path)
    assert answer.returncode == exit_code, answer.stderr
    assert f"[{code}]" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_wrong_assembly_is_named(shared_data, tmp_path):
    answer = geno_lewm(
        *("score", "--vcf", shared_data / "personal/HG02102.chr21.1000G_phase3.GRCh37.vcf.gz"),
        *("--reference", REFERENCE, "--output", tmp_path / "s.tsv", "--no-progress"),
    )
    assert answer.returncode == 2
    assert "[reference-mismatch]" in answer.stderr
    assert "GRCh37" in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not on PATH")
def test_no_socket_is_opened(few, tmp_path):
    log = tmp_path / "strace.log"
    output = tmp_path / "s.tsv"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=network",
        "-o",
        str(log),
        str(COMMAND),
        "score",
        "--vcf",
        str(few),
    ]
    command += ["--reference", str(REFERENCE), "--output", str(output), "--no-progress"]
    clean = {key: value for key, value in os.environ.items() if key != "CI"}
    answer = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    assert answer.returncode == 0, answer.stderr
    assert output.exists()
    calls = [line for line in log.read_text().splitlines() if "(" in line and "socketpair(" not in line]
    # The guard's own probes ask for sockets and are refused; nothing else asks.
    assert calls, "the trace saw nothing, so it proves nothing"
    assert all("= -1 EPERM" in line or "= -1 ENOSYS" in line or "= ?" in line for line in calls), calls
