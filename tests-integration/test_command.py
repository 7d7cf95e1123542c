"""The command as a user runs it: in a process of its own, with the guard on."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.artifacts.manifest import Contract
from genolewm_core.genome.variant import Variant
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model
from genolewm_runtime.receipt import receipt_path
from genolewm_runtime.runtime import GenoLeWMRuntime

DEMO = Path(str(files("genolewm_mini"))) / "demo"
REFERENCE = DEMO / "reference.fa.gz"
COMMAND = Path(sys.executable).with_name("geno-lewm")
ONE = "chr21:25118121:T:C"
BANNER = "This is a research tool. Not a clinical diagnostic. If a variant concerns you, talk to a genetic counselor."


def environment():
    return {**{key: value for key, value in os.environ.items() if key != "CI"}, "COLUMNS": "120"}


def geno_lewm(*arguments, cwd=None):
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(),
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
    """Twelve records of the demo's VCF, in one cell."""
    target = tmp_path_factory.mktemp("few") / "few.vcf"
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        lines = source.readlines()
    header = [line for line in lines if line.startswith("#")]
    target.write_text("".join(header + lines[len(header) : len(header) + 12]))
    return target


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory):
    """A small random model whose contract reads both strands in three phases."""
    mini = ARCHITECTURES["mini"]
    contract = Contract(window_bp=6_144, cell_bp=3_072, state_layer=mini.n_layers - 2, strands="+-", phases=3)
    return write_model(tmp_path_factory.mktemp("wide"), mini, random_model(mini, seed=1), contract).path


def test_help_answers_quickly():
    # The best of five: on a busy machine single calls say more about the neighbours.
    times = []
    while len(times) < 5 and min(times, default=1) >= 0.5:
        started = time.perf_counter()
        answer = geno_lewm("--help")
        times.append(time.perf_counter() - started)
        assert answer.returncode == 0
        assert {"score", "demo", "train-mini", "export-graph"} <= set(answer.stdout.split())
    assert min(times) < 0.5, times


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom genolewm_core.umbrella import main\nsys.argv = ['geno-lewm', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'onnxruntime', 'polars', 'pysam', 'rich', 'onnx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


# A million bases take a minute or two on two cores, and several on a busy machine.
@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_demo(tmp_path):
    answer = geno_lewm("demo", "--output", tmp_path / "demo", "--no-progress")
    assert answer.returncode == 0, answer.stderr
    assert BANNER in answer.stderr
    assert "demonstration model" in answer.stderr
    assert BANNER in (tmp_path / "demo" / "report.html").read_text()
    assert "substitutions that move the state most" in answer.stdout
    assert answer.stdout.count("chr21:") == 10
    table = pl.read_parquet(tmp_path / "demo" / "scores.parquet")
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        records = [line.split("\t") for line in source if not line.startswith("#")]
    assert len(table) == sum(1 + record[4].count(",") for record in records)
    assert set(table["status"]) == {"scored"}
    receipt = json.loads(receipt_path(tmp_path / "demo" / "scores.parquet").read_text())
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
        assert json.loads(receipt_path(output).read_text())["backend"] == backend
        tables.append(pl.read_parquet(output))
    one, two = tables
    for name in ("marginal_llr", "delta_ll", "displacement"):
        assert (one[name] - two[name]).abs().max() <= 1e-4 * max(one[name].abs().max(), 1)


def test_one_variant_as_json():
    answer = geno_lewm("score", "--variant", ONE, "--reference", REFERENCE, "--json")
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
    assert json.loads(receipt_path(output).read_text())["guard"] == "seccomp"
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
    ("arguments", "code", "exit_code", "told"),
    [
        (["--variant", "chr21:25118121:T"], "variant-syntax", 2, ""),
        (["--variant", ONE, "--vcf", "x.vcf"], "config-invalid", 3, "either --vcf or --variant"),
        ([], "config-invalid", 3, "either --vcf or --variant"),
        (["--variant", ONE, "--jobs", "1"], "config-invalid", 3, "no --jobs with --variant"),
        (["--variant", ONE, "--fresh"], "config-invalid", 3, "no --fresh with --variant"),
        (["--variant", ONE, "--output", "s.tsv"], "config-invalid", 3, "no --output with --variant"),
        (["--vcf", "missing.vcf", "--output", "s.tsv"], "vcf-unreadable", 2, "missing.vcf"),
        (["--vcf", "missing.vcf", "--output", "s.docx"], "output-format", 3, ".docx"),
        (["--variant", ONE, "--model", "nowhere"], "manifest-invalid", 8, "nowhere"),
        (["--variant", ONE, "--heads", "risk"], "config-invalid", 3, "displacement, indel_displacement"),
        (["--variant", ONE, "--phases", "4"], "config-invalid", 3, "1, 2, 3 or 6"),
        (["--variant", ONE, "--backend", "abacus"], "backend-missing", 7, "onnx"),
    ],
)
def test_wrong_use_is_explained(arguments, code, exit_code, told, tmp_path):
    answer = geno_lewm("score", "--reference", REFERENCE, *arguments, cwd=tmp_path)
    assert answer.returncode == exit_code, answer.stderr
    assert f"[{code}]" in answer.stderr
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_cannot_be_read_is_no_fault_of_the_data():
    answer = geno_lewm("score", "--variant", ONE)
    assert answer.returncode == 3
    assert "--reference" in answer.stderr


