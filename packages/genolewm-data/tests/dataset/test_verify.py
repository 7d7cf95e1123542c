"""A release that was changed is refused and names what is wrong, also when every digest was made to fit."""

import dataclasses
import functools
import json
import operator
import os
import pathlib
import pickle
import shutil
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.jobs import Seat
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus import CorpusWindow
from genolewm_data.dataset.checking import CheckWork, train_files
from genolewm_data.dataset.claims import false_claims
from genolewm_data.dataset.command import dataset
from genolewm_data.dataset.verify import card_of, verify_release
from genolewm_data.release.manifest import ReleaseManifest
from genolewm_data.release.release import Release
from genolewm_data.release.sums import digest_of, write_sums
from genolewm_data.release.windows import WindowTable, write_windows

from .conftest import HELD_REGION, WINDOW_BP


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built.folder, tmp_path / "release")


def make_fit(folder):
    """Digests and sizes of the manifest and SHA256SUMS, after files were changed by somebody who covers it up."""
    manifest = ReleaseManifest.read(folder)
    files = []
    for file in manifest.files:
        path = folder / file.path
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        files.append(
            dataclasses.replace(file, sha256=digest_of(path), n_bytes=path.stat().st_size, rows=rows)
        )
    dataclasses.replace(manifest, files=tuple(files)).write(folder)
    write_sums(folder)


def with_window(folder, window):
    path = folder / "windows" / "train-00001.parquet"
    windows = [*WindowTable([path]), window]
    path.unlink()
    write_windows(path, [(one, "") for one in windows])


def test_a_sound_release_passes(built):
    assert verify_release(built.folder) == []


def test_what_checks_can_be_sent_to_other_processes(built):
    release = Release.open(built.folder)
    work = CheckWork(release)
    path, *_ = train_files(release)
    here, there = (one.start(Seat())((path, 0)) for one in (work, pickle.loads(pickle.dumps(work))))
    assert here == there
    assert here["report"]["placed"] > 0


def chr21_window(world, folder):
    with_window(
        folder,
        ReferenceWindow("chr21", 1_800, 1_800 + WINDOW_BP, world.bases["chr21"][1_800 : 1_800 + WINDOW_BP]),
    )
    return "has bases of chr21"


def held_variant(world, folder):
    path = folder / "variants" / "train.gnomad.parquet"
    table = pq.read_table(path)
    held = world.held_variants[0]
    row = {"chrom": [held.chrom], "pos": [held.pos], "ref": [held.ref], "alt": [held.alt], "af": [0.3]}
    pq.write_table(pa.concat_tables([table, pa.table(row).cast(table.schema)]), path)
    return "held out by clinvar"


def copied_sequence(world, folder):
    start = HELD_REGION[0] + 700
    copied = reverse_complement(world.bases["chr1"][start : start + WINDOW_BP])
    with_window(folder, CorpusWindow("mrna_evo2", "sha256:innocent", 256, copied))
    return "of its k-mers with secret"


def held_haplotype(world, folder):
    shutil.copy(folder / "haplotypes" / "validation.parquet", folder / "haplotypes" / "train.parquet")
    return "training haplotypes are held out"


