"""Saturation: the values of score for every substitution, whole accounts, the same bytes however a run went."""

import gzip
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import ConfigError, ResourceError
from genolewm_core.genome.bed import Region, merge_regions, whole_genome
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.backend import load_backend
from genolewm_runtime import runtime as runtime_module
from genolewm_runtime.saturate import shards as shards_module
from genolewm_runtime.saturate.display import duration, size
from genolewm_runtime.saturate.plan import amount_of, measure
from genolewm_runtime.saturate.run import SaturateRun, run_saturate
from genolewm_runtime.saturate.shards import MAX_SHARD_CELLS, SCHEMA, shards_of
from genolewm_runtime.saturate.tables import outputs_of

CELL_BP = 1_200
REGIONS = (Region("chr1", 1_150, 1_260), Region("chr1", 3_950, 4_520), Region("chr1", 8_990, 9_000))


@pytest.fixture(scope="module")
def loaded(world):
    return load_backend("onnx", ModelDirectory.open(world.model), threads=1)


@pytest.fixture
def run_of(world):
    contract = ModelDirectory.open(world.model).manifest.contract

    def make(output, regions=REGIONS, *, both_strands=False, phases=1, **more):
        options = runtime_module.options_of(
            contract, heads=("marginal_llr",), both_strands=both_strands, phases=phases
        )
        return SaturateRun(
            world.reference, regions, outputs_of(output), world.model, options, backend="onnx", **more
        )

    return make


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of one cell, so that a small run has several."""
    monkeypatch.setattr(shards_module, "MAX_SHARD_CELLS", 1)


def files_of(folder):
    """Names and bytes of what was published, without the receipt's time."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in found:
        if name.endswith(".json"):
            found[name] = json.loads(found[name])
            assert found[name].pop("timestamp")
    return found


def test_every_base_has_its_rows_or_is_counted(world, run_of, loaded, tmp_path):
    summary = run_saturate(run_of(tmp_path / "s"), loaded=loaded)
    table = pl.read_parquet(tmp_path / "s.parquet")
    assert dict(zip(table.columns, table.dtypes, strict=True)) == SCHEMA
    expected = [
        ("chr1", place + 1, world.bases[place], alt)
        for region in REGIONS
        for place in range(region.start, region.end)
        if world.bases[place] != "N"
        for alt in "ACGT"
        if alt != world.bases[place]
    ]
    assert table.select("chrom", "pos", "ref", "alt").rows() == expected
    assert table["marginal_llr"].is_nan().sum() == 0
    # 4,000 to 4,500 are N, and six-mers reach over both ends of them.
    unscored = table.filter(pl.col("marginal_llr").is_null())
    assert set(unscored["reason"]) == {"sixmer_unreadable"}
    assert table.filter(pl.col("marginal_llr").is_not_null())["reason"].null_count() == len(table) - len(
        unscored
    )
    assert summary.bases == {
        ("scored", None): (len(table) - len(unscored)) // 3,
        ("skipped", "sixmer_unreadable"): len(unscored) // 3,
        ("skipped", "reference_n"): 500,
    }
    assert summary.n_snv == len(table) - len(unscored)
    receipt = json.loads((tmp_path / "s.json").read_text())
    assert receipt["bases"] == {
        "reference_n": 500,
        "scored": summary.n_snv // 3,
        "sixmer_unreadable": len(unscored) // 3,
    }
    assert receipt["snvs"] == {"scored": summary.n_snv, "sixmer_unreadable": len(unscored)}
    assert receipt["n_tok"] == summary.n_tok
    assert receipt["model_id"] == ModelDirectory.open(world.model).manifest.model_id


@pytest.mark.parametrize(("both_strands", "phases"), [(False, 1), (True, 2)])
def test_values_and_reasons_are_those_of_score(world, run_of, loaded, tmp_path, both_strands, phases):
    run = run_of(tmp_path / "s.parquet", both_strands=both_strands, phases=phases)
    run_saturate(run, loaded=loaded)
    table = pl.read_parquet(tmp_path / "s.parquet")
    scorer = runtime_module.GenoLeWMRuntime(
        world.model,
        backend="onnx",
        reference=world.reference,
        options=run.options,
        closed=False,
    )
    unreadable = table.with_row_index().filter(pl.col("marginal_llr").is_null())["index"].to_list()
    sample = [*range(0, len(table), 131), *unreadable[:4]]
    for chrom, pos, ref, alt, llr, reason in table[sample].iter_rows():
        row = scorer.score_variant(Variant(chrom, pos, ref, alt))
        assert row.reason == reason
        # score ends its trunk at the variant, and other lengths sum in another order.
        found = row.values["marginal_llr"]
        assert found is None if llr is None else found == pytest.approx(llr, rel=1e-5, abs=1e-5)


