"""Windows of a reference: layouts, what is dropped, parts, order, and going on."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from functools import reduce
from itertools import islice, pairwise
from operator import add
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus import CorpusWindow
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.parts import Part, shuffled
from genolewm_data.placed import PlacedAccount, PlacedStream, Strides

SMALL = Strides(window_bp=12, stride_bp=8)


def write_fasta(path: Path, contigs: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return path


@pytest.fixture(scope="session")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(1)
    contigs = {name: "".join(draw.choices("ACGT", k=n)) for name, n in {"a": 500, "b": 11, "c": 803}.items()}
    contigs["a"] = contigs["a"][:96] + "N" * 40 + contigs["a"][136:].lower()
    contigs["c"] = contigs["c"][:200] + "R" + contigs["c"][201:]
    return write_fasta(tmp_path_factory.mktemp("fasta") / "small.fa", contigs)


def spans(stream) -> list[tuple[str, int, int]]:
    return [(w.contig, w.start, w.end) for w in stream]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([Region("c", 0, 30)], [("c", 0, 12), ("c", 8, 20), ("c", 16, 28)]),
        ([Region("c", 1, 28)], [("c", 8, 20), ("c", 16, 28)]),
        ([Region("c", 1, 27)], [("c", 8, 20)]),
        ([Region("c", 9, 20)], []),
        # Out of order, overlapping, and touching: as one stretch.
        (
            [Region("c", 20, 30), Region("c", 9, 20), Region("c", 0, 12)],
            [("c", 0, 12), ("c", 8, 20), ("c", 16, 28)],
        ),
        ([Region("c", 790, 803), Region("b", 0, 11)], []),
        ([Region("c", 784, 803), Region("a", 0, 12)], [("a", 0, 12), ("c", 784, 796)]),
    ],
)
def test_strides_inside_regions(fasta, regions, expected):
    assert spans(PlacedStream(fasta, SMALL, regions=regions, seed=None)) == expected


def test_windows_are_the_references_bases(fasta):
    reference = Reference(fasta)
    windows = list(PlacedStream(fasta, SMALL, max_n_share=0.5))
    assert len(windows) > 130
    for window in windows:
        assert type(window) is ReferenceWindow
        assert not isinstance(window, CorpusWindow)
        assert window.sequence == reference.fetch(window.contig, window.start, window.end)
        assert window.loci == ()


def test_windows_with_n_are_dropped_and_counted(fasta):
    # N from 96 to 136: windows at 88 and 128 have 4 and 8 of them, those at 96 to 120 twelve.
    region = [Region("a", 80, 160)]
    for share, given_starts, account in (
        (0.0, {80, 136, 144}, PlacedAccount(windows=3, all_n=4, n_share=2)),
        (0.4, {80, 88, 136, 144}, PlacedAccount(windows=4, all_n=4, n_share=1)),
        (1.0, {80, 88, 128, 136, 144}, PlacedAccount(windows=5, all_n=4)),
    ):
        reader = PlacedStream(fasta, SMALL, regions=region, max_n_share=share).reader()
        assert {window.start for window in reader} == given_starts
        assert reader.account == account
    other_code = PlacedStream(fasta, SMALL, regions=[Region("c", 192, 212)]).reader()
    assert spans(other_code) == []
    assert other_code.account == PlacedAccount(n_share=2)


def between(contig: str, start: int, end: int) -> HeldOut:
    return HeldOut("GRCh38", {"some": Intervals.of({contig: [(start, end)]})})


@given(st.integers(0, 500), st.integers(1, 120))
@settings(max_examples=25, deadline=None)
def test_no_window_touches_a_hold_out(fasta, start, length):
    stream = PlacedStream(fasta, SMALL, max_n_share=1.0)
    held = PlacedStream(fasta, SMALL, max_n_share=1.0, held_out=between("c", start, start + length))
    touching = {s for s in spans(stream) if s[0] == "c" and s[1] < start + length and s[2] > start}
    reader = held.reader()
    assert set(spans(reader)) == set(spans(stream)) - touching
    assert reader.account.held_out == len(touching) > 0


def test_regions_without_windows_are_counted(fasta):
    stream = PlacedStream(fasta, SMALL, regions=[Region("b", 0, 11), Region("c", 1, 19), Region("c", 40, 80)])
    assert stream.places.n_without == 2


@given(st.integers(1, 60), st.sampled_from([None, 0, 9]))
@settings(max_examples=25, deadline=None)
def test_parts_are_the_whole(fasta, count, seed):
    stream = PlacedStream(fasta, SMALL, seed=seed, held_out=between("c", 300, 350))
    whole = stream.reader()
    expected = Counter(whole)
    readers = [stream.reader(Part(index, count)) for index in range(count)]
    assert Counter(window for reader in readers for window in reader) == expected
    assert set(expected.values()) == {1}
    assert reduce(add, (reader.account for reader in readers)) == whole.account


@given(st.data(), st.booleans(), st.integers(1, 3), st.sampled_from([None, 4]))
@settings(max_examples=25, deadline=None)
def test_resumed_equals_uninterrupted(fasta, data, repeat, count, seed):
    part = Part(data.draw(st.integers(0, count - 1)), count)

    def stream():
        return PlacedStream(fasta, SMALL, seed=seed, repeat=repeat, held_out=between("a", 30, 60))

    uninterrupted = stream().reader(part)
    expected = list(islice(uninterrupted, 400))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(expected)), max_size=3)))
    got, state = [], None
    for cut in [*cuts, 400]:
        reader = pickle.loads(pickle.dumps(stream())).reader(part, state)
        got += islice(reader, cut - len(got))
        state = pickle.loads(pickle.dumps(reader.state))
    assert got == expected
    assert state == uninterrupted.state


def test_order(fasta):
    in_order, once, again, other = (spans(PlacedStream(fasta, SMALL, seed=seed)) for seed in (None, 1, 1, 2))
    assert in_order == sorted(in_order)
    assert once == again
    assert once != other
    assert sorted(once) == sorted(other) == in_order
    passes = spans(islice(PlacedStream(fasta, SMALL, seed=1, repeat=True), 3 * len(in_order)))
    thirds = [passes[at : at + len(in_order)] for at in range(0, len(passes), len(in_order))]
    assert [sorted(third) for third in thirds] == [in_order] * 3
    assert thirds[0] == once
    assert thirds[0] != thirds[1] != thirds[2]


@given(st.integers(0, 500), st.text(max_size=8))
def test_shuffled_is_a_permutation(n, key):
    assert sorted(shuffled(n, key)) == list(range(n))


def test_shuffled_is_the_same_everywhere_and_even():
    # By hand: first 8 bytes of SHA-256("0") as the start of the published SplitMix64, outputs sorted.
    assert shuffled(8, "0").tolist() == splitmix_order(8, "0")
    first = Counter(int(shuffled(5, str(key))[0]) for key in range(5000))
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in first.values())
    neighbours = sum(int(b == a + 1) for a, b in pairwise(shuffled(10_000, "x").tolist()))
    assert neighbours < 10


def splitmix_order(n: int, key: str) -> list[int]:
    import hashlib

    state, out, mask = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"), [], 2**64 - 1
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return sorted(range(n), key=out.__getitem__)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"regions": [Region("c", 0, 99)]}, {"max_n_share": 0.1}, {"repeat": True}]
)
def test_state_of_another_stream_is_refused(fasta, change):
    state = PlacedStream(fasta, SMALL).reader().state
    with pytest.raises(ConfigError, match="resume-conflict"):
        PlacedStream(fasta, SMALL, **change).reader(state=state)
    with pytest.raises(ConfigError, match="resume-conflict"):
        PlacedStream(fasta, Strides(12, 4)).reader(state=state)
    with pytest.raises(ConfigError, match="resume-conflict"):
        PlacedStream(fasta, SMALL).reader(Part(0, 2), state)


def test_repeating_without_a_window_is_an_error(fasta):
    stream = PlacedStream(fasta, SMALL, regions=[Region("a", 96, 136)], repeat=True)
    with pytest.raises(InputError, match="training-data-missing") as caught:
        next(stream.reader())
    assert caught.value.found == "all_n 4"


@pytest.mark.parametrize(
    ("region", "error", "code"),
    [
        (Region("d", 0, 9), InputError, "contig-unknown"),
        (Region("c", 0, 804), ConfigError, "config-invalid"),
        (Region("c", 9, 9), ConfigError, "config-invalid"),
    ],
)
def test_regions_of_another_reference(fasta, region, error, code):
    with pytest.raises(error, match=code):
        PlacedStream(fasta, SMALL, regions=[region])


def test_whole_yeast_genome(shared_data):
    path = shared_data / "species" / "sacCer3.fa.gz"
    reader = PlacedStream(path, Strides(12_288, 12_288), held_out=between("chrIV", 0, 10**9)).reader()
    windows = list(reader)
    lengths = Reference(path).contigs
    assert reader.account.held_out == lengths["chrIV"] // 12_288
    assert len(windows) == sum(n // 12_288 for n in lengths.values()) - lengths["chrIV"] // 12_288
    assert all(len(w.sequence) == 12_288 and not w.sequence.strip("ACGT") for w in windows)
    assert "chrIV" not in {w.contig for w in windows}
