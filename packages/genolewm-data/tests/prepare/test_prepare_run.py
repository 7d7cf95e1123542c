"""Runs: one or several processes, with and without an index, cut off, repeated, refused."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from genolewm_core.errors import ConfigError, InputError, ResourceError
from genolewm_data.prepare import run as run_module
from genolewm_data.prepare.command import prepare
from genolewm_data.prepare.make import clinvar_shard, gnomad_shard
from genolewm_data.prepare.shard import PartWriter, read_part, read_shard_info, schema_of

from .release_headers import V4, clinvar_header, gnomad_header, text_of

_REVIEWED = "CLNREVSTAT=criteria_provided,_single_submitter"
_KILLED = """
import os, sys
from pathlib import Path
from genolewm_core.artifacts import atomic
from genolewm_data.prepare import pieces, run
n = int(sys.argv[3])
def dying(write):
    def inner(*given, **named):
        global n
        n -= 1
        if n < 0:
            os.kill(os.getpid(), 9)
        return write(*given, **named)
    return inner
pieces.write_atomic = dying(pieces.write_atomic)
run.write_atomic = dying(run.write_atomic)
run.join = dying(run.join)
run.shutil.rmtree = dying(run.shutil.rmtree)
from genolewm_data.prepare.make import clinvar_shard
clinvar_shard([Path(sys.argv[1])], "2024-05-02", Path(sys.argv[2]))
"""


def _clinvar_records(contigs=("1", "2", "10", "X", "MT"), n=40):
    return [
        f"{contig} {100 + 3 * i} {i} {'ACGT'[i % 4]} {'CGTA'[i % 4]} . . CLNSIG=Benign;{_REVIEWED}"
        for contig in contigs
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("jobs", "n_bytes", "cpus", "workers"),
    [(1, 10**10, 16, 1), (4, 10**10, 16, 4), (8, 10**10, 8, 4), (4, 10**10, 2, 1), (4, 10**10, 1, 1)]
    + [(4, n << 20, 16, workers) for n, workers in ((0, 1), (32, 1), (33, 2), (65, 3), (1000, 4))],
)
def test_no_more_processes_than_are_of_use(jobs, n_bytes, cpus, workers):
    assert run_module._worth(jobs, n_bytes, cpus) == workers


def test_processes_and_indexes_do_not_change_a_byte(write, tmp_path, monkeypatch):
    vcf = write(clinvar_header(), _clinvar_records(), "in.vcf.gz")
    one, info = clinvar_shard([vcf], "2024-05-02", tmp_path / "one")
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "_worth", lambda jobs, n_bytes, cpus: jobs)
        two, _ = clinvar_shard([vcf], "2024-05-02", tmp_path / "two", jobs=2)
    assert one.read_bytes() == two.read_bytes()
    Path(f"{vcf}.tbi").unlink()
    whole, _ = clinvar_shard([vcf], "2024-05-02", tmp_path / "whole")
    assert whole.read_bytes() == one.read_bytes()
    assert pl.read_parquet(one)["chrom"].unique(maintain_order=True).to_list() == ["1", "2", "10", "X", "MT"]
    assert info.sources[0].sha256 == hashlib.sha256(vcf.read_bytes()).hexdigest()
    assert [path.name for path in one.parent.iterdir()] == ["variants.parquet"]  # nothing is left behind


@pytest.mark.parametrize("after", [3, 7, 8])
def test_a_killed_run_goes_on_to_the_same_bytes(write, tmp_path, after):
    vcf = write(clinvar_header(), _clinvar_records(), "in.vcf.gz")
    whole, _ = clinvar_shard([vcf], "2024-05-02", tmp_path / "whole")
    command = [sys.executable, "-c", _KILLED, str(vcf), str(tmp_path / "killed"), str(after)]
    done = subprocess.run(command, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "killed" / "clinvar" / "2024-05-02"
    finished = {path: path.stat().st_mtime_ns for path in folder.glob(".variants.parquet.parts/*.json")}
    assert len(finished) == min(after, 6)  # run.json, and each contig that was done
    seen = []
    path, _ = clinvar_shard(
        [vcf], "2024-05-02", tmp_path / "killed", on_part=lambda done, of: seen.append(done)
    )
    assert path.read_bytes() == whole.read_bytes()
    assert len(seen) == 1 + 5 - (len(finished) - 1)  # only the contigs that were not done are done
    assert [path.name for path in folder.iterdir()] == ["variants.parquet"]


def test_an_unfinished_run_of_other_inputs_is_in_the_way(write, tmp_path, monkeypatch):
    vcf = write(clinvar_header(), _clinvar_records(), "in.vcf.gz")

    def failing(*_):
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "join", failing)
        with pytest.raises(ResourceError, match="output-unwritable"):
            clinvar_shard([vcf], "2024-05-02", tmp_path)
    other = write(clinvar_header(), _clinvar_records(n=3), "other.vcf.gz")
    with pytest.raises(ConfigError, match="resume-conflict"):
        clinvar_shard([other], "2024-05-02", tmp_path)
    path, info = clinvar_shard([other], "2024-05-02", tmp_path, fresh=True)
    assert info.records == 15
    with pytest.raises(ConfigError, match="output-exists"):
        clinvar_shard([other], "2024-05-02", tmp_path)
    assert read_shard_info(path) == info


def test_two_runs_do_not_write_one_output(write, tmp_path, monkeypatch):
    vcf = write(clinvar_header(), _clinvar_records(n=2), "in.vcf.gz")
    join = run_module.join

    def meanwhile(*given):
        with pytest.raises(ResourceError, match="output-busy"):
            clinvar_shard([vcf], "2024-05-02", tmp_path)
        join(*given)

    monkeypatch.setattr(run_module, "join", meanwhile)
    clinvar_shard([vcf], "2024-05-02", tmp_path)


def test_a_release_by_chromosome_is_one_shard(write, tmp_path):
    first = write(gnomad_header(), ["chr1 100 . A G . PASS AF=0.5"], "chr1.vcf.gz")
    second = write(gnomad_header(), ["chr2 100 . A G . PASS AF=0.5"], "chr2.vcf")
    path, info = gnomad_shard([second, first], "v4.0", tmp_path)
    assert pl.read_parquet(path)["chrom"].to_list() == ["chr1", "chr2"]
    assert [source.name for source in info.sources] == ["chr2.vcf", "chr1.vcf.gz"]
    with pytest.raises(ConfigError, match="more than one file"):
        gnomad_shard([first, write(gnomad_header(), ["chr1 9 . A G . PASS AF=0.5"])], "v4.0", tmp_path / "b")


BAD = [
    ("vcf-unsorted", "1 100 . A G . . x\n1 99 . A G . . x\n"),
    ("vcf-unsorted", "1 100 . A G . . x\n2 99 . A G . . x\n1 101 . A G . . x\n"),
    ("vcf-unreadable", "1 100 . A G . .\n"),
    ("vcf-unreadable", "1 a . A G . . x\n"),
    ("vcf-unreadable", "1 100 . A G . . x\n1 10"),
    ("vcf-unreadable", "1 100 A G\n"),
]


@pytest.mark.parametrize(("code", "records"), BAD)
def test_a_malformed_file_is_refused(tmp_path, code, records):
    path = tmp_path / "in.vcf"
    path.write_text(text_of(clinvar_header(), []) + records.replace(" ", "\t"))
    with pytest.raises(InputError) as caught:
        clinvar_shard([path], "2024-05-02", tmp_path)
    assert caught.value.code == code
    assert not list(tmp_path.rglob("*.parquet"))


def test_windows_line_ends_empty_lines_and_genotypes_do_no_harm(tmp_path, write):
    records = [f"{record} GT 0/1" for record in _clinvar_records(("1",), 5)]
    plain, _ = clinvar_shard([write(clinvar_header(), _clinvar_records(("1",), 5))], "2024-05-02", tmp_path)
    path = tmp_path / "odd.vcf"
    path.write_bytes((text_of(clinvar_header(), records) + "\n\n").replace("\n", "\r\n").encode())
    odd, info = clinvar_shard([path], "2024-05-02", tmp_path / "odd")
    assert pl.read_parquet(odd).equals(pl.read_parquet(plain))
    assert info.records == 5


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "index of another file", "old index", "no index at all"]
)
def test_damaged_files_and_indexes_are_refused(write, tmp_path, damage):
    vcf = write(clinvar_header(), _clinvar_records(n=4000), "in.vcf.gz")
    data, index = vcf.read_bytes(), Path(f"{vcf}.tbi")
    if damage == "cut":
        vcf.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        middle = len(data) // 2
        vcf.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    elif damage == "index of another file":
        other = write(clinvar_header(), _clinvar_records(("1", "2"), n=4000), "other.vcf.gz")
        index.write_bytes(Path(f"{other}.tbi").read_bytes())
    elif damage == "old index":
        os.utime(index, (time.time() - 3600,) * 2)
    else:
        index.write_bytes(b"nothing")
    with pytest.raises(InputError, match="vcf-unreadable"):
        clinvar_shard([vcf], "2024-05-02", tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_rows_are_sorted_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("genolewm_data.prepare.shard._PENDING", 10)
    monkeypatch.setattr("genolewm_data.prepare.shard._ROW_GROUP", 7)
    monkeypatch.setattr("genolewm_data.prepare.shard.HOLD_BP", 50)
    counts: Counter[str] = Counter()
    writer = PartWriter(
        tmp_path / "x.arrow",
        schema_of([pa.field("v", pa.int64())]),
        "1",
        lambda a, b: (a, "duplicate"),
        counts,
    )
    pos = []
    for record in range(1000, 3000, 10):
        pos += [record, record - 50, record - 1]
        rows = pl.DataFrame({"pos": pos[-3:], "ref": "A", "alt": "C", "v": record})
        writer.add(rows, record)
    writer.close()
    assert read_part(tmp_path / "x.arrow")["pos"].to_pylist() == sorted(set(pos))
    assert counts == {"kept": len(set(pos)), "duplicate": len(pos) - len(set(pos))}


def test_each_spelling_comes_once_and_no_row_is_lost(tmp_path):
    drawn = random.Random(7)
    rows = [
        (drawn.randrange(9), drawn.choice("AC"), drawn.choice("GT"), drawn.choice([None, 1]))
        for _ in range(60)
    ]
    counts: Counter[str] = Counter()
    schema = schema_of([pa.field("v", pa.int64())])

    def merge(first, second):
        return (*first[:3], (first[3] or 0) + (second[3] or 0)), "duplicate"

    writer = PartWriter(tmp_path / "x.arrow", schema, "1", merge, counts)
    writer.add(pl.DataFrame(rows, ["pos", "ref", "alt", "v"], orient="row"), 100)
    writer.close()
    expected = {}
    for *spelling, v in rows:
        key = tuple(spelling)
        expected[key] = (expected[key] or 0) + (v or 0) if key in expected else v
    found = [tuple(row.values())[1:] for row in read_part(tmp_path / "x.arrow").to_pylist()]
    assert found == [(*key, expected[key]) for key in sorted(expected)]
    assert counts == {"kept": len(expected), "duplicate": 60 - len(expected)}


@pytest.mark.parametrize("release", ["2024-5-2", "may", "2024-13-01"])
def test_a_release_that_is_no_date_is_refused(write, tmp_path, release):
    vcf = write(clinvar_header(), [])
    arguments = ["clinvar", "--input-vcf", str(vcf), "--release", release, "--output", str(tmp_path)]
    done = CliRunner().invoke(prepare, arguments)
    assert isinstance(done.exception, ConfigError)


def test_the_commands_say_what_became_of_the_rows(write, tmp_path):
    records = ["chr1 100 . A G . PASS AF=0.5", "chr1 200 . A G . PASS AF=0.001"]
    vcf = write(gnomad_header((*V4, "xyz")), records)
    arguments = ["gnomad", "--input-vcf", str(vcf), "--release", "v4.1", "--output", str(tmp_path)]
    done = CliRunner().invoke(prepare, [*arguments, "--no-progress"])
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line.split()[-1] for line in done.output.splitlines()}
    assert (lines["kept"], lines["below_min_af"]) == ("1", "1")
    assert "warning" not in done.stderr
    assert "'xyz'" in done.output
    meta = pq.read_schema(tmp_path / "gnomad" / "v4.1" / "variants.parquet").metadata
    assert b'"unknown_populations":["xyz"]' in meta[b"genolewm"]


@pytest.mark.parametrize(
    ("kind", "release", "header", "records", "why"),
    [
        (
            "gnomad",
            "v4.1",
            gnomad_header(V4),
            ["chr1 1 . A G . PASS AF=0.001", "chr1 2 . A G . AC0 AF=0.5", "chr1 3 . A G . AC0 AF=0.5"],
            "2 of 3 rows are not_pass",
        ),
        ("clinvar", "2024-05-02", clinvar_header(), ["1 1 . A <DEL> . . CLNSIG=Benign"], "symbolic_allele"),
        ("gnomad", "v4.1", gnomad_header(V4), [], "no records"),
    ],
)
def test_an_empty_shard_is_told(write, tmp_path, kind, release, header, records, why):
    vcf = write(header, records)
    arguments = [kind, "--input-vcf", str(vcf), "--release", release, "--output", str(tmp_path)]
    done = CliRunner().invoke(prepare, [*arguments, "--no-progress"])
    assert done.exit_code == 0, done.output
    assert ["kept", "0"] in [line.split() for line in done.stdout.splitlines()]
    assert "warning: nothing was kept" in done.stderr
    assert why in done.stderr


def test_a_shard_of_another_program_or_of_a_later_version_is_refused(write, tmp_path):
    path, info = clinvar_shard([write(clinvar_header(), [])], "2024-05-02", tmp_path)
    assert info.rows == {}
    assert pl.read_parquet(path).height == 0
    table = pq.read_table(path)
    for metadata in (
        {},
        {b"genolewm": b'{"kind":"clinvar"}'},
        {b"genolewm": info.to_json().replace(b"1.0.0", b"2.0.0")},
    ):
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "other.parquet")
        with pytest.raises(InputError, match="training-data-missing"):
            read_shard_info(tmp_path / "other.parquet")
