"""`geno-lewm score-cohort` as a user runs it: guarded, equal to `score`, stopped and taken up, on Ray by consent."""

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genolewm_runtime.models import demo_directory
from genolewm_runtime.receipt import receipt_path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("geno-lewm")
DEMO = demo_directory()
LINES = re.findall(r"^geno-lewm .*$", (ROOT / "docs" / "cohort.md").read_text(), flags=re.MULTILINE)


def geno_lewm(*arguments, cwd=None):
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as in the documentation, with a few records of the demo's genome for each member of a family."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "GRCh38.fa").symlink_to(DEMO / "reference.fa.gz")
    for index in ("fai", "gzi"):
        (folder / f"GRCh38.fa.{index}").symlink_to(DEMO / f"reference.fa.gz.{index}")
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        lines = source.readlines()
    records = [line for line in lines if not line.startswith("#")]
    head = [line for line in lines if line.startswith("#")]
    (folder / "calls").mkdir()
    for number, name in enumerate(("mother", "father")):
        with gzip.open(folder / "calls" / f"{name}.vcf.gz", "wt") as out:
            out.writelines(head + records[8 * number : 8 * number + 8])
    (folder / "family.tsv").write_text("# name\tpath\nm\tcalls/mother.vcf.gz\nf\tcalls/father.vcf.gz\n")
    return folder


@pytest.fixture(scope="module")
def alone(place):
    """The tables that `score` makes of the same VCFs."""
    for name in ("mother", "father"):
        arguments = shlex.split(f"score --vcf calls/{name}.vcf.gz --reference GRCh38.fa --output {name}.tsv")
        answer = geno_lewm(*arguments, "--no-progress", cwd=place)
        assert answer.returncode == 0, answer.stderr
    return {name: (place / f"{name}.tsv").read_bytes() for name in ("mother", "father")}


@pytest.mark.parametrize("line", [line for line in LINES if "--cluster" not in line])
def test_commands_of_the_page_run_with_the_network_closed(line, place):
    answer = geno_lewm(*shlex.split(line)[1:], cwd=place)
    assert answer.returncode == 0, answer.stderr
    arguments = shlex.split(line)
    folder = place / arguments[arguments.index("--output") + 1]
    about = json.loads((folder / "cohort.json").read_text())
    assert about["vcfs"]["scored"] == 2
    for sample in about["samples"]:
        receipt = json.loads(receipt_path(folder / sample["output"]).read_text())
        assert receipt["guard"] == "seccomp"
        assert receipt["rows"] == {"scored": sample["rows"]["scored"]}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cohort_has_the_bytes_of_score(jobs, place, alone, tmp_path):
    arguments = ["--vcf", "calls", "--reference", "GRCh38.fa", "--format", "tsv", "--jobs", jobs]
    answer = geno_lewm("score-cohort", *arguments, "--output", tmp_path, cwd=place)
    assert answer.returncode == 0, answer.stderr
    assert {name: (tmp_path / f"{name}.tsv").read_bytes() for name in alone} == alone
    again = geno_lewm("score-cohort", *arguments, "--output", tmp_path, cwd=place)
    assert "2 finished by an earlier run, 0 to score" in again.stderr


def test_a_bad_vcf_decides_the_exit_code(place, tmp_path):
    bad = tmp_path / "bad.vcf"
    bad.write_text("chr1:1737913:A:T\n")
    answer = geno_lewm(
        *("score-cohort", "--vcf", bad, "--vcf", place / "calls" / "mother.vcf.gz"),
        *("--reference", place / "GRCh38.fa", "--output", tmp_path / "out", "--no-progress"),
    )
    assert answer.returncode == 2
    assert "[vcf-unreadable]" in answer.stderr
    assert "1737913" not in answer.stderr
    assert (tmp_path / "out" / "mother.parquet").exists()