def test_names_are_printed_as_they_are():
    answer = geno_lewm("score", "--variant", "[/x]:1:A:C", "--reference", REFERENCE)
    assert answer.returncode == 0, answer.stderr
    assert "[/x]:1" in answer.stdout
    assert "contig_not_in_reference" in answer.stdout


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/nope"])
def test_demo_says_when_its_folder_cannot_be_made(name, tmp_path):
    (tmp_path / "file").write_text("kept")
    answer = geno_lewm("demo", "--output", tmp_path / name, "--no-progress")
    assert answer.returncode == 4, answer.stderr
    assert "[output-unwritable]" in answer.stderr
    assert f"where: {tmp_path / name}" in answer.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_command_and_library_keep_the_models_contract(wide_model, few, tmp_path):
    arguments = ("--reference", REFERENCE, "--model", wide_model)
    answer = geno_lewm("score", "--variant", ONE, *arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    typed = json.loads(answer.stdout)
    runtime = GenoLeWMRuntime(wide_model, reference=REFERENCE, closed=False)
    called = runtime.score_variant(Variant.parse(ONE))
    for name, value in called.values.items():
        assert typed[name] == pytest.approx(np.float32(value), rel=1e-6)

    by_command, by_library = tmp_path / "command.parquet", tmp_path / "library.parquet"
    answer = geno_lewm("score", "--vcf", few, "--output", by_command, *arguments, "--no-progress")
    assert answer.returncode == 0, answer.stderr
    runtime.score_vcf(few, by_library)
    one, two = (json.loads(receipt_path(path).read_text()) for path in (by_command, by_library))
    assert one["options"] == two["options"]
    assert (one["options"]["both_strands"], one["options"]["phases"]) == (True, 3)
    assert pl.read_parquet(by_command).equals(pl.read_parquet(by_library))

    plain = geno_lewm("score", "--variant", ONE, *arguments, "--json", "--one-strand", "--phases", "1")
    assert json.loads(plain.stdout)["displacement"] != pytest.approx(typed["displacement"], rel=1e-3)


def test_an_interrupted_run_says_how_to_go_on(wide_model, tmp_path):
    output = tmp_path / "s.parquet"
    command = [COMMAND, "score", "--vcf", DEMO / "NA12878.vcf.gz", "--reference", REFERENCE]
    command += ["--model", wide_model, "--output", output, "--no-progress"]
    with subprocess.Popen(
        [*map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        # A shell that runs the tests in the background has interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".s.parquet.parts")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "run the same command again" in told
    assert told.endswith("geno-lewm: interrupted\n")
    assert not output.exists()


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
    answer = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert answer.returncode == 0, answer.stderr
    assert output.exists()
    # A strace older than cachestat(2) takes that call on files, number 451, for one of any kind.
    other = ("socketpair(", "syscall_0x1c3(")
    calls = [
        line
        for line in log.read_text().splitlines()
        if "(" in line and not any(name in line for name in other)
    ]
    # The guard's own probes ask for sockets and are refused; nothing else asks.
    assert calls, "the trace saw nothing, so it proves nothing"
    assert all("= -1 EPERM" in line or "= -1 ENOSYS" in line or "= ?" in line for line in calls), calls
