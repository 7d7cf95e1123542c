import hashlib
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import ConfigError, InputError, ProvenanceError, ResourceError
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row, read_rows
from genolewm_core.scoring.cells import Geometry
from genolewm_runtime import scoring
from genolewm_runtime.run import VcfRun, run_vcf
from genolewm_runtime.runtime import GenoLeWMRuntime, options_of
from genolewm_runtime.scoring import shards_of
from genolewm_runtime.writers import SCHEMA


def a_run(world, output, **changes):
    contract = ModelDirectory.open(world.model).manifest.contract
    return VcfRun(
        vcf=changes.pop("vcf", world.vcf),
        reference=world.reference,
        output=output,
        model=world.model,
        options=options_of(contract),
        backend="onnx",
        **changes,
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(scoring, "MAX_SHARD_CELLS", 2)


def test_every_row_is_accounted_for(world, tmp_path):
    summary = run_vcf(a_run(world, tmp_path / "scores.parquet"))
    table = pl.read_parquet(tmp_path / "scores.parquet")
    assert table.schema == pl.Schema(SCHEMA)
    rows = list(read_rows(world.vcf, Reference(world.reference)))
    assert table.select("row", "allele").rows() == [(r.row, r.allele) for r in rows]
    by_reason = dict(table.filter(pl.col("status") != "scored")["reason"].value_counts().iter_rows())
    assert by_reason == {
        "spanning_deletion": 1,
        "symbolic_allele": 1,
        "ref_mismatch": 1,
        "reference_n": 1,
        "no_alternate": 1,
        "iupac_allele": 1,
        "contig_not_in_reference": 1,
    }
    assert (
        summary.rows("scored") + summary.rows("skipped") + summary.rows("failed") == len(table) == len(rows)
    )
    assert summary.rows("failed") == 1
    receipt = json.loads(summary.receipt.read_text())
    assert receipt["rows"] == {status: summary.rows(status) for status in ("failed", "scored", "skipped")}
    assert receipt["reasons"] == by_reason
    assert list(tmp_path.iterdir()) != []
    assert not list(tmp_path.glob(".*")), "the folder of shards is gone"


def test_values_of_the_rows(world, tmp_path):
    run_vcf(a_run(world, tmp_path / "scores.parquet"))
    table = pl.read_parquet(tmp_path / "scores.parquet")
    same = table.filter(pl.col("source_pos") == 100).row(0, named=True)
    assert (same["marginal_llr"], same["delta_ll"], same["displacement"]) == (0.0, 0.0, 0.0)
    scored = table.filter(pl.col("status") == "scored")
    substitutions = scored.filter(pl.col("edit_class") == "substitution")
    assert substitutions["head"].unique().to_list() == ["displacement"]
    assert (substitutions["sigma_raw"] == substitutions["displacement"]).all()
    assert (substitutions["displacement"] > 0).all()
    assert substitutions["marginal_llr"].null_count() == 0
    shifted = scored.filter(pl.col("edit_class") == "indel_out_of_phase")
    assert shifted["head"].unique().to_list() == ["delta_ll"]
    assert shifted["displacement"].null_count() == len(shifted)
    repeat = table.filter(pl.col("source_pos") == 2_000).row(0, named=True)
    assert repeat["locus"] > repeat["pos"] + 3, "in a repeat the locus lies further right than pos"


def test_jobs_give_the_same_scores(world, tmp_path, small_shards):
    run_vcf(a_run(world, tmp_path / "one.parquet"))
    run_vcf(a_run(world, tmp_path / "two.parquet", jobs=2))
    one, two = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    keys = [name for name in SCHEMA if SCHEMA[name] != pl.Float32]
    assert one.select(keys).equals(two.select(keys))
    for name in ("delta_ll", "displacement", "marginal_llr"):
        assert (one[name] - two[name]).abs().max() < 1e-4


def test_a_run_that_was_cut_off_goes_on(world, tmp_path, small_shards):
    whole = tmp_path / "whole.parquet"
    run_vcf(a_run(world, whole))
    cut = tmp_path / "cut.parquet"
    seen = []

    def stop(outcome):
        seen.append(outcome)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, cut), on_shard=stop)
    assert not cut.exists()
    summary = run_vcf(a_run(world, cut))
    assert summary.resumed_shards == 2
    assert pl.read_parquet(cut).equals(pl.read_parquet(whole))
    assert sha256(cut) == sha256(whole)
    counts = json.loads(summary.receipt.read_text())
    assert counts["rows"] == json.loads((tmp_path / "whole.parquet.receipt.json").read_text())["rows"]