def test_a_value_does_not_depend_on_the_regions(run_of, loaded, tmp_path):
    run_saturate(run_of(tmp_path / "a.parquet", (Region("chr1", 0, 9_000),)), loaded=loaded)
    run_saturate(run_of(tmp_path / "b.parquet", (Region("chr1", 7_000, 7_003),)), loaded=loaded)
    whole = pl.read_parquet(tmp_path / "a.parquet")
    part = pl.read_parquet(tmp_path / "b.parquet")
    assert whole.filter(pl.col("pos").is_between(7_001, 7_003)).equals(part)


def test_text_holds_the_table_and_its_index_finds_it(run_of, loaded, tmp_path):
    run_saturate(run_of(tmp_path / "s"), loaded=loaded)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.json", "s.parquet", "s.tsv.gz", "s.tsv.gz.tbi"]
    table = pl.read_parquet(tmp_path / "s.parquet")
    text = gzip.decompress((tmp_path / "s.tsv.gz").read_bytes())
    assert text.splitlines()[0].decode() == "#" + "\t".join(SCHEMA)
    read = pl.read_csv(text, separator="\t", schema=SCHEMA, has_header=False, skip_lines=1)
    assert read.equals(table)
    with pysam.TabixFile(str(tmp_path / "s.tsv.gz")) as indexed:
        lines = list(indexed.fetch("chr1", 3_980, 4_505))
    wanted = table.filter(pl.col("pos").is_between(3_981, 4_505))
    assert len(wanted) > 60
    assert lines == wanted.write_csv(separator="\t", include_header=False).splitlines()


@pytest.mark.parametrize(
    ("name", "endings"),
    [
        ("s", (".parquet", ".tsv.gz")),
        ("v1.2", (".parquet", ".tsv.gz")),
        ("s.parquet", (".parquet",)),
        ("s.tsv.gz", (".tsv.gz",)),
    ],
)
def test_what_a_name_means(tmp_path, name, endings):
    outputs = outputs_of(tmp_path / name)
    stem = name.removesuffix(".parquet").removesuffix(".tsv.gz")
    assert outputs.tables == [tmp_path / f"{stem}{ending}" for ending in endings]
    assert outputs.receipt == tmp_path / f"{stem}.json"


