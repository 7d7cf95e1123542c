"""Held-out edits and haplotype blocks never come out of the builder; blocks that may be used do."""

import pickle
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from genolewm_core.genome.variant import RelEdit, Variant, edit_type
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus.windows import CorpusWindow
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.keys import WindowBases, edit_key
from genolewm_data.samplers import SourceMix, TableSampler, VariantTable
from genolewm_data.tuples import TupleBuilder, TupleOptions

MIX = SourceMix((("synthetic_snv", 2), ("synthetic_indel", 2), ("synthetic_mnv", 1)))
START = 40_000


def window(seed, length=3_000, alphabet="ACGT"):
    letters = np.random.default_rng(seed).choice(list(alphabet), length)
    return ReferenceWindow("1", START, START + length, "".join(letters))


def keys_of(held, samples):
    return [[edit_key(held, edit) for edit in sample.rel_edits] for sample in samples]


@pytest.mark.parametrize("multi_percent", [0, 50])
def test_edits_of_held_out_variants_are_redrawn(multi_percent):
    held = window(1, alphabet="AC")  # in which many indels roll
    options = TupleOptions(seed=5, mix=MIX, multi_percent=multi_percent)
    free = [TupleBuilder(options).build(held, number).tuples for number in range(40)]
    keys = {key for samples in free for tuple_keys in keys_of(held, samples) for key in tuple_keys}
    # One base of a substitution of several is enough to hold it out.
    mnvs = [key for key in keys if len(key.ref) == len(key.alt) > 1]
    parts = frozenset(Variant(key.chrom, key.pos, key.ref[0], key.alt[0]) for key in mnvs)
    held_out = HeldOut("GRCh38", variants={"some": frozenset(sorted(keys)[::2]), "parts": parts})
    n_refused = n_held = 0
    for number, before in enumerate(free):
        built = TupleBuilder(options, held_out=held_out).build(held, number)
        n_refused += built.tally["refused.held_out"]
        for old, new in zip(before, built.tuples, strict=True):
            assert not any(held_out.holds_edit(held, edit) for edit in new.rel_edits)
            was_held = any(held_out.holds_edit(held, edit) for edit in old.rel_edits)
            n_held += was_held
            assert old == new or was_held
    assert n_refused >= n_held > 150


def test_a_window_that_touches_a_held_out_region_has_no_edits_there():
    held = window(2)
    held_out = HeldOut("GRCh38", {"gene": Intervals.of({"chr1": [(START + 500, START + 2_500)]})})
    built = TupleBuilder(TupleOptions(seed=1, mix=MIX), held_out=held_out).build(held, 0)
    assert built.tally["refused.held_out"] > 0
    for sample in built.tuples:
        assert all(edit.change.end <= 500 or edit.change.start >= 2_500 for edit in sample.edits)


def test_an_indel_whose_repeat_leaves_the_window_cannot_be_told_and_is_refused():
    text = "A" * 200 + window(3).sequence
    held = ReferenceWindow("1", START, START + len(text), text)
    table = VariantTable.of([Variant("1", START + 151, "AA", "A"), Variant("1", START + 181, "A", "G")])
    options = TupleOptions(seed=1, mix=SourceMix((("gnomad", 1),)), multi_percent=0)
    nothing = TupleBuilder(options, [TableSampler("gnomad", table)], held_out=HeldOut("GRCh38"))
    drawn = {
        (edit.rel_pos, edit.alt_bases)
        for number in range(10)
        for sample in nothing.build(held, number).tuples
        for edit in sample.rel_edits
        if sample.sources == ("gnomad",)
    }
    assert drawn == {(180, "G")}


def test_no_two_edits_of_a_tuple_are_of_one_held_out_block():
    held = window(4)
    rng = np.random.default_rng(0)
    places = rng.choice(np.arange(200, 2_800, 9), 60, replace=False).tolist()
    common = [
        Variant("1", START + p + 1, held.sequence[p], "A" if held.sequence[p] != "A" else "C") for p in places
    ]
    keys = [Variant("chr1", v.pos, v.ref, v.alt) for v in common]
    even = frozenset({tuple(sorted(keys)[::2])})
    held_out = HeldOut("GRCh38", blocks={"haplotypes": even})
    options = TupleOptions(seed=2, mix=SourceMix((("gnomad", 1),)), multi_percent=100, spread_bp=3_000)
    samplers = [TableSampler("gnomad", VariantTable.of(common))]
    with_both, tally, singles = 0, Counter(), 0
    for number in range(6):
        for sample in TupleBuilder(options, samplers).build(held, number).tuples:
            with_both += held_out.holds_together(keys_of(held, [sample])[0])
        built = TupleBuilder(options, samplers, held_out=held_out).build(held, number)
        tally += built.tally
        for (tuple_keys,) in ([keys] for keys in keys_of(held, built.tuples)):
            assert not held_out.holds_together(tuple_keys)
            singles += any(key in next(iter(even)) for key in tuple_keys)
    assert with_both > 10
    assert singles > 10  # by itself each may be used
    assert tally["refused.held_out"] > 10


