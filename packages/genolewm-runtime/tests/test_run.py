import hashlib
import json

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
    assert counts["rows"] == json.loads((tmp_path / "whole.receipt.json").read_text())["rows"]


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
        chrom, pos, *rest = line.split("\t")
        return line if line.startswith("#") else "\t".join([chrom, str(int(pos) + 7), *rest])

    shift = "".join(map(moved_line, world.vcf.read_text().splitlines(keepends=True)))
    moved = tmp_path / "moved.vcf"
    moved.write_text(shift)
    with pytest.raises(InputError) as caught:
        run_vcf(a_run(world, tmp_path / "scores.parquet", vcf=moved))
    assert caught.value.code == "reference-mismatch"


def test_a_changed_weight_is_refused(world, tmp_path):
    import shutil

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