def test_another_runs_shards_are_not_taken(world, tmp_path, small_shards):
    output = tmp_path / "scores.parquet"

    def stop(outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output), on_shard=stop)
    other = tmp_path / "other.vcf"
    other.write_text(world.vcf.read_text().replace("chrUn\t10", "chrUn\t11"))
    with pytest.raises(ConfigError) as caught:
        run_vcf(a_run(world, output, vcf=other))
    assert caught.value.code == "resume-conflict"
    assert run_vcf(a_run(world, output, vcf=other, fresh=True)).resumed_shards == 0


def stop_after(n):
    """A callback that ends a run, as a signal would, after some shards."""
    seen = []

    def stop(outcome):
        seen.append(outcome)
        if len(seen) == n:
            raise KeyboardInterrupt

    return stop


def test_fresh_starts_anew_and_can_be_gone_on_with(world, tmp_path, small_shards):
    output = tmp_path / "scores.parquet"
    run_vcf(a_run(world, output))
    before = sha256(output)
    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output, fresh=True), on_shard=stop_after(2))
    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output, fresh=True), on_shard=stop_after(1))
    assert sha256(output) == before, "the old output stays until the new one is whole"
    assert run_vcf(a_run(world, output)).resumed_shards == 1
    assert sha256(output) == before
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_shard_is_scored_again(world, tmp_path, small_shards):
    output = tmp_path / "scores.parquet"
    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output), on_shard=stop_after(3))
    shard = tmp_path / ".scores.parquet.parts" / "000001.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    assert run_vcf(a_run(world, output)).resumed_shards == 2
    run_vcf(a_run(world, tmp_path / "whole.parquet"))
    assert sha256(output) == sha256(tmp_path / "whole.parquet")


def test_cut_off_after_publishing_the_run_still_ends(world, tmp_path, small_shards, monkeypatch):
    output = tmp_path / "scores.parquet"

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("genolewm_runtime.parts.Parts.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            run_vcf(a_run(world, output))
    assert output.exists()
    summary = run_vcf(a_run(world, output))
    assert summary.receipt.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_was_only_just_made_is_no_conflict(world, tmp_path):
    (tmp_path / ".scores.parquet.parts").mkdir()
    assert run_vcf(a_run(world, tmp_path / "scores.parquet")).resumed_shards == 0


def test_another_reference_is_another_run(world, tmp_path, small_shards):
    reference = tmp_path / "reference.fa"
    shutil.copy(world.reference, reference)
    output = tmp_path / "scores.parquet"
    changed = replace(a_run(world, output), reference=reference)
    with pytest.raises(KeyboardInterrupt):
        run_vcf(changed, on_shard=stop_after(1))
    os.utime(reference, ns=(1, 1))
    with pytest.raises(ConfigError) as caught:
        run_vcf(changed)
    assert caught.value.code == "resume-conflict"


def test_two_runs_do_not_share_an_output(world, tmp_path, small_shards):
    output = tmp_path / "scores.parquet"

    def second(outcome):
        with pytest.raises(ResourceError) as caught:
            run_vcf(a_run(world, output))
        assert caught.value.code == "output-busy"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output), on_shard=second)


@pytest.mark.parametrize("name", ["run[1]", "a*b", "[x]"])
@pytest.mark.parametrize("ending", ["parquet", "tsv"])
def test_names_that_look_like_patterns(world, tmp_path, name, ending):
    (tmp_path / name).mkdir()
    output = tmp_path / name / f"{name}.{ending}"
    summary = run_vcf(a_run(world, output))
    lines = (
        pl.read_parquet(output, glob=False) if ending == "parquet" else output.read_text().splitlines()[1:]
    )
    assert len(lines) == sum(summary.counts.values()) > 60


def test_two_outputs_of_one_stem_have_two_receipts(world, tmp_path):
    run_vcf(a_run(world, tmp_path / "d.parquet"))
    run_vcf(a_run(world, tmp_path / "d.tsv"))
    assert {p.name for p in tmp_path.iterdir()} == {
        *("d.parquet", "d.parquet.receipt.json", "d.tsv", "d.tsv.receipt.json")
    }


def test_a_full_disk_is_a_clean_error(world, tmp_path):
    # A limit on the size of files stands in for a full disk: the system refuses the write.
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from genolewm_core.umbrella import main\nmain()"
    )
    command = [sys.executable, "-c", code, "score", "--vcf", world.vcf, "--reference", world.reference]
    command += ["--model", world.model, "--output", tmp_path / "s.parquet", "--no-progress"]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert answer.returncode == 4, answer.stderr
    assert "[output-unwritable]" in answer.stderr
    assert not (tmp_path / "s.parquet").exists()


