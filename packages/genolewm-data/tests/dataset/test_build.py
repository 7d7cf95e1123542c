"""A release has every window that it should, nothing that is held out, and the same bytes however it was made."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from genolewm_core.errors import GenoLeWMError
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.config import read_config
from genolewm_data.dataset.build import build_release
from genolewm_data.dataset.command import _tell, dataset
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.shortfalls import shortfalls
from genolewm_data.dataset.sources import open_reference, unconfirmed
from genolewm_data.dataset.windows import corpus_stream
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.release.release import Release

from .conftest import HELD_REGION, LENGTHS, STRIDE_BP, WINDOW_BP, snv, write_shard


def test_training_has_every_placed_window_that_is_not_held_out(world, built):
    windows = list(Release.open(built.folder).windows("train"))
    placed = [window for window in windows if isinstance(window, ReferenceWindow)]
    for window in placed:
        assert window.sequence == world.bases[window.contig][window.start : window.end]
    expected = {
        (chrom, start)
        for chrom in ("chr1", "chr20")
        for start in range(0, LENGTHS[chrom] - WINDOW_BP + 1, STRIDE_BP)
        if "N" not in world.bases[chrom][start : start + WINDOW_BP]
        and (chrom != "chr1" or start + WINDOW_BP <= HELD_REGION[0] or start >= HELD_REGION[1])
    }
    assert Counter((window.contig, window.start) for window in placed) == Counter(expected)
    assert built.manifest.windows["train"]["placed"] == len(expected)


def test_windows_of_the_corpus_are_stretches_of_its_records_but_for_copies_of_what_is_held_out(world, built):
    release = Release.open(built.folder)
    windows = [window for window in release.windows("train") if not isinstance(window, ReferenceWindow)]
    *_, copied = world.records["mrna_evo2"]
    for window in windows:
        assert any(window.sequence in record for record in world.records[window.config])
        assert window.sequence not in copied
    counts = built.manifest.windows["train"]
    assert {config for config in counts if config != "placed"} == set(world.records)
    assert sum(counts.values()) == len(release.windows("train"))
    assert built.manifest.left_out["windows.mrna_evo2"] == {"similar": 1}


def test_both_kinds_of_windows_are_mixed_in_every_shard(built):
    for number in range(3):
        origins = pq.read_table(built.folder / f"windows/train-{number:05d}.parquet")["origin"].to_pylist()
        placed = [at for at, origin in enumerate(origins) if origin == "placed"]
        halves = sum(at < len(origins) / 2 for at in placed)
        assert abs(halves - len(placed) / 2) <= 1


def test_windows_of_validation_hold_what_they_are_for(world, built):
    table = Release.open(built.folder).windows("validation")
    of = {}
    for window, name in zip(table, table.holdouts(), strict=True):
        of.setdefault(name, []).append(window)
    assert {name: len(windows) for name, windows in of.items()} == built.manifest.windows["validation"]
    assert {window.contig for window in of["chr21"]} == {"chr21"}
    starts = {variant.start for variant in world.held_variants}
    for window in of["clinvar"]:
        assert any(window.start <= start < window.end for start in starts)
    for window in of["haplotypes"]:
        assert any(
            window.start <= first and last < window.end for first, last in [(2_000, 2_100), (9_400, 9_600)]
        )


def test_tables_have_what_their_split_may_have(world, built):
    def keys(name):
        return {
            tuple(row[c] for c in ("chrom", "pos", "ref", "alt")): row
            for row in pq.read_table(built.folder / name).to_pylist()
        }

    held = {(v.chrom, v.pos, v.ref, v.alt) for v in world.held_variants}
    train = keys("variants/train.gnomad.parquet") | keys("variants/train.clinvar.parquet")
    assert train
    assert not held & set(train)
    assert all(row["af"] >= 0.01 for row in keys("variants/train.gnomad.parquet").values())
    assert {row["label"] for row in keys("variants/train.clinvar.parquet").values()} == {"P"}
    assert not any(chrom == "chr21" for chrom, *_ in train)
    assert set(keys("variants/validation.clinvar.parquet")) <= held
    assert {chrom for chrom, *_ in keys("variants/validation.gnomad.parquet")} == {"chr21"}
    left_out = built.manifest.left_out
    assert left_out["variants.train.gnomad"]["held_out"] > 0
    # Of the old release's VUS every other one is P in the new one, and none of them is held out.
    assert left_out["variants.train.clinvar"]["label_changed"] > 0
    counts = built.integrity.variants
    assert counts["train.gnomad"] == len(keys("variants/train.gnomad.parquet"))
    assert counts["shared"] == 0


def test_haplotypes_of_the_evaluation_are_not_in_training(built):
    release = Release.open(built.folder)
    train, validation = release.haplotypes("train"), release.haplotypes("validation")
    starts = [[call.called.start for call in block.calls] for block in train.counts]
    assert starts == [[45_100, 45_300, 45_900]]
    assert list(train.counts.values()) == [2]
    assert {block.calls[0].called.start for block in validation.counts} == {2_000, 9_400}
    assert release.held_out.blocks["haplotypes"]


def test_the_report_speaks_of_everything(built):
    check = built.integrity.training
    assert built.integrity.clean
    assert check.placed == built.manifest.windows["train"]["placed"]
    assert check.placed + check.unplaced == sum(built.manifest.windows["train"].values())
    assert check.undecided == 0
    tuples = built.integrity.tuples
    drawn = sum(n for name, n in tuples.items() if name.startswith("drawn."))
    assert check.edits < drawn
    assert built.integrity.overlaps["chr21"].forbidden
    assert built.integrity.overlaps["chr21"].touching == 0
    assert built.integrity.overlaps["clinvar"].touching > 0


def test_sha256sum_agrees(built):
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=built.folder, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert not list(built.folder.parent.glob(".*"))


def test_the_card_tells_files_of_one_name_apart_and_how_to_make_it_again(world, built):
    card = (built.folder / "data_card.md").read_text()
    assert "| `clinvar`: variants to train on | clinvar 2024-01-01 | `clinvar-new.parquet` |" in card
    assert "| `holdouts.clinvar`: variants held out for an evaluation | clinvar 2020-01-01 |" in card
    again = card[card.index("## To make it again") :]
    assert "put the paths of the files above back" in again
    # Here the files lie beside the configuration, so that their names are their paths.
    (world.folder / "again.yaml").write_text(json.dumps(built.manifest.config))
    assert read_config(DatasetConfig, world.folder / "again.yaml") == world.config()


def test_the_help_of_subcommands_is_not_cut():
    told = CliRunner().invoke(dataset, ["--help"]).output
    assert all(name in told for name in dataset.commands)
    assert "..." not in told.split("Commands:")[1]


class Cut(Exception):
    """A build that is cut off."""


@pytest.mark.parametrize(
    "point", [("windows", 1), ("tables", 1), ("integrity", 2)], ids=lambda point: point[0]
)
def test_the_bytes_do_not_depend_on_interruptions(world, built, tmp_path, point):
    seen = Counter()

    def cut(stage, done, of):
        seen[stage] += 1
        if (stage, seen[stage]) == point:
            raise Cut

    with pytest.raises(Cut):
        build_release(world.config(), tmp_path / "cut", on_progress=cut)
    assert not (tmp_path / "cut").exists()
    # A writer that is killed cannot take its temporary file away.
    (tmp_path / ".cut.build" / "release" / "windows" / ".train-00001.parquet.1.tmp").write_bytes(b"half")
    stages = []
    build_release(world.config(), tmp_path / "cut", on_progress=lambda stage, done, of: stages.append(stage))
    assert "sources" not in stages  # that was finished
    assert (tmp_path / "cut" / "SHA256SUMS").read_bytes() == (built.folder / "SHA256SUMS").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_bytes_do_not_depend_on_processes_or_a_kill(world, built, tmp_path):
    command = [sys.executable, "-c", "from genolewm_core.umbrella import main; main()", "dataset", "build"]
    command += [str(world.folder / "config.yaml"), "--output", str(tmp_path / "release"), "--jobs", "2"]
    process = subprocess.Popen(command, start_new_session=True)
    notes = tmp_path / ".release.build" / "notes"
    while process.poll() is None and not any(notes.glob("windows-*.json")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "release").exists()
    build_release(world.config(), tmp_path / "release")
    assert (tmp_path / "release" / "SHA256SUMS").read_bytes() == (built.folder / "SHA256SUMS").read_bytes()


def test_a_build_that_was_cut_off_behind_its_publication_is_finished(world, tmp_path, monkeypatch):
    from genolewm_data.dataset.workspace import Workspace

    publish = Workspace.publish

    def published_and_cut(space, digest):
        publish(space, digest)
        raise Cut

    monkeypatch.setattr(Workspace, "publish", published_and_cut)
    with pytest.raises(Cut):
        build_release(world.config("windows.corpus=null"), tmp_path / "release")
    monkeypatch.undo()
    done = build_release(world.config("windows.corpus=null"), tmp_path / "release")
    assert done.manifest.digest == Release.open(tmp_path / "release").manifest.digest
    assert not list(tmp_path.glob(".*"))


def test_a_release_with_a_leak_is_not_published(world, tmp_path, monkeypatch):
    # As if copies of held-out sequence were not looked for while windows are made.
    monkeypatch.setattr("genolewm_data.dataset.windows.THRESHOLD", 2.0)
    found = refused("holdout-leak", world.config(), tmp_path / "release")
    assert "of its k-mers with secret" in found.found
    assert not (tmp_path / "release").exists()


SMALL = (
    "windows.corpus=null",
    "variants={}",
    "haplotypes=null",
    "edits.mix={synthetic_snv: 1}",
    "windows.placed.n_windows=7",
)


def cut_off(world, output, *overrides):
    def cut(stage, done, of):
        if stage == "tables":
            raise Cut

    with pytest.raises(Cut):
        build_release(world.config(*SMALL, *overrides), output, on_progress=cut)


def refused(code, config, output, **options):
    with pytest.raises(GenoLeWMError) as caught:
        build_release(config, output, **options)
    assert caught.value.code == code
    return caught.value


def test_n_windows_is_kept_exactly(world, tmp_path):
    done = build_release(world.config(*SMALL, "windows.shards=4"), tmp_path / "release")
    assert done.manifest.windows["train"] == {"placed": 7}
    sizes = [file.rows for file in done.manifest.files if file.path.startswith("windows/train")]
    assert sizes == [2, 2, 2, 1]
    assert not (tmp_path / "release" / "variants" / "train.gnomad.parquet").exists()


def test_what_fell_short_is_said(world, tmp_path, capsys):
    mix = "mix: {mrna_evo2: 1, prokaryote_evo2: 9}"
    corpus = f"windows.corpus={{folder: {world.folder}/corpus, {mix}, stride_bp: 900}}"
    changes = ("windows.placed.n_windows=2", "windows.shards=2", "edits.mix={synthetic_snv: 1, gnomad: 3}")
    gnomad = f"variants={{gnomad: {{path: {world.folder}/gnomad.parquet}}}}"
    done = build_release(world.config(*SMALL, *changes, corpus, gnomad), tmp_path / "release")
    # Nine windows of one config are due for each of the other, and there are as many records of both.
    assert done.manifest.left_out["records.prokaryote_evo2"]["ended"] == 2
    assert "ended" not in done.manifest.left_out.get("records.mrna_evo2", {})
    source, corpus = shortfalls(done.manifest, done.integrity)
    tally = done.integrity.tuples
    share = tally["drawn.gnomad"] / (tally["drawn.gnomad"] + tally["drawn.synthetic_snv"])
    assert source.startswith(f"gnomad {share:.1%} of edits instead of 75.0%: ")
    assert share < 0.5
    assert corpus.startswith("prokaryote_evo2 was read to its end in 2 of 2 files of windows")
    _tell(done)
    told, card = capsys.readouterr().out, (done.folder / "data_card.md").read_text()
    assert all(line in told and line in card for line in (source, corpus))


def test_the_order_in_which_a_mix_is_written_decides_nothing(world):
    nothing = Holdouts({"GRCh38": HeldOut("GRCh38")})
    folder = f"windows.corpus.folder={world.folder}/corpus"
    streams = [
        corpus_stream(world.config(folder, f"windows.corpus.mix={{{mix}}}"), nothing)
        for mix in ("mrna_evo2: 1, prokaryote_evo2: 1", "prokaryote_evo2: 1, mrna_evo2: 1")
    ]
    one, other = ([(w.config, w.start, w.sequence) for w in stream] for stream in streams)
    assert len(one) > 10
    assert one == other


def test_a_corpus_that_goes_on_with_the_others_has_not_stopped(built):
    assert not [line for line in shortfalls(built.manifest, built.integrity) if "read to its end" in line]


def test_what_is_in_the_way_is_refused(world, tmp_path):
    output = tmp_path / "release"
    cut_off(world, output)
    found = refused("resume-conflict", world.config(*SMALL, "seed=6"), output)
    assert (found.expected, found.found) == ("seed: 5", "seed: 6")
    # What only goes to the card is corrected without another build.
    stages = []
    corrected = world.config(*SMALL, "reference.licence=ODbL", "reference.release=later")
    done = build_release(corrected, output, on_progress=lambda stage, done, of: stages.append(stage))
    assert "sources" not in stages
    assert [(one.licence, one.release) for one in done.manifest.sources if one.role == "reference"] == [
        ("ODbL", "later")
    ]
    refused("output-exists", world.config(*SMALL), output)
    again = build_release(world.config(*SMALL, "seed=6"), output, fresh=True)
    assert Release.open(output).manifest.digest == again.manifest.digest
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_no_release_is_never_replaced(world, tmp_path, fresh):
    output = tmp_path / "thesis"
    output.mkdir()
    (output / "chapter").write_text("ten years")
    found = refused("output-exists", world.config(*SMALL), output, fresh=fresh)
    assert "no release" in found.what
    output.rename(tmp_path / "elsewhere")
    output.write_text("a file")
    refused("output-exists", world.config(*SMALL), output, fresh=fresh)
    assert output.read_text() == "a file"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["chapter"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("fresh", [False, True])
def test_what_took_the_name_during_a_build_is_not_replaced(world, tmp_path, fresh):
    output = tmp_path / "release"

    def take(stage, done, of):
        if stage == "tables":
            output.mkdir()
            (output / "chapter").write_text("ten years")

    refused("output-exists", world.config(*SMALL), output, fresh=fresh, on_progress=take)
    assert (output / "chapter").read_text() == "ten years"
    output.rename(tmp_path / "elsewhere")
    build_release(world.config(*SMALL), output)


def test_a_build_without_a_window_is_not_in_the_way(world, tmp_path):
    refused("training-data-missing", world.config(*SMALL, "windows.window_bp=60000"), tmp_path / "release")
    done = build_release(world.config(*SMALL), tmp_path / "release")
    assert done.manifest.windows["train"] == {"placed": 7}


def test_a_source_that_changes_is_refused(world, tmp_path):
    output = tmp_path / "release"
    path = world.folder / "holdouts.json"
    cut_off(world, output)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    refused("resume-conflict", world.config(*SMALL), output)

    def touch(stage, done, of):
        if stage == "tables":
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))

    refused("resume-conflict", world.config(*SMALL), output, fresh=True, on_progress=touch)
    assert not output.exists()


def other_assembly(world, folder):
    path = folder / "shard.parquet"
    write_shard(path, "gnomad", "v2.1.1", [(snv(world.bases, "chr1", 100), 0.5)], assembly="GRCh37")
    return [f"variants.gnomad.path={path}", "edits.mix={gnomad: 1}"]


def trimmed(world, folder):
    path = folder / "shard.parquet"
    write_shard(path, "gnomad", "v4.1", [(snv(world.bases, "chr1", 100), 0.5)], spelling="trimmed")
    return [f"variants.gnomad.path={path}", "edits.mix={gnomad: 1}"]


def unknown_contig(world, folder):
    path = folder / "shard.parquet"
    moved = snv(world.bases, "chr1", 100)
    write_shard(path, "gnomad", "v4.1", [(type(moved)("chr5", moved.pos, moved.ref, moved.alt), 0.5)])
    return [f"variants.gnomad.path={path}", "edits.mix={gnomad: 1}"]


def nothing_to_use(world, folder):
    path = folder / "shard.parquet"
    write_shard(path, "gnomad", "v4.1", [(snv(world.bases, "chr21", 100), 0.5)])
    return [f"variants.gnomad.path={path}", "edits.mix={gnomad: 1}"]


def full_length(*contigs):
    """A reference that says it has such contigs, which are not there; the assembly is told by the index."""

    def overrides(world, folder):
        path = folder / "whole.fa"
        path.write_text(">chr21\nACGT\n")
        lines = (f"{name}\t{length}\t7\t4\t5\n" for name, length in contigs)
        path.with_name("whole.fa.fai").write_text("".join(lines))
        return [f"reference.path={path}"]

    return overrides


def test_a_decoy_says_nothing_about_the_assembly(world, tmp_path):
    for assembly, length in (("GRCh37", 48129895), ("GRCh38", 46709983)):
        folder = tmp_path / assembly
        folder.mkdir()
        overrides = full_length(("21", length), ("hs37d5", 35477943), ("20", 30_000))(world, folder)
        config = world.config(*overrides)
        assert set(open_reference(config.reference.path, assembly).contigs) == {"20", "21", "hs37d5"}
        assert unconfirmed(config) == ()
    assert unconfirmed(world.config()) == ("reference.fa",)


def nothing_in_reach(world, folder):
    # A window begins at 900; nothing in the region's first bases is in it, nor in its margin.
    (folder / "regions.bed").write_text("chr1\t10\t2100\nchr20\t10\t1500\n")
    path = folder / "shard.parquet"
    write_shard(path, "gnomad", "v4.1", [(snv(world.bases, "chr1", at), 0.5) for at in (700, 905)])
    return [
        f"variants.gnomad.path={path}",
        "edits.mix={gnomad: 1}",
        f"windows.placed.regions={folder}/regions.bed",
    ]


def small_regions(world, folder):
    (folder / "regions.bed").write_text("chr1\t10\t1210\nchr20\t1000\t2900\n")
    return [f"windows.placed.regions={folder}/regions.bed"]


REFUSALS = {
    "a shard of another assembly": (other_assembly, "release-mismatch"),
    "a shard that is not left-aligned": (trimmed, "release-mismatch"),
    "a shard with a contig that the reference lacks": (unknown_contig, "contig-unknown"),
    "a shard without a variant in any window": (nothing_to_use, "training-data-missing"),
    "a shard without a variant in any place": (nothing_in_reach, "training-data-missing"),
    "regions that are too small": (small_regions, "training-data-missing"),
    "a reference of another assembly": (full_length(("chr21", 48129895)), "release-mismatch"),
    # Lengths of T2T-CHM13v2.0, and then one of its chromosomes beside one of GRCh38.
    "a reference of an unknown assembly": (full_length(("chr21", 45090682)), "release-mismatch"),
    "a reference of two assemblies": (
        full_length(("chr20", 64444167), ("NC_000021.10", 45090682)),
        "release-mismatch",
    ),
    "a reference whose chromosomes have other names": (
        full_length(("CM000683.2", 46709983)),
        "release-mismatch",
    ),
    "hold-outs of another assembly": (lambda world, folder: ["assembly=GRCh37"], "config-invalid"),
    "a corpus that is not there": (
        lambda world, folder: ["windows.corpus.folder=none", "windows.corpus.mix={mrna_evo2: 1}"],
        "corpus-unreadable",
    ),
    "a config that the corpus does not have": (
        lambda world, folder: [
            f"windows.corpus.folder={world.folder}/corpus",
            "windows.corpus.mix={mrna_evo: 1}",
        ],
        "config-invalid",
    ),
    "a file that is not there": (lambda world, folder: ["reference.path=none.fa"], "training-data-missing"),
    "no window": (lambda world, folder: ["windows.window_bp=60000"], "training-data-missing"),
    "a corpus of records that are all too short": (
        lambda world, folder: [
            f"windows.corpus.{one}"
            for one in (
                f"folder={world.folder}/corpus",
                "mix={mrna_evo2: 1}",
                "margin_bp=9000",
                "at_end=continue",
            )
        ],
        "training-data-missing",
    ),
    "an unknown hold-out to validate": (
        lambda world, folder: ["validation.holdouts=[chr22]"],
        "config-invalid",
    ),
}


SAID = {
    "a config that the corpus does not have": "windows.corpus.mix.mrna_evo: mrna_evo; did you mean mrna_evo2?",
    "a shard without a variant in any place": "none in 1 places; 1 regions without one",
    "a shard without a variant in any window": "held_out 1; 81 placed windows, 0 regions without one",
    "regions that are too small": "2 regions without a window",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused(world, tmp_path, name):
    overrides, code = REFUSALS[name]
    config = world.config(
        *SMALL[:-1], "holdouts.clinvar=null", "holdouts.haplotypes=null", *overrides(world, tmp_path)
    )
    error = refused(code, config, tmp_path / "release")
    assert not (tmp_path / "release").exists()
    assert SAID.get(name, "") in f"{error.where}: {error.found}; {error.next_step}"
    if any(word in name for word in ("shard of", "shard that", "a reference of", "not there", "place")):
        # Nothing was finished, so nothing is in the way of a corrected configuration.
        assert not list(tmp_path.glob(".*"))