@pytest.mark.parametrize("name", ["s.tsv", "s.vcf.gz", "s.json", "s.csv", "s.bed", ".parquet"])
def test_names_that_mean_nothing(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        outputs_of(tmp_path / name)
    assert caught.value.code == "output-format"


def test_interrupted_and_taken_up_the_bytes_are_the_same(small_shards, run_of, loaded, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    run_saturate(run_of(whole / "s"), loaded=loaded)

    def interrupt(outcome):
        if outcome.index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_saturate(run_of(cut / "s"), loaded=loaded, on_shard=interrupt)
    assert [path.name for path in cut.iterdir()] == [".s.parts"]
    damaged = cut / ".s.parts" / "000001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    seen = []
    summary = run_saturate(run_of(cut / "s"), loaded=loaded, on_start=lambda *found: seen.append(found))
    assert summary.resumed_shards == 2
    ((total, done),) = seen
    assert total == sum(r.end - r.start for r in REGIONS)
    assert 0 < done < total
    assert files_of(cut) == files_of(whole)


def test_two_processes_give_the_same_bytes(small_shards, run_of, loaded, tmp_path):
    for name, jobs in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        run_saturate(run_of(folder / "s", jobs=jobs), loaded=loaded)
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    # Threads of another number sum in another order; the tables agree as packings do.
    a, b = (pl.read_parquet(tmp_path / name / "s.parquet") for name in ("one", "two"))
    assert a.drop("marginal_llr").equals(b.drop("marginal_llr"))
    np.testing.assert_allclose(
        a["marginal_llr"].to_numpy(), b["marginal_llr"].to_numpy(), rtol=1e-5, atol=1e-5
    )
    assert one["s.json"] == two["s.json"]


def test_what_is_there_is_not_replaced_unless_told(run_of, loaded, tmp_path):
    region = (Region("chr1", 10, 20),)
    (tmp_path / "s.tsv.gz").write_bytes(b"mine")
    with pytest.raises(ConfigError) as caught:
        run_saturate(run_of(tmp_path / "s", region), loaded=loaded)
    assert caught.value.code == "output-exists"
    assert (tmp_path / "s.tsv.gz").read_bytes() == b"mine"
    run_saturate(run_of(tmp_path / "s", region, fresh=True), loaded=loaded)
    assert (tmp_path / "s.tsv.gz").read_bytes() != b"mine"


def test_another_run_in_the_way(small_shards, run_of, loaded, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_saturate(run_of(tmp_path / "s"), loaded=loaded, on_shard=interrupt)
    with pytest.raises(ConfigError) as caught:
        run_saturate(run_of(tmp_path / "s", phases=2), loaded=loaded)
    assert caught.value.code == "resume-conflict"


def test_a_folder_that_is_missing(run_of, tmp_path):
    with pytest.raises(ResourceError) as caught:
        run_saturate(run_of(tmp_path / "no" / "s"))
    assert caught.value.code == "output-unwritable"


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 60_000), st.integers(1, 9_000)),
        min_size=1,
        max_size=12,
    )
)
def test_shards_hold_all_regions_and_share_no_cell(places):
    contigs = ContigTable({"a": 100_000, "b": 100_000})
    regions = merge_regions([Region(c, start, start + n) for c, start, n in places], contigs)
    shards = list(shards_of(regions, CELL_BP))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert merge_regions([r for shard in shards for r in shard.regions], contigs) == regions
    assert sum(shard.n_bp for shard in shards) == sum(r.end - r.start for r in regions)
    cells = [
        {(r.contig, at // CELL_BP) for r in s.regions for at in (*range(r.start, r.end, CELL_BP), r.end - 1)}
        for s in shards
    ]
    assert all(len(held) == MAX_SHARD_CELLS for held in cells[:-1])
    assert len(set().union(*cells)) == sum(map(len, cells))


@pytest.mark.parametrize(("both_strands", "phases"), [(False, 1), (True, 2)])
def test_the_plan_says_what_is_run(world, run_of, loaded, tmp_path, both_strands, phases):
    regions = (Region("chr1", 100, 3_000), Region("chr1", 8_000, 8_001))
    run = run_of(tmp_path / "s.parquet", regions, both_strands=both_strands, phases=phases)
    amount = amount_of(regions, Reference(world.reference), run.options)
    assert (amount.n_bp, amount.n_cells, amount.n_snv) == (2_901, 4, 8_703)
    summary = run_saturate(run, loaded=loaded)
    passes = phases * (1 + both_strands)
    # A window that a run of N leads is shorter than planned; a shifted one loses a six-mer at most.
    assert amount.n_tok - passes * 4 * 2 - 300 * passes <= summary.n_tok <= amount.n_tok


def test_a_cell_that_is_called_is_measured(world, run_of, loaded, tmp_path):
    options = run_of(tmp_path / "s").options
    with Reference(world.reference) as reference:
        rate = measure(whole_genome(reference.contigs), reference, options, loaded)
        assert rate is not None
        assert rate.tok_per_s > 10
        assert all(1 < n < 40 for n in rate.bytes_per_snv.values())
        assert measure((Region("chr1", 4_400, 4_450),), reference, options, loaded) is not None


@pytest.mark.parametrize("bases", ["N" * 600, "ACGTN" * 120])
def test_nothing_is_measured_where_no_sixmer_can_be_read(bases, run_of, loaded, tmp_path):
    fasta = tmp_path / "n.fa"
    fasta.write_text(">n\n" + bases + "\n")
    with Reference(fasta) as reference:
        regions = whole_genome(reference.contigs)
        run = replace(run_of(tmp_path / "s", regions), reference=fasta)
        assert measure(regions, reference, run.options, loaded) is None
    summary = run_saturate(run, loaded=loaded)
    called = 600 - bases.count("N")
    assert summary.bases.get(("skipped", "sixmer_unreadable"), 0) == called
    assert summary.bases["skipped", "reference_n"] == 600 - called
    assert (summary.n_tok, len(pl.read_parquet(tmp_path / "s.parquet"))) == (0, 3 * called)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (600, "10 min"), (36_000, "10 h"), (864_000, "10.0 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("n", "text"), [(12, "12 B"), (1_170_000_000, "1.17 GB"), (2.5e19, "2.5e+04 PB")])
def test_sizes(n, text):
    assert size(n) == text
