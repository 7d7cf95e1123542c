"""What is counted of a release, against counts made by hand."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_data.inspect.checks import FAR, checks_of, departure
from genolewm_data.inspect.edits import geometric_law, substitution
from genolewm_data.inspect.gather import inspect_release
from genolewm_data.inspect.windows import sample_of
from genolewm_data.release.release import Release


@pytest.fixture
def found(make, annotation):
    return inspect_release(Release.open(make()), annotation=annotation)


def test_windows(found):
    windows = found.windows
    assert windows.by_origin == {"train": {"gtdb": 2, "placed": 4}, "validation": {"placed": 3}}
    assert windows.by_holdout == {"brca1": 1, "chr21": 2}
    assert windows.touching == {}
    assert windows.cell_bp == 100
    chr1, chr17, chr21 = windows.tracks
    assert [track.contig for track in windows.tracks] == ["chr1", "chr17", "chr21"]
    assert windows.held_elsewhere == ("chr9",)
    assert [i for i, n in enumerate(chr1.train) if n] == [0, 6, 12, 18]
    assert (chr1.length_bp, chr1.held) == (2_400, ())
    assert (chr17.held, chr17.held_bp, chr17.held_whole) == (((10_000, 20_000),), 10_000, False)
    assert [i for i, n in enumerate(chr21.validation) if n] == [50, 56]
    assert (chr21.held, chr21.held_whole) == (((0, 6_200),), True)


def test_edits_are_the_builders_own(found):
    edits = found.edits
    assert (edits.n_windows, edits.n_tuples, edits.n_edits) == (6, 6, 6)
    # The two windows of the corpus have no place, and so no variant.
    assert {"asked.gnomad": 6, "fallback.gnomad": 2, "drawn.gnomad": 4}.items() <= edits.tally.items()
    assert edits.placed_tally == {"asked.gnomad": 4, "drawn.gnomad": 4, "edits.1": 4}
    assert edits.types == {"gnomad": {"DEL": 1, "INS": 1, "SNV": 2}, "synthetic_snv": {"SNV": 2}}
    assert edits.lengths == {"gnomad": {-1: 1, 2: 1}}
    assert edits.substitutions["gnomad"] == {"C>A": 1, "T>C": 1}
    assert edits.tuples_by_k == {1: 6}
    assert {part: n for part, n in enumerate(edits.places["table"]) if n} == {4: 1, 12: 3}
    assert sum(edits.places_expected) == pytest.approx(2)
    assert edits.margin_bp == 64 <= edits.nearest_bp <= 120
    assert edits.consequences == {"gnomad": {"missense": 1, "flank": 1, "indel_flank": 2}}


def test_gc_content(found):
    gc = found.edits.gc_windows
    assert (gc["placed"].n, gc["placed"].mean, gc["gtdb"].mean) == (4, 0.5, 0.0)
    assert found.edits.gc_bins == {"gtdb": [2, *[0] * 19], "placed": [0] * 10 + [4] + [0] * 9}
    # 101 bases of a repeat of four have 50 or 51 of two of them.
    around = found.edits.gc_around["gnomad"]
    assert {round(101 * around.low), round(101 * around.most)} <= {50, 51}


def test_tables(found):
    assert found.frequencies.table == (0, 1, 0, 1, 0, 1, 1, 1)
    assert found.frequencies.drawn == (0, 1, 0, 1, 0, 0, 1, 1)
    assert found.frequencies.missing == 0
    (clinvar,) = found.clinvar.values()
    assert clinvar.labels == {"LP": 1, "P": 1}
    assert clinvar.stars == {"1": 1, "2": 1}
    assert clinvar.consequences == {"LP": {"none": 1}, "P": {"intron_variant": 1, "missense_variant": 1}}
    (blocks,) = found.haplotypes.values()
    assert blocks.by_size == {2: 2, 3: 1}
    assert (blocks.span_bp.median, blocks.span_bp.most, blocks.copies.mean) == (5, 201, 4)


def test_the_release_as_it_is_meets_what_is_expected(found):
    assert [check.title for check in checks_of(found) if not check.ok] == []


@pytest.mark.parametrize(
    ("title", "edits"),
    [
        ("Every slot", {"n_tuples": 5}),
        ("The tuples are those", {"tally": {"drawn.gnomad": 5}}),
        ("Sources are asked", {"tally": {"asked.gnomad": 900, "asked.synthetic_snv": 100}}),
        ("In windows with a place", {"placed_tally": {"drawn.gnomad": 100, "drawn.synthetic_snv": 200}}),
        (
            "In windows with a place",
            {"placed_tally": {"drawn.gnomad": 150, "drawn.synthetic_snv": 150, "drawn.clinvar": 9}},
        ),
        ("Tuples of several edits", {"tuples_by_k": {1: 700, 2: 300}}),
        ("No edit lies in the margins", {"nearest_bp": 63}),
        (
            "Synthetic edits lie evenly",
            {"places": {"synthetic": [300, *[0] * 23]}, "places_expected": [12.5] * 24},
        ),
        ("Lengths of synthetic indels", {"lengths": {"synthetic_indel": {1: 50, -1: 50, 3: 50, -3: 50}}}),
        ("Half of the synthetic indels", {"lengths": {"synthetic_indel": {1: 60, 2: 30, 3: 10}}}),
        ("One synthetic SNV in three", {"substitutions": {"synthetic_snv": {"C>T": 66, "C>A": 33}}}),
    ],
)
def test_what_is_not_as_expected_is_told(found, title, edits):
    mix = replace(found.options.mix, weights=(("gnomad", 50), ("synthetic_snv", 50)))
    odd = replace(found, edits=replace(found.edits, **edits), options=replace(found.options, mix=mix))
    assert [check.ok for check in checks_of(odd) if check.title.startswith(title)] == [False]


def test_windows_that_are_held_out_or_not_counted_are_told(make):
    folder = make(
        starts=(0, 600), windows={"train": {"placed": 3, "gtdb": 2}, "validation": {"brca1": 1, "chr21": 2}}
    )
    found = inspect_release(Release.open(folder))
    held = replace(found, windows=replace(found.windows, touching={"brca1": 2}), integrity=None)
    assert [check.ok for check in checks_of(held)[:3]] == [False, False, False]


def test_departure_is_in_standard_errors():
    assert departure([60, 40], [50, 50]) == pytest.approx(2)
    assert departure([500, 496, 4], [500, 498, 2]) < 0.3  # too few expected to say anything
    assert departure([90, 10], [50, 50]) > FAR


def test_the_law_of_lengths():
    law = geometric_law(1_000)
    assert sum(law) == pytest.approx(1_000)
    assert law[0] == pytest.approx(2 * law[1])


@pytest.mark.parametrize(("change", "name"), [("CT", "C>T"), ("GA", "C>T"), ("AG", "T>C"), ("GT", "C>A")])
def test_substitutions_of_either_strand_are_one(change, name):
    assert substitution(*change) == name


@given(st.integers(0, 3_000), st.integers(1, 500))
def test_a_sample_has_one_window_of_every_stretch(n, wanted):
    sample = sample_of(n, wanted)
    if wanted >= n:
        assert sample == list(range(n))
    else:
        assert [i * n // wanted <= number < (i + 1) * n // wanted for i, number in enumerate(sample)] == [
            True
        ] * wanted


@pytest.mark.parametrize("damage", ["missing", "integrity"])
def test_a_broken_release_is_an_error(make, damage):
    folder = make()
    if damage == "missing":
        (folder / "windows/train-00000.parquet").unlink()
    else:
        path = folder / "split_integrity.json"
        raw = json.loads(path.read_text())
        del raw["training"]["highest"]
        path.write_text(json.dumps(raw).ljust(path.stat().st_size))
    with pytest.raises(InputError) as error:
        inspect_release(Release.open(folder))
    assert error.value.code == "dataset-invalid"