@pytest.fixture(scope="module")
def haplotypes():
    """A window, a table of blocks that lie in it, one of a long allele, and one outside the margin."""
    held = window(6)
    bases = WindowBases("1", START, held.sequence)

    def call(place, ref_len, alt):
        ref = held.sequence[place : place + ref_len]
        rel = Variant("1", START + place + 1, ref, ref[0] + alt if ref_len > 1 or len(alt) > 1 else alt)
        assert rel.ref != rel.alt
        edit = RelEdit(place, edit_type(rel.ref, rel.alt), rel.ref, rel.alt)
        return Call(bases.key(edit), rel)

    def snv(place):
        return call(place, 1, "ACGT"["ACGT".index(held.sequence[place]) - 1])

    usable = [
        Block((snv(100), snv(140))),
        Block((snv(500), call(520, 3, ""), snv(560))),
        Block(tuple(snv(900 + 30 * i) for i in range(8))),
        Block((call(1_500, 1, "TTG"), snv(1_600))),
    ]
    long_one = Block((snv(2_000), call(2_050, 20, "")))
    outside = Block((snv(20), snv(200)))
    return held, usable, HaplotypeTable(dict.fromkeys([*usable, long_one, outside], 1))


def test_blocks_come_out_whole_each_as_often_and_the_rest_is_drawn(haplotypes):
    held, usable, table = haplotypes
    options = TupleOptions(seed=3, mix=MIX, multi_percent=50, haplotype_percent=50)
    builder = TupleBuilder(options, haplotypes=table)
    again = pickle.loads(pickle.dumps(builder))
    tally, seen = Counter(), Counter()
    for number in range(250):
        built = builder.build(held, number)
        assert again.build(held, number) == built
        tally += built.tally
        for sample in built.tuples:
            if "haplotype" in sample.sources:
                assert set(sample.sources) == {"haplotype"}
                seen[tuple(sorted(keys_of(held, [sample])[0]))] += 1
    assert set(seen) == {block.keys for block in usable}
    # A thousand tuples of several edits, half of them blocks: 500 ± 16, and a fourth of those each.
    assert tally["asked.haplotype"] == pytest.approx(500, abs=64)
    assert tally["fallback.haplotype"] == 0
    assert seen.total() == tally["asked.haplotype"]
    assert sum((n - seen.total() / 4) ** 2 / (seen.total() / 4) for n in seen.values()) < 11.345
    assert tally["drawn.haplotype"] == sum(len(keys) * n for keys, n in seen.items())
    assert tally["refused.too_long"] > 0
    assert sum(n for key, n in tally.items() if key.startswith("edits.")) == 2_000


def test_held_out_blocks_are_never_drawn_and_a_window_of_none_falls_back(haplotypes):
    held, usable, table = haplotypes
    options = TupleOptions(seed=3, mix=MIX, multi_percent=100, haplotype_percent=100)
    one, two = usable[0].keys, usable[1].keys
    held_out = HeldOut("GRCh38", variants={"v": frozenset(one[:1])}, blocks={"h": frozenset({two[:2]})})
    seen = set()
    for number in range(12):
        built = TupleBuilder(options, haplotypes=table, held_out=held_out).build(held, number)
        for sample, keys in zip(built.tuples, keys_of(held, built.tuples), strict=True):
            assert not held_out.holds_together(keys)
            if "haplotype" in sample.sources:
                seen.add(tuple(sorted(keys)))
    assert seen == {usable[2].keys, usable[3].keys}
    pairs = frozenset(pair for block in usable for pair in combinations(block.keys, 2))
    everything = HeldOut("GRCh38", blocks={"h": pairs})
    built = TupleBuilder(options, haplotypes=table, held_out=everything).build(held, 0)
    assert built.tally["asked.haplotype"] == built.tally["fallback.haplotype"] == 8
    assert set(built.tally) >= {"refused.held_out", "refused.too_long"}
    assert len(built.tuples) == 8


def test_corpus_windows_and_windows_elsewhere_have_no_blocks_and_are_not_asked_about(haplotypes):
    held, _, table = haplotypes
    everything = HeldOut("GRCh38", {"all": Intervals.of({"chr1": [(0, 1 << 30)]})})
    options = TupleOptions(seed=3, mix=MIX, multi_percent=100, haplotype_percent=100)
    corpus = CorpusWindow("eukaryote_generator", "1", START, held.sequence)
    built = TupleBuilder(options, haplotypes=table, held_out=everything).build(corpus, 0)
    elsewhere = TupleBuilder(options, haplotypes=table).build(
        ReferenceWindow("2", START, START + 3_000, held.sequence), 0
    )
    for result in (built, elsewhere):
        assert len(result.tuples) == 8
        assert not [key for key in result.tally if "held_out" in key or "haplotype" in key]
