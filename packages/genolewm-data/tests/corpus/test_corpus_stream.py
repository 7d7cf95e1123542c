"""The stream: mix, parts, counts, and going on where it stopped."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from functools import reduce
from itertools import islice
from operator import add

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.corpus import (
    CARBON_MIX,
    ConfigAccount,
    CorpusStream,
    CorpusWindow,
    ParquetSource,
    Slice,
    WindowRule,
)
from genolewm_data.holdouts.held import HeldOut
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.parts import Part

from .conftest import GENERATOR, bases, generator_rows, text_rows, write

RULE = WindowRule(window_bp=48, stride_bp=32, margin_bp=6)


@pytest.fixture(scope="session")
def sources(corpus):
    return [ParquetSource(config, corpus) for config in CARBON_MIX]


def test_windows_are_cut_out_of_their_records(corpus, sources):
    records = {
        record.record_id: record.sequence
        for source in sources
        for unit in range(source.n_units)
        for _, record in source.records(unit, Part().shares(1)[0])
    }
    windows = list(CorpusStream(sources, rule=RULE, at_end="continue"))
    assert len(windows) > 500
    for window in windows:
        assert type(window) is CorpusWindow
        assert window.sequence == records[window.record_id][window.start : window.start + 48]
        assert len(window.sequence) == 48
    assert len(set(windows)) == len(windows)


def test_every_record_and_window_is_counted_once(tmp_path):
    good = bases(200, 1)
    texts = [good, good[:59], "", None, good.lower(), "ACGU" * 15, good[:30] + "-" + good[:29], "N" * 60]
    write(tmp_path, "mrna_evo2", text_rows(texts), row_group_size=3)
    reader = CorpusStream([ParquetSource("mrna_evo2", tmp_path)], rule=RULE, mix={"mrna_evo2": 1}).reader()
    windows = list(reader)
    # 200 bases have 141 places, so four windows at a first place up to 12, else five with a stride of 32.
    n_good = len(RULE.starts(200, f"0:mrna_evo2:0:{windows[0].record_id}"))
    assert {w.record_id for w in windows} == {windows[0].record_id}  # lower case names the same bases
    assert reader.accounts["mrna_evo2"] == ConfigAccount(
        records=8, empty=2, short=1, windows=2 * n_good, uracil=1, gap=1, ambiguous=1
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 400))
@settings(max_examples=15, deadline=None)
def test_shares_hold_after_any_number_of_windows(sources, weights, n):
    mix = dict(zip(CARBON_MIX, weights, strict=False))
    reader = CorpusStream(
        [s for s in sources if s.config in mix], rule=RULE, mix=mix, at_end="repeat"
    ).reader()
    counts = Counter(window.config for window in islice(reader, n))
    total = sum(weights)
    for config, weight in mix.items():
        assert abs(counts[config] - n * weight / total) < 2
        assert reader.shares[config] == counts[config] / n
        assert reader.accounts[config].windows == counts[config]


def test_carbon_mix_over_a_hundred_windows(sources):
    reader = CorpusStream(sources, rule=RULE, at_end="repeat").reader()
    assert Counter(window.config for window in islice(reader, 400)) == {
        config: 4 * share for config, share in CARBON_MIX.items()
    }


def test_ends_of_a_stream(sources):
    every = Counter(w.config for w in CorpusStream(sources, rule=RULE, at_end="continue"))
    stopped = CorpusStream(sources, rule=RULE).reader()
    counts = Counter(window.config for window in stopped)
    # The one with the largest share for its size ends first and takes the stream with it.
    assert counts[GENERATOR] == every[GENERATOR]
    assert all(abs(counts[c] - counts.total() * share / 100) < 2 for c, share in CARBON_MIX.items())
    again = list(islice(CorpusStream(sources, rule=RULE, at_end="repeat"), 3 * every.total()))
    first_pass = [w for w in again if w.config == GENERATOR][: every[GENERATOR]]
    second_pass = [w for w in again if w.config == GENERATOR][every[GENERATOR] : 2 * every[GENERATOR]]
    assert {w.record_id for w in first_pass} == {w.record_id for w in second_pass}
    assert [w.record_id for w in first_pass] != [w.record_id for w in second_pass]
    assert set(first_pass) != set(second_pass)  # starts are drawn anew


@given(st.integers(1, 40), st.integers(0, 3), st.sampled_from([None, Slice(1, 0.5)]))
@settings(max_examples=12, deadline=None)
def test_parts_are_the_whole(sources, count, seed, subset):
    stream = CorpusStream(sources, rule=RULE, seed=seed, subset=subset, at_end="continue")
    whole = stream.reader()
    expected = Counter(whole)
    readers = [stream.reader(Part(index, count)) for index in range(count)]
    assert Counter(window for reader in readers for window in reader) == expected
    for config in CARBON_MIX:
        assert reduce(add, (r.accounts[config] for r in readers)) == whole.accounts[config]


@given(
    st.data(),
    st.sampled_from(["stop", "continue", "repeat"]),
    st.integers(1, 3),
    st.sampled_from([None, Slice(1, 0.6)]),
)
@settings(max_examples=15, deadline=None)
def test_resumed_equals_uninterrupted(sources, data, at_end, count, subset):
    part = Part(data.draw(st.integers(0, count - 1)), count)

    def stream():
        return CorpusStream(sources, rule=RULE, seed=5, subset=subset, at_end=at_end)

    uninterrupted = stream().reader(part)
    expected = list(islice(uninterrupted, 700))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(expected)), max_size=3)))
    got, state = [], None
    for cut in [*cuts, 700]:
        reader = pickle.loads(pickle.dumps(stream())).reader(part, state)
        got += islice(reader, cut - len(got))
        state = pickle.loads(pickle.dumps(reader.state))
    assert got == expected
    assert state == uninterrupted.state


def test_state_of_a_window_that_follows_a_dropped_one(tmp_path):
    text = bases(60, 1) + "N" * 60 + bases(200, 2)
    write(tmp_path, "mrna_evo2", text_rows([text]))
    stream = CorpusStream([ParquetSource("mrna_evo2", tmp_path)], rule=RULE, mix={"mrna_evo2": 1})
    whole = stream.reader()
    expected = list(whole)
    assert whole.accounts["mrna_evo2"].ambiguous > 0
    for n in range(len(expected) + 1):
        first = stream.reader()
        head = list(islice(first, n))
        second = stream.reader(state=first.state)
        assert head + list(second) == expected
        assert second.accounts == whole.accounts


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"rule": WindowRule(48, 16, 6)}, {"subset": Slice()}, {"at_end": "continue"}],
)
def test_state_of_another_stream_is_refused(sources, change):
    state = CorpusStream(sources, rule=RULE).reader().state
    with pytest.raises(ConfigError, match="resume-conflict"):
        CorpusStream(sources, **({"rule": RULE} | change)).reader(state=state)
    with pytest.raises(ConfigError, match="resume-conflict"):
        CorpusStream(sources, rule=RULE).reader(Part(1, 2), state)


def test_slice_does_not_depend_on_files_or_parts(corpus, sources, tmp_path):
    taken = {
        w.record_id
        for part in (Part(0, 2), Part(1, 2))
        for w in CorpusStream(sources, rule=RULE, subset=Slice(2, 0.4), at_end="continue").reader(part)
    }
    every = [w.record_id for w in CorpusStream(sources, rule=RULE, at_end="continue")]
    assert taken == {name for name in every if name in Slice(2, 0.4)}
    assert 0 < len(taken) < len(set(every))
    # The same records in one file and in another order.
    rows = [
        {"text": record.sequence, "metadata": "other"}
        for source in sources
        if source.config == "mrna_evo2"
        for unit in range(source.n_units)
        for _, record in source.records(unit, Part().shares(1)[0])
    ]
    write(tmp_path, "mrna_evo2", rows[::-1], row_group_size=50)
    again = CorpusStream(
        [ParquetSource("mrna_evo2", tmp_path)], rule=RULE, mix={"mrna_evo2": 1}, subset=Slice(2, 0.4)
    )
    assert {w.record_id for w in again} == {n for n in taken if n.startswith("sha256")} & {
        w.record_id for w in CorpusStream([sources[1]], rule=RULE, mix={"mrna_evo2": 1})
    }


def test_records_that_touch_a_hold_out_are_left_out(tmp_path):
    # Records of 1,000 bases at 0, 1000, 2000, ... of two chromosomes; 3,000 to 5,000 of the first is held out.
    texts = [bases(1000, n) for n in range(8)]
    rows = generator_rows(texts, "NC_000021.9") + generator_rows(texts, "NC_000022.11")
    write(tmp_path, GENERATOR, rows)
    held_out = HeldOut("GRCh38", {"some": Intervals.of({"chr21": [(3_000, 5_000)]})})
    stream = CorpusStream(
        [ParquetSource(GENERATOR, tmp_path)], rule=RULE, mix={GENERATOR: 1}, held_out=held_out
    )
    reader = stream.reader()
    seen = {window.record_id for window in reader}
    # The neighbours, too: a start may count from 0 or from 1.
    kept = {f"NC_000021.9:{1000 * n}-{1000 * n + 1000}" for n in (0, 1, 6, 7)}
    assert seen == kept | {f"NC_000022.11:{1000 * n}-{1000 * n + 1000}" for n in range(8)}
    assert reader.accounts[GENERATOR].held_out == 4


@pytest.mark.parametrize("at_end", ["stop", "repeat"])
def test_config_without_windows(sources, at_end):
    stream = CorpusStream(sources, rule=WindowRule(402, 8, 0), at_end=at_end)
    with pytest.raises(InputError, match="training-data-missing") as caught:
        next(stream.reader())
    assert "records 45" in caught.value.found
    assert list(CorpusStream(sources, rule=WindowRule(402, 8, 0), at_end="continue")) == []


@pytest.mark.parametrize(
    "mix", [{GENERATOR: 1}, dict.fromkeys([*CARBON_MIX, "x"], 1), dict.fromkeys(CARBON_MIX, 0)]
)
def test_mix_must_fit_the_sources(sources, mix):
    with pytest.raises(ConfigError, match="config-invalid"):
        CorpusStream(sources, mix=mix)


MEMORY = """
import json, sys
import pyarrow
from genolewm_data.corpus import CorpusStream, ParquetSource
stream = CorpusStream([ParquetSource("prokaryote_evo2", sys.argv[1])], mix={"prokaryote_evo2": 1})
n = sum(1 for _ in stream)
print(json.dumps([n, pyarrow.default_memory_pool().max_memory() / 1e6]))
"""


def test_memory_does_not_grow_with_a_row_group(tmp_path):
    # One row group of 104 MB in pages of 13 MB, as pyarrow writes a file in one piece; 78 MB if read at once.
    text = bases(13_000, 3)
    rows = text_rows([text[n:] + text[:n] for n in range(8000)])
    write(tmp_path, "prokaryote_evo2", rows, row_group_size=8000)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], check=True, capture_output=True, text=True
    )
    n_windows, peak_mb = json.loads(done.stdout)
    assert n_windows == 8000
    assert peak_mb < 60, peak_mb
