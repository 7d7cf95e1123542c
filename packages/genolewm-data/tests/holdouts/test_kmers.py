"""Sampled k-mers against a plain count of all of them."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.reference import Reference
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.kmers import (
    K_BP,
    KEPT_ONE_IN,
    NEIGHBOURHOOD_BP,
    HeldSequence,
    sampled_kmers,
)

MASK = (1 << 64) - 1


def code(text):
    value = 0
    for base in text:
        value = value << 2 | "ATCG".index(base)
    return value


def kept(value):
    """SplitMix64's finaliser in Python's integers."""
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & MASK
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31) < (1 << 64) // KEPT_ONE_IN


def plainly(sequence):
    found = []
    for at in range(len(sequence) - K_BP + 1):
        text = sequence[at : at + K_BP].upper()
        if set(text) <= set("ACGT"):
            canonical = min(code(text), code(reverse_complement(text)))
            if kept(canonical):
                found.append(canonical)
    return found


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 160), st.lists(st.integers(0, 159), max_size=3), st.booleans())
def test_sampled_kmers_are_those_of_a_plain_count(seed, length, unknown, lower):
    bases = random.Random(seed).choices("ACGT", k=length)
    for at in unknown:
        if at < length:
            bases[at] = "N"
    sequence = "".join(bases)
    found = sampled_kmers(sequence.lower() if lower else sequence).tolist()
    assert found == plainly(sequence)
    assert sampled_kmers(reverse_complement(sequence)).tolist() == found[::-1]


def test_one_kmer_in_eight_is_kept():
    sequence = "".join(random.Random(1).choices("ACGT", k=80_000))
    assert 9_500 < len(sampled_kmers(sequence)) < 10_500


@pytest.fixture
def small(tmp_path):
    """Three kilobases of chr1, of which 500 stand twice, and a contig that is held out as well."""
    rng = random.Random(5)
    first = "".join(rng.choices("ACGT", k=3_000))
    first += first[500:1_000]
    second = "".join(rng.choices("ACGT", k=1_000))
    path = tmp_path / "reference.fa"
    path.write_text(f">1\n{first}\n>2\n{second}\n")
    regions = {
        "a": Intervals.of({"chr1": [(0, 2_000), (3_000, 3_500)]}),
        "b": Intervals.of({"chr1": [(1_500, 2_500)], "chr9": [(0, 10)]}),
        "whole": Intervals.of({"chr2": [(0, 1 << 30)]}),
    }
    return first, second, HeldSequence.of(regions, Reference(path))


def test_every_kmer_has_its_hold_outs_and_repeats_stand_aside(small):
    first, second, held = small
    once = {*plainly(first[:500] + "N" + first[500:2_500]), *plainly(second)}
    twice = set(plainly(first[500:1_000]))
    assert set(held.repeats.tolist()) == twice
    # K-mers over the border between two intervals that touch are held-out sequence too.
    assert set(held.kmers.tolist()) == {*once, *plainly(first[450:550])} - twice
    a, b = held.match(first[1_000:1_500]), held.match(first[2_000:2_500])
    both, whole = held.match(first[1_500:2_000]), held.match(second)
    for match, names in ((a, {"a"}), (b, {"b"}), (both, {"a", "b"}), (whole, {"whole"})):
        assert set(match.by_holdout) == names
        assert set(match.by_holdout.values()) == {match.found}
        assert match.found == match.informative > 40
        assert match.containment == 1
    repeat = held.match(first[500:1_000])
    assert (repeat.informative, repeat.found, repeat.containment) == (0, 0, 0)
    free = held.match(first[2_500:3_000])
    assert free.informative > 40
    assert free.found == 0


def test_joining_is_as_if_made_of_both(small, tmp_path):
    first, second, held = small
    rng = random.Random(9)
    new = "".join(rng.choices("ACGT", k=600))
    path = tmp_path / "other.fa"
    # The repeat of one assembly stands once on the other; one new stretch there stands twice.
    path.write_text(f">chr1\n{first[:1_200]}{new}{new}\n>chr2\n{second}\n")
    other = HeldSequence.of({"c": Intervals.of({"chr1": [(0, 5_000)]})}, Reference(path))
    joined = held.join(other)
    assert joined.names == ("a", "b", "c", "whole")
    assert set(joined.repeats.tolist()) == {*held.repeats.tolist(), *other.repeats.tolist()}
    assert joined.match(new).informative == 0
    assert joined.match(first[500:1_000]).informative == 0
    shared = joined.match(first[1_000:1_200])
    assert set(shared.by_holdout) == {"a", "c"}
    assert joined.match(first[1_500:2_000]).by_holdout == held.match(first[1_500:2_000]).by_holdout
    turned = other.join(held)
    assert np.array_equal(turned.kmers, joined.kmers)
    assert np.array_equal(turned.labels, joined.labels)
    assert len({joined.digest, held.digest, other.digest}) == 3
    assert np.all(joined.kmers[1:] > joined.kmers[:-1])


def test_matches_count_where_most_of_them_lie(tmp_path):
    rng = random.Random(3)
    apart = 4 * NEIGHBOURHOOD_BP
    pieces = ["".join(rng.choices("ACGT", k=size)) for size in (1_000, 3_000, 1_000)]
    bases = "".join(piece + "N" * (apart - len(piece)) for piece in pieces)
    path = tmp_path / "reference.fa"
    path.write_text(f">chr1\n{bases}\n>chr2\n{pieces[0][::-1]}\n")
    regions = {
        "a": Intervals.of({"chr1": [(0, apart)], "chr2": [(0, 1_000)]}),
        "b": Intervals.of({"chr1": [(apart, 3 * apart)]}),
    }
    match = HeldSequence.of(regions, Reference(path)).match("N".join((*pieces, pieces[0][::-1])))
    expected = [len(plainly(piece)) for piece in pieces]
    assert match.by_holdout == {"b": expected[1]}
    assert match.found == expected[1]
    assert match.scattered == expected[0] + expected[2] + len(plainly(pieces[0][::-1]))
    assert match.informative == match.found + match.scattered


def test_a_copy_over_the_border_of_two_stretches_is_one(tmp_path):
    bases = "".join(random.Random(4).choices("ACGT", k=2 * NEIGHBOURHOOD_BP))
    path = tmp_path / "reference.fa"
    path.write_text(f">chr1\n{bases}\n")
    held = HeldSequence.of({"a": Intervals.of({"chr1": [(0, len(bases))]})}, Reference(path))
    match = held.match(bases[NEIGHBOURHOOD_BP - 3_000 : NEIGHBOURHOOD_BP + 3_000])
    assert match.containment == 1
    assert match.scattered == 0


def test_nothing_held_out_matches_nothing(small, tmp_path):
    path = tmp_path / "empty.fa"
    path.write_text(">chr1\nACGT\n")
    empty = HeldSequence.of({"a": Intervals({})}, Reference(path))
    assert empty.match(small[0]).found == 0
    assert empty.join(small[2]).match(small[1]).containment == 1