def test_a_worker_that_dies_is_named(world, tmp_path, small_shards):
    output = tmp_path / "s.parquet"

    def kill_workers(outcome):
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(ResourceError) as caught:
        run_vcf(a_run(world, output, jobs=2), on_shard=kill_workers)
    assert caught.value.code == "worker-ended"
    assert run_vcf(a_run(world, output, jobs=2)).resumed_shards > 0


def test_an_unsorted_vcf_does_not_gather_in_one_shard(monkeypatch):
    monkeypatch.setattr(scoring, "MAX_SHARD_ROWS", 10)
    falling = rows_at(*(("1", 100_000 - i, 100_000 - i - 1) for i in range(95)))
    assert [len(shard.rows) for shard in shards_of(falling, Geometry())] == [40, 40, 15]


def test_edits_without_the_asked_score_are_skipped(world, tmp_path):
    contract = ModelDirectory.open(world.model).manifest.contract
    run = replace(a_run(world, tmp_path / "s.parquet"), options=options_of(contract, heads=("marginal_llr",)))
    run_vcf(run)
    table = pl.read_parquet(run.output)
    indels = table.filter(pl.col("edit_class").is_in(["indel_in_phase", "indel_out_of_phase"]))
    assert set(indels.select("status", "reason").rows()) == {("skipped", "score_undefined")}
    same = table.filter(pl.col("source_pos") == 100).row(0, named=True)
    assert (same["marginal_llr"], same["delta_ll"], same["head"]) == (0.0, None, None)


def test_an_existing_output_is_not_touched(world, tmp_path):
    output = tmp_path / "scores.tsv"
    output.write_text("mine")
    with pytest.raises(ConfigError) as caught:
        run_vcf(a_run(world, output))
    assert caught.value.code == "output-exists"
    assert output.read_text() == "mine"
    run_vcf(a_run(world, output, fresh=True))
    assert output.read_text().startswith("row\tallele\t")


def test_tsv_holds_the_same_table(world, tmp_path):
    run_vcf(a_run(world, tmp_path / "a.parquet"))
    run_vcf(a_run(world, tmp_path / "b.tsv"))
    tsv = pl.read_csv(tmp_path / "b.tsv", separator="\t", schema=pl.Schema(SCHEMA))
    assert tsv.equals(pl.read_parquet(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("scores.xlsx", ConfigError, "output-format"),
        ("scores", ConfigError, "output-format"),
        ("nowhere/scores.tsv", ResourceError, "output-unwritable"),
    ],
)
def test_outputs_that_cannot_be(world, tmp_path, name, error, code):
    with pytest.raises(error) as caught:
        run_vcf(a_run(world, tmp_path / name))
    assert caught.value.code == code


def test_another_assembly_stops_the_run(world, tmp_path):
    def moved_line(line):
        if line.startswith("#"):
            return line
        chrom, pos, *rest = line.split("\t")
        return "\t".join([chrom, str(int(pos) + 7), *rest])

    shift = "".join(map(moved_line, world.vcf.read_text().splitlines(keepends=True)))
    moved = tmp_path / "moved.vcf"
    moved.write_text(shift)
    with pytest.raises(InputError) as caught:
        run_vcf(a_run(world, tmp_path / "scores.parquet", vcf=moved))
    assert caught.value.code == "reference-mismatch"


def test_a_changed_weight_is_refused(world, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(world.model, copy)
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-5] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    with pytest.raises(ProvenanceError) as caught:
        GenoLeWMRuntime(copy, backend="onnx", closed=False)
    assert caught.value.code == "artifact-digest"


def rows_at(*places):
    """Rows with (contig, pos, locus); no locus for rows that are skipped."""
    return [
        Row(
            number,
            1,
            contig,
            pos,
            "A",
            "C",
            "scorable" if locus else "skipped",
            contig=contig,
            replacement=Replacement(locus, locus + 1, "C") if locus else None,
        )
        for number, (contig, pos, locus) in enumerate(places, 1)
    ]


@pytest.mark.parametrize(
    ("places", "sizes"),
    [
        ([("1", 100, 99), ("1", 1_300, 1_299), ("1", 2_500, 2_499)], [1, 1, 1]),
        ([("1", 100, 99), ("1", 200, 199), ("1", 1_300, 1_299)], [2, 1]),
        # An indel whose locus lies in the next cell keeps that cell's rows with it.
        ([("1", 1_190, 1_205), ("1", 1_300, 1_299), ("1", 2_500, 2_499)], [2, 1]),
        ([("1", 100, 99), ("2", 100, 99), ("2", 200, 199)], [1, 2]),
        ([("1", 100, None), ("1", 200, None)], [2]),
        ([], []),
    ],
)
def test_shards_are_cut_between_cells(monkeypatch, places, sizes):
    monkeypatch.setattr(scoring, "MAX_SHARD_CELLS", 1)
    shards = list(shards_of(rows_at(*places), Geometry(6_144, 1_200)))
    assert [len(shard.rows) for shard in shards] == sizes
    assert [row.row for shard in shards for row in shard.rows] == list(range(1, len(places) + 1))


