"""The whole of `calibrate` on a small world: a random network, a random contig, sites with frequencies."""

import numpy as np
import pysam
import pytest

from genolewm_core.artifacts.manifest import Architecture, Contract, ModelDirectory
from genolewm_core.errors import ConfigError, GenoLeWMError, InputError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.calibration import key_of
from genolewm_core.scoring.calibration_file import load_calibration
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model
from genolewm_train.calibration import build
from genolewm_train.calibration.build import CalibrationRun, calibrate_model
from genolewm_train.calibration.sites import common_sites, is_held_back, parse_region, synthetic_sites

SMALL = Architecture(2, 16, 2, 1, 8, 16, 1e-6, 1e4)
CONTRACT = Contract(window_bp=6_144, cell_bp=3_072, state_layer=1, radius_tok=2, ll_tok=2)
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=5,length={length}>\n"
    '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def write_vcf(path, length, lines, header=HEADER):
    plain = path.with_suffix("")
    plain.write_text(header.format(length=length) + "".join(lines))
    pysam.tabix_compress(str(plain), str(path), force=True)
    pysam.tabix_index(str(path), preset="vcf", force=True)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    rng = np.random.default_rng(5)
    bases = "".join(rng.choice(list("ACGT"), size=9_000))
    reference = folder / "reference.fa"
    reference.write_text(">5\n" + bases + "\n")
    pysam.faidx(str(reference))
    lines = []
    for pos in range(100, 8_900, 5):
        ref = bases[pos - 1]
        alt = "ACGT"[("ACGT".index(ref) + 1 + pos % 3) % 4]
        lines.append(f"5\t{pos}\t.\t{ref}\t{alt}\t.\t.\tAF={0.5 if pos % 50 else 0.001}\n")
    lines.append(f"5\t8950\t.\t{bases[8949]}\t{bases[8949]}ACGTAC,{bases[8949]}A\t.\t.\tAF=0.2,0.3\n")
    vcf = write_vcf(folder / "sites.vcf.gz", len(bases), lines)
    return folder, reference, vcf, bases


def model_in(folder):
    return write_model(folder / "model", SMALL, random_model(SMALL, seed=3), CONTRACT).path


def run_of(world, folder, **changes):
    _, reference, vcf, _ = world
    fields = {
        "model": model_in(folder),
        "vcfs": (vcf,),
        "reference": reference,
        "annotation": None,
        "regions": (Region("5", 0, 9_000),),
        "backend": "torch",
    }
    return CalibrationRun(**{**fields, **changes})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20:1000001-2000000", Region("20", 1_000_000, 2_000_000)), ("chr1:5-5", Region("chr1", 4, 5))],
)
def test_regions(text, expected):
    assert parse_region(text) == expected


@pytest.mark.parametrize(
    "text", ["", "20", "20:5", "20:0-5", "20:6-5", ":1-5", "20:a-b", "21:1-100", "chr21:1-9"]
)
def test_regions_that_cannot_be(text):
    with pytest.raises(ConfigError) as caught:
        parse_region(text)
    assert caught.value.code == "config-invalid"


def test_common_sites(world):
    _, path, vcf, _ = world
    rows, left_out = common_sites(
        [vcf, vcf], Reference(path), [Region("5", 100, 200), Region("5", 8_940, 9_000)], 0.01
    )
    found = [(row.variant.pos, row.edit_class) for row in rows]
    inside = [(pos, "substitution") for pos in range(105, 201, 5) if pos % 50]
    assert found[: len(inside)] == inside
    assert sorted(kind for _, kind in found[len(inside) :]) == ["indel_in_phase", "indel_out_of_phase"]
    assert left_out == {"not_common": 4, "seen_before": len(rows)}