LEAKS = {
    "a window of the held-out chromosome": chr21_window,
    "a held-out variant in the training table": held_variant,
    "a copy of held-out sequence in a window of the corpus": copied_sequence,
    "held-out haplotypes": held_haplotype,
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found_behind_digests_that_fit(world, copy, name):
    sign = LEAKS[name](world, copy)
    make_fit(copy)
    Release.open(copy)
    leaks = [problem for problem in verify_release(copy) if problem.startswith("held-out data: ")]
    assert any(sign in leak for leak in leaks), leaks


def damage(folder):
    path = folder / "windows" / "train-00002.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return [path.relative_to(folder).as_posix()] * 2


def lose(folder):
    (folder / "variants" / "train.clinvar.parquet").unlink()
    return ["variants/train.clinvar.parquet"]


def add(folder):
    (folder / "windows" / "train-00009.parquet").write_bytes(b"")
    return ["windows/train-00009.parquet"] * 2


def rewrite_card(folder):
    path = folder / "data_card.md"
    path.write_text(path.read_text().replace("For research only", "For all purposes"))
    make_fit(folder)
    return ["data_card.md"]


def rewrite_report(folder):
    path = folder / "split_integrity.json"
    raw = json.loads(path.read_text())
    raw["training"]["edits"] += 1
    path.write_text(json.dumps(raw))
    make_fit(folder)
    return ["split_integrity.json", "data_card.md"]


def rewrite_kmers(folder):
    path = folder / "held_kmers.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    make_fit(folder)
    return [str(path)]


def rewrite_holdouts(folder):
    path = folder / "holdouts.json"
    path.write_text(path.read_text().replace("chr20", "chr22"))
    make_fit(folder)
    return [str(path)]


def link_to_nothing(folder):
    path = folder / "windows" / "train-00002.parquet"
    path.unlink()
    path.symlink_to("gone.parquet")
    (folder / "more").symlink_to(folder / "windows")
    return ["more", "windows/train-00002.parquet"]


def put_a_pipe(folder):
    (folder / "data_card.md").unlink()
    os.mkfifo(folder / "data_card.md")
    return ["data_card.md"]


CHANGES = [
    link_to_nothing,
    put_a_pipe,
    damage,
    lose,
    add,
    rewrite_card,
    rewrite_report,
    rewrite_kmers,
    rewrite_holdouts,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_file_is_named(copy, change):
    named = change(copy)
    assert [problem.split(": ")[0] for problem in verify_release(copy)] == named


def test_what_the_manifest_says_of_tables_is_compared_with_them(copy):
    manifest = ReleaseManifest.read(copy)
    said = dataclasses.replace(
        manifest,
        window_bp=WINDOW_BP + 6,
        windows={**manifest.windows, "train": {"placed": 999_999}, "test": {}},
    )
    said.write(copy)
    (copy / "data_card.md").write_text(card_of(copy))
    make_fit(copy)
    fit = ReleaseManifest.read(copy)
    rows = tuple(dataclasses.replace(file, rows=file.rows + 7) for file in fit.files)
    dataclasses.replace(fit, files=rows).write(copy)
    write_sums(copy)
    tables = sorted(path.relative_to(copy).as_posix() for path in (copy / "windows").iterdir())
    problems = verify_release(copy)
    assert [line for line in problems if " rows, and " not in line] == [
        *(
            f"{name}: has {n:,} windows that are not of 1,206 bases"
            for name, n in windows_in(copy, tables[:3])
        ),
        "dataset_manifest.json: windows.train is not what is in " + ", ".join(tables[:3]),
        *(
            f"{name}: has {n:,} windows that are not of 1,206 bases"
            for name, n in windows_in(copy, tables[3:])
        ),
        "dataset_manifest.json: windows.test is of no split",
    ]
    named = {line.split(": ")[0] for line in problems if " rows, and " in line}
    assert named == {file.path for file in manifest.files}


def windows_in(folder, names):
    return [(name, pq.read_metadata(folder / name).num_rows) for name in names]


@pytest.mark.parametrize(("layout", "n_odd"), [("strides", 2), ("cells", 1)])
def test_windows_of_cells_may_be_shorter(world, copy, layout, n_odd):
    manifest = ReleaseManifest.read(copy)
    config = json.loads(json.dumps(manifest.config))
    config["windows"]["placed"]["layout"] = layout
    dataclasses.replace(manifest, config=config).write(copy)
    for n_bp in (WINDOW_BP - 6, WINDOW_BP - 7):
        with_window(copy, ReferenceWindow("chr1", 0, n_bp, world.bases["chr1"][:n_bp]))
    make_fit(copy)
    found = list(false_claims(Release.open(copy)))
    assert found[0] == f"windows/train-00001.parquet: has {n_odd} windows that are not of 1,200 bases"
    assert [line.split(" is ")[0] for line in found[1:]] == ["dataset_manifest.json: windows.train"]


def test_a_file_that_cannot_be_read_is_named(copy, monkeypatch):
    def refused(self, *args, **options):
        if self.name == "train-00002.parquet":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)

    opened = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", refused)
    assert verify_release(copy) == ["windows/train-00002.parquet: cannot be read: Permission denied"]


def test_the_commands(built, copy):
    run = CliRunner().invoke
    done = run(dataset, ["verify", str(built.folder)])
    assert done.exit_code == 0, done.output
    assert run(dataset, ["card", str(built.folder)]).stdout == (built.folder / "data_card.md").read_text()
    assert run(dataset, ["card", "--check", str(built.folder)]).exit_code == 0
    lose(copy)
    refused = run(dataset, ["verify", str(copy)])
    assert refused.exception.code == "dataset-invalid"
    assert "variants/train.clinvar.parquet: is missing" in refused.stdout
    (copy / "data_card.md").write_text("# Better\n")
    assert run(dataset, ["card", "--check", str(copy)]).exception.code == "dataset-invalid"


def places(value, path=()):
    """The path of everything in a document but itself; of long lists and mappings only the first two."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))[: 40 if len(path) < 2 else 2]
    for key, held in items:
        yield (*path, key)
        if isinstance(held, dict | list):
            yield from places(held, (*path, key))


@pytest.mark.parametrize("name", ["dataset_manifest.json", "split_integrity.json"])
def test_values_of_other_types_are_refused_with_a_code(documents, tmp_path, name):
    for other, document in documents.items():
        (tmp_path / other).write_text(json.dumps(document))
    codes = Counter()
    for number, path in enumerate(places(documents[name])):
        changed = json.loads(json.dumps(documents[name]))
        *parents, last = path
        held = functools.reduce(operator.getitem, parents, changed)
        held[last] = [None, "x", [], {}, -1.5, {"x": "y"}, [1]][number % 7]
        (tmp_path / name).write_text(json.dumps(changed))
        try:
            codes[card_of(tmp_path) is not None] += 1
        except InputError as error:
            codes[error.code] += 1
    # What the card does not read of the configuration may be anything.
    assert codes["dataset-invalid"] > 2 * codes[True]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"mix": None}, "Input should be a valid dictionary"),
        ({"mix": {"gnomad": "4"}}, "gnomad: Input should be a valid integer"),
        ({"mix": {"rare": 4}}, "rare.[key]: Input should be 'gnomad'"),
        ({"mix": {"gnomad": 0}}, "weights: 1 weights that add up to 0"),
        ({"seed": 5.5}, "seed: Input should be a valid integer"),
        ({"spread_bp": 1}, "spread_bp: 1"),
        ({"odd": 1}, "odd: Unexpected keyword argument"),
    ],
)
def test_options_that_cannot_be_used_are_refused(built, change, found):
    manifest = dataclasses.replace(built.manifest, options={**built.manifest.options, **change})
    with pytest.raises(InputError, match="dataset-invalid") as error:
        _ = Release(built.folder, manifest).options
    assert found in error.value.found