def test_score_variant_equals_the_file(world, tmp_path):
    runtime = GenoLeWMRuntime(world.model, backend="onnx", reference=world.reference, closed=False)
    run_vcf(a_run(world, tmp_path / "scores.parquet"))
    row = (
        pl.read_parquet(tmp_path / "scores.parquet")
        .filter(pl.col("edit_class") == "substitution")
        .row(3, named=True)
    )
    from genolewm_core.genome.variant import Variant

    alone = runtime.score_variant(Variant(row["chrom"], row["pos"], row["ref"], row["alt"]))
    assert alone.status == "scored"
    for name in ("marginal_llr", "delta_ll", "displacement"):
        assert alone.values[name] == pytest.approx(row[name], rel=2e-4, abs=2e-5)


def test_encode_window(world):
    import numpy as np

    runtime = GenoLeWMRuntime(world.model, backend="onnx", closed=False)
    window = world.bases[:600]
    state = runtime.encode_window(window, 300)
    assert state.shape == (256,)
    assert np.linalg.norm(state) == pytest.approx(1.0, rel=1e-6)
    # Causal: what lies right of the span cannot move the state.
    assert np.array_equal(state, runtime.encode_window(window[:330] + "ACGTAC" * 45, 300))
    with pytest.raises(InputError):
        runtime.encode_window("ACGTA")
    with pytest.raises(InputError):
        runtime.encode_window(window, 600)


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ("output", ConfigError, "output-exists"),
        ("folder in the way", ResourceError, "output-unwritable"),
        ("receipt is a folder", ResourceError, "output-unwritable"),
        ("parts is a file", ResourceError, "output-unwritable"),
    ],
)
def test_what_would_fail_after_hours_fails_before_the_vcf_is_read(world, tmp_path, change, error, code):
    output = tmp_path / "s.parquet"
    if change == "output":
        output.write_text("mine")
    elif change == "folder in the way":
        output.mkdir()
    elif change == "receipt is a folder":
        (tmp_path / "s.parquet.receipt.json").mkdir()
    else:
        (tmp_path / ".s.parquet.parts").write_text("mine")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error) as caught:
        run_vcf(a_run(world, output, vcf=tmp_path / "missing.vcf"))
    assert caught.value.code == code
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("ending", ["parquet", "vcf.gz"])
def test_an_unsorted_vcf_is_refused_only_where_an_index_is_needed(world, tmp_path, ending):
    lines = world.vcf.read_text().splitlines(keepends=True)
    unsorted = tmp_path / "unsorted.vcf"
    unsorted.write_text("".join([*lines[:4], lines[6], lines[4], lines[5]]))
    run = a_run(world, tmp_path / f"s.{ending}", vcf=unsorted)
    if ending == "parquet":
        assert sum(run_vcf(run).counts.values()) >= 3
        return
    with pytest.raises(InputError) as caught:
        run_vcf(run, on_survey=lambda _: pytest.fail("it goes on"))
    assert caught.value.code == "vcf-unsorted"
    assert "bcftools sort" in caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["unsorted.vcf"]


def test_a_stream_is_scored_like_the_file(world, tmp_path):
    run_vcf(a_run(world, tmp_path / "file.parquet"))
    run_vcf(a_run(world, tmp_path / "stream.parquet", vcf=io.BytesIO(world.vcf.read_bytes())))
    assert sha256(tmp_path / "stream.parquet") == sha256(tmp_path / "file.parquet")


def test_a_file_that_came_between_is_not_replaced(world, tmp_path, small_shards):
    output = tmp_path / "s.parquet"
    with pytest.raises(KeyboardInterrupt):
        run_vcf(a_run(world, output), on_shard=stop_after(2))
    output.write_text("mine")
    with pytest.raises(ConfigError) as caught:
        run_vcf(a_run(world, output))
    assert caught.value.code == "output-exists"
    assert output.read_text() == "mine"
    output.unlink()
    assert run_vcf(a_run(world, output)).resumed_shards == 2


def test_an_index_of_another_file_does_not_stay(world, tmp_path):
    output = tmp_path / "s.vcf.gz"
    (tmp_path / "s.vcf.gz.csi").write_text("of another file")
    run_vcf(a_run(world, output))
    assert {path.name for path in tmp_path.iterdir()} == {
        *("s.vcf.gz", "s.vcf.gz.tbi", "s.vcf.gz.receipt.json")
    }