def test_sites_without_frequencies_or_index_are_refused(world, tmp_path):
    _, path, vcf, bases = world
    header = HEADER.replace('##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n', "")
    bare = write_vcf(tmp_path / "bare.vcf.gz", 9_000, [f"5\t100\t.\t{bases[99]}\tN\t.\t.\t.\n"], header)
    unindexed = tmp_path / "unindexed.vcf.gz"
    unindexed.write_bytes(vcf.read_bytes())
    for wrong in (bare, unindexed, tmp_path / "missing.vcf.gz"):
        with pytest.raises(InputError) as caught:
            common_sites([wrong], Reference(path), [Region("5", 0, 9_000)], 0.01)
        assert caught.value.code == "vcf-unreadable"


@pytest.mark.parametrize("edit_class", ["indel_in_phase", "indel_out_of_phase"])
def test_synthetic_edits_are_of_their_class_and_of_their_seed(world, edit_class):
    reference = Reference(world[1])
    regions = [Region("5", 0, 4_000), Region("5", 5_000, 9_000)]
    rows = synthetic_sites(edit_class, 200, reference, regions, 1)
    assert {row.edit_class for row in rows} == {edit_class}
    assert len({str(row.variant) for row in rows}) == 200
    nets = [row.replacement.net for row in rows]
    assert 60 < sum(net > 0 for net in nets) < 140
    assert rows == synthetic_sites(edit_class, 200, reference, regions, 1)
    assert rows != synthetic_sites(edit_class, 200, reference, regions, 2)


def test_a_model_is_calibrated_and_an_interrupted_build_gives_the_same_bytes(world, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "N_SYNTHETIC", 60)
    run = run_of(world, tmp_path / "a")
    table = calibrate_model(run)
    model = ModelDirectory.open(run.model)
    loaded = load_calibration(model, table.key)
    assert loaded == table
    assert table.key == key_of(model, build._options(model, run), "torch")
    root = table.buckets["substitution|*|*|*|*"]
    assert root.n_rows == table.about["common"]["substitution"] > 1_000
    assert table.buckets["indel_in_phase|*|*|*|*"].n_synthetic > 50
    held_back = table.about["held_back"]["substitution"]["sigma_calibrated"]
    assert held_back["n"] > 200
    assert held_back["ks"] < 0.1
    assert not list(run.model.glob(".*"))

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 2:
            raise Stop

    other = run_of(world, tmp_path / "b")
    with pytest.raises(Stop):
        calibrate_model(other, on_cell=stop)
    assert len(list(other.model.glob(".calibration*"))) == 1
    scored = []
    real = build.score_sites.__globals__["score_cell"]
    monkeypatch.setitem(
        build.score_sites.__globals__, "score_cell", lambda *a: scored.append(a[2]) or real(*a)
    )
    calibrate_model(other)
    assert scored == [2]  # three cells in all
    name = model.manifest.calibration.name
    assert (run.model / name).read_bytes() == (other.model / name).read_bytes()


def test_tables_of_other_keys_stay_and_those_of_the_same_key_are_replaced(world, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "N_SYNTHETIC", 30)
    run = run_of(world, tmp_path)
    first = calibrate_model(run)
    second = calibrate_model(run_of_phases(run, 2))
    model = ModelDirectory.open(run.model)
    assert load_calibration(model, first.key) == first
    assert load_calibration(model, second.key) == second
    assert len(list(run.model.glob("calibration-*.json"))) == 1


def run_of_phases(run, phases):
    from dataclasses import replace

    return replace(run, phases=phases)


def test_no_common_variants_is_an_error(world, tmp_path):
    with pytest.raises(GenoLeWMError) as caught:
        calibrate_model(run_of(world, tmp_path, min_af=0.5, regions=(Region("5", 49, 50),)))
    assert caught.value.code == "training-data-missing"


def test_the_split_does_not_depend_on_what_else_is_there(world):
    rows, _ = common_sites([world[2]], Reference(world[1]), [Region("5", 0, 9_000)], 0.01)
    held_back = [row for row in rows if is_held_back(row)]
    assert 0.15 < len(held_back) / len(rows) < 0.25
