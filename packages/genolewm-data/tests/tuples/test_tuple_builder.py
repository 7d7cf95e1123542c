"""Training tuples of windows: what they may hold, and that they do not depend on who builds them."""

import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError
from genolewm_core.genome.edits import apply_edits
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import V1_MAX_LEN, Variant
from genolewm_core.scoring.states import ReferenceWindow, window_hash
from genolewm_data.corpus.windows import CorpusWindow
from genolewm_data.samplers import EditableWindow, Refusal, SourceMix, TableSampler, VariantTable
from genolewm_data.tuples import (
    MULTI_EDITS,
    CorpusPlace,
    GenomePlace,
    TupleBuilder,
    TupleOptions,
    WindowRef,
    realised_mix,
    tuple_of_variants,
)

ALL_KINDS = SourceMix(
    (("gnomad", 30), ("synthetic_snv", 20), ("synthetic_indel", 25), ("synthetic_mnv", 15), ("clinvar", 10))
)


def sequence(seed, length, letters="ACGT"):
    """Random bases, with runs and tandem repeats in which edits roll, and a few N if the letters have them."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < length:
        unit = "".join(rng.choice(list(letters), rng.integers(1, 60)))
        parts.append(unit * int(rng.choice([1, 1, 1, 12 if len(unit) < 7 else 1])))
    return "".join(parts)[:length]


def variants(text, contig, start, every, seed=0):
    """SNVs, insertions and deletions all over a window."""
    rng = np.random.default_rng(seed)
    for place in range(0, len(text) - 10, every):
        ref = text[place : place + int(rng.choice([1, 1, 1, 3, 6]))]
        alt = ref[0] + "TG" if rng.random() < 0.3 else ("C" if ref[0] != "C" else "G")
        if "N" not in ref and ref != alt:
            yield Variant(contig, start + place + 1, ref, alt)


def builder(table, **options):
    samplers = TableSampler("gnomad", table), TableSampler("clinvar", table)
    return TupleBuilder(TupleOptions(**{"seed": 3, "mix": ALL_KINDS, **options}), samplers)


windows = st.builds(
    lambda seed, length, letters: ReferenceWindow("c", 600, 600 + length, sequence(seed, length, letters)),
    st.integers(0, 2**32),
    st.integers(400, 2_500),
    st.sampled_from(["ACGT", "ACGT" * 60 + "N", "AT"]),
)


@settings(deadline=None, max_examples=60)
@given(windows, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from([0, 10, 60]))
def test_edits_touch_neither_n_nor_margins_nor_each_other(window, seed, number, multi_percent):
    table = VariantTable.of(variants(window.sequence, "c", 600, 25))
    build = builder(table, seed=seed, multi_percent=multi_percent, radius_tok=11)
    margin = build.margin_bp
    assert margin == 82
    for sample in build.build(window, number).tuples:
        assert len(sample.edits) in (1, *MULTI_EDITS)
        for edit in sample.edits:
            rel, change = edit.rel, edit.change
            assert max(len(rel.ref_bases), len(rel.alt_bases)) <= V1_MAX_LEN
            assert rel.rel_pos >= margin
            assert max(change.end, change.start + 1) + margin <= len(window.sequence)
            around = window.sequence[rel.rel_pos - margin : change.end + margin]
            assert "N" not in around
            assert len(around) == change.end + 2 * margin - rel.rel_pos
        for left, right in pairwise(sample.edits):
            assert left.change.end < right.begin <= right.change.start
        places = [edit.rel.rel_pos for edit in sample.edits]
        assert max(places) - min(places) < 1_000
        edited = apply_edits(window.sequence, sample.rel_edits)
        assert edited == sample.edited(window.sequence) != window.sequence
        assert len(edited) - len(window.sequence) == sum(edit.change.net for edit in sample.edits)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**64 - 1), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_stream_does_not_depend_on_how_windows_are_shared_out(seed, n_workers, random):
    text = sequence(1, 9_000)
    held = [ReferenceWindow("c", i * 900, i * 900 + 900, text[i * 900 : i * 900 + 900]) for i in range(10)]
    first = builder(VariantTable.of(variants(text, "c", 0, 20)), seed=seed, multi_percent=40)
    together = {number: first.build(window, number) for number, window in enumerate(held)}
    workers = [pickle.loads(pickle.dumps(first)) for _ in range(n_workers)]
    order = list(range(10))
    random.shuffle(order)
    apart = {number: random.choice(workers).build(held[number], number) for number in order}
    assert apart == together
    assert len({built.tuples for built in together.values()}) == 10


def test_another_seed_or_number_draws_other_edits():
    window = ReferenceWindow("c", 0, 3_000, sequence(4, 3_000))
    drawn = [
        TupleBuilder(TupleOptions(seed, mix=SourceMix((("synthetic_snv", 1),)))).build(window, number).tuples
        for seed, number in ((1, 1), (1, 2), (2, 1), (1, 2**63))
    ]
    assert len(set(drawn)) == 4


def test_the_mix_is_met_and_everything_is_counted():
    text = sequence(9, 12_288)
    table = VariantTable.of(variants(text, "c", 0, 40))
    build = builder(table, mix=SourceMix.standard(clinvar=True), multi_percent=10)
    tally = Counter()
    samples = []
    for number in range(250):
        built = build.build(ReferenceWindow("c", 0, 12_288, text), number)
        tally += built.tally
        samples += built.tuples
    assert len(samples) == 2_000
    sizes = Counter(len(sample.edits) for sample in samples)
    assert sum(n for size, n in sizes.items() if size > 1) == 200
    assert {f"edits.{size}": n for size, n in sizes.items()} == {
        k: n for k, n in tally.items() if "edits." in k
    }
    # 50 each are expected; 11.345 is chi-square's value at p = 0.01 with 3 degrees of freedom.
    assert sum((sizes[k] - 50) ** 2 / 50 for k in MULTI_EDITS) < 11.345
    sources = Counter(source for sample in samples for source in sample.sources)
    assert {f"drawn.{source}": n for source, n in sources.items()} == {
        k: n for k, n in tally.items() if "drawn." in k
    }
    for source, share in (("gnomad", 0.4), ("synthetic_indel", 0.2), ("clinvar", 0.1)):
        assert realised_mix(tally)[source] == pytest.approx(share, abs=0.025)
        assert sources[source] == tally[f"asked.{source}"] - tally[f"fallback.{source}"]
    assert sum(n for k, n in tally.items() if "asked." in k) == sources.total()


def test_a_corpus_window_has_no_variants_of_tables_and_falls_back():
    window = CorpusWindow("eukaryote_generator", "r1", 256, sequence(2, 6_144))
    build = builder(VariantTable.of([Variant("c", 5, "A", "G")]), mix=SourceMix.standard(), multi_percent=0)
    built = build.build(window, 0)
    assert built.tally["fallback.gnomad"] == built.tally["asked.gnomad"] == 3
    assert built.tally["drawn.synthetic_snv"] == 6
    (ref,) = {sample.window for sample in built.tuples}
    assert ref == WindowRef(
        window_hash(window.sequence), 6_144, CorpusPlace("eukaryote_generator", "r1", 256)
    )


def test_a_window_with_one_variant_gives_it_once_and_other_substitutes_every_time():
    text = sequence(5, 6_144)
    ref = text[3_000]
    table = VariantTable.of([Variant("c", 3_001, ref, "C" if ref != "C" else "T")])
    build = builder(table, mix=SourceMix((("gnomad", 1),)), multi_percent=0)
    substitutes = set()
    for number in range(4):
        built = build.build(ReferenceWindow("c", 0, 6_144, text), number)
        assert Counter(s for sample in built.tuples for s in sample.sources) == {
            "gnomad": 1,
            "synthetic_snv": 7,
        }
        assert built.tally["fallback.gnomad"] == 7
        edits = [edit for sample in built.tuples for edit in sample.edits]
        substitutes |= {edit.rel for edit in edits if edit.source == "synthetic_snv"}
    assert len(substitutes) == 28


def test_variants_of_another_assembly_are_refused_and_counted():
    table = VariantTable.of(Variant("c", p, "A", "T") for p in range(1, 6_000))
    built = builder(table, mix=SourceMix((("gnomad", 1),)), multi_percent=0).build(
        ReferenceWindow("c", 0, 6_144, "CG" * 3_072), 0
    )
    assert built.tally["fallback.gnomad"] == 8
    assert built.tally["refused.ref_mismatch"] > 8
    assert all(sample.sources == ("synthetic_snv",) for sample in built.tuples)


@pytest.mark.parametrize("text", ["N" * 6_144, "ACGT" * 30])
def test_a_window_without_room_gives_no_tuples(text):
    built = builder(VariantTable.of([])).build(ReferenceWindow("c", 0, len(text), text), 0)
    assert built.tuples == ()
    assert built.tally["empty"] == 8


def test_a_tuple_is_small_and_survives_pickling():
    window = ReferenceWindow("c", 0, 12_288, sequence(6, 12_288))
    built = builder(VariantTable.of([]), multi_percent=100).build(window, 0)
    assert {s.window.place for s in built.tuples} == {GenomePlace("c", 0)}
    for sample in built.tuples:
        stored = pickle.dumps(sample)
        assert pickle.loads(stored) == sample
        assert len(stored) < 400 + 150 * len(sample.edits)


def test_a_mix_without_its_tables_is_refused():
    with pytest.raises(ConfigError) as error:
        TupleBuilder(TupleOptions(seed=0))
    assert (error.value.code, error.value.found) == ("config-invalid", "gnomad")


@pytest.mark.parametrize("option", ["seed", "edits_per_window", "multi_percent", "spread_bp", "radius_tok"])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ConfigError) as error:
        TupleOptions(**{"seed": 0, option: -1})
    assert error.value.where == option


TEXT = "ACGTTGCA" * 40


@pytest.mark.parametrize(
    ("given_variants", "outcome"),
    [
        ([(1_101, "T", "A"), (1_110, "G", "GC")], ["haplotype", "haplotype"]),
        ([(1_110, "G", "GC"), (1_101, "T", "A")], ["haplotype", "haplotype"]),
        ([(1_101, "T", "A"), (1_102, "G", "C")], Refusal.OVERLAP),
        ([(1_101, "T", "A"), (1_102, "A", "C")], Refusal.REF_MISMATCH),
        ([(1_101, "T", "A"), (1_003, "G", "C")], Refusal.MARGIN),
        ([(900, "T", "A")], Refusal.MARGIN),
    ],
)
def test_a_haplotype_is_taken_whole_or_not_at_all(given_variants, outcome):
    window = ReferenceWindow("c", 1_000, 1_320, TEXT)
    held = [Variant("c", *fields) for fields in given_variants]
    sample = tuple_of_variants(EditableWindow.of(window, 64), WindowRef.of(window), 2, held)
    if isinstance(outcome, Refusal):
        assert sample is outcome
    else:
        assert list(sample.sources) == outcome
        assert [edit.rel.rel_pos for edit in sample.edits] == [100, 109]


def test_a_haplotype_of_another_contig_or_of_nothing_is_a_mistake():
    window = ReferenceWindow("c", 0, 320, TEXT)
    opened, ref = EditableWindow.of(window, 64), WindowRef.of(window)
    with pytest.raises(ValueError, match="contig"):
        tuple_of_variants(opened, ref, 0, [Variant("d", 101, "T", "A")])
    with pytest.raises(ValueError, match="at least one"):
        tuple_of_variants(opened, ref, 0, [])


@pytest.mark.shared_data
def test_real_variants_lie_in_real_windows(shared_data):
    path = shared_data / "population" / "1000G_phase3.chr20_1-2Mb.sites.GRCh37.vcf.gz"
    with pysam.VariantFile(str(path)) as file:
        table = VariantTable.of(
            Variant("20", record.pos, record.ref, alt)
            for record in file
            for alt, af in zip(record.alts or (), record.info["AF"], strict=True)
            if af >= 0.01 and set(record.ref + alt) <= set("ACGT")
        )
    assert len(table) > 4_000
    build = TupleBuilder(TupleOptions(seed=1), [TableSampler("gnomad", table)])
    tally = Counter()
    with Reference(shared_data / "reference" / "GRCh37.shared.fa.gz") as reference:
        for number, start in enumerate(range(1_000_000, 1_980_000, 32_768)):
            text = reference.fetch("20", start, start + 12_288)
            tally += build.build(ReferenceWindow("20", start, start + 12_288, text), number).tally
    assert tally["refused.ref_mismatch"] == 0
    assert tally["drawn.gnomad"] > 0.9 * tally["asked.gnomad"] > 80