def alive(session):
    """Processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_ctrl_c_says_how_to_go_on(place, tmp_path):
    vcfs = ("--vcf", DEMO / "NA12878.vcf.gz", "--vcf", place / "calls" / "father.vcf.gz")
    paths = ("--reference", place / "GRCh38.fa", "--output", tmp_path)
    process = subprocess.Popen(
        [COMMAND, "score-cohort", *vcfs, *paths, "--jobs", "2", "--no-progress"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not (tmp_path / ".NA12878.parquet.parts" / "run.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert len(alive(process.pid)) >= 3
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on from there" in told
    assert "Traceback" not in told
    assert json.loads((tmp_path / "cohort.json").read_text())["vcfs"]["unfinished"] >= 1
    until = time.monotonic() + 10
    while alive(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(process.pid) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_canary_is_found_outside_the_tables(jobs, place, tmp_path):
    """Every kind of row, and a VCF that is none: what is not a table holds no allele, place or sample of them."""
    with gzip.open(DEMO / "NA12878.vcf.gz", "rt") as source:
        record = next(line for line in source if not line.startswith("#")).split("\t")
    pos, ref, alt = int(record[1]), record[3], record[4]
    insertion = "GATTACAGGCATTCGACC"
    rows = [(pos, ref, alt), (pos, ref, ref + insertion), (pos + 1, "<DEL>", "A"), (pos, insertion[:3], "A")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tCANARYSAMPLE\n"
        + "".join(f"chr21\t{p}\trs987654321\t{r}\t{a}\t9\tPASS\tDP=1\tGT\t0|1\n" for p, r, a in rows)
    )
    (tmp_path / "in" / "two.vcf").write_text(f"chr21\t{pos}\t{insertion}\tCANARYSAMPLE\n")
    out = tmp_path / "out"
    answer = geno_lewm(
        *("score-cohort", "--vcf", tmp_path / "in", "--reference", place / "GRCh38.fa", "--output", out),
        *("--jobs", jobs, "--format", "tsv", "--log-level", "debug", "--log-file", tmp_path / "run.log"),
    )
    assert answer.returncode == 2
    needles = [str(pos), str(pos + 1), insertion, "CANARYSAMPLE", "rs987654321"]
    others = [path for path in out.rglob("*") if path.is_file() and path.name != "one.tsv"]
    assert {path.name for path in others} == {
        "one.tsv.receipt.json",
        "cohort.json",
        "one.tsv.json",
        "two.tsv.json",
    }
    for text in [
        answer.stdout,
        answer.stderr,
        *(path.read_text() for path in [*others, tmp_path / "run.log"]),
    ]:
        assert not [needle for needle in needles if needle in text]
    assert all(needle in (out / "one.tsv").read_text() for needle in needles[:1] + needles[2:3])
    events = [json.loads(line)["event"] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert events[0] == "started"
    assert events[-2:] == ["cohort_accounted", "ended"]


@pytest.mark.parametrize(
    "options",
    [["--cluster", "local"], ["--consent-cluster"], ["--cluster", "local", "--allow-unenforced-guard"]],
)
def test_a_cluster_needs_consent(options, place, tmp_path):
    answer = geno_lewm(
        *("score-cohort", "--vcf", place / "calls", "--reference", place / "GRCh38.fa"),
        *("--output", tmp_path / "out", *options),
    )
    assert answer.returncode == 3
    assert "[config-invalid]" in answer.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ray_makes_the_same_tables_and_receipts_say_so(place, alone):
    pytest.importorskip("ray")
    (line,) = [line for line in LINES if "--cluster" in line]
    answer = geno_lewm(*shlex.split(line)[1:], "--format", "tsv", "--no-progress", cwd=place)
    assert answer.returncode == 0, answer.stderr
    folder = place / "scores-ray"
    assert {name: (folder / f"{name}.tsv").read_bytes() for name in alone} == alone
    for name in alone:
        receipt = json.loads(receipt_path(folder / f"{name}.tsv").read_text())
        assert receipt["guard"] == "none"
        assert receipt["cluster"] == {"consent": True, "given": "option", "local": True}
