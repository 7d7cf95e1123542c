"""The stream of batches: who makes which, going on where one stopped, and nothing held out."""

import multiprocessing
import os
import pickle
import signal
import time
from collections import Counter
from dataclasses import asdict, fields, replace
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

from torch.utils.data import DataLoader

from genolewm_core.errors import ConfigError, InputError, InternalError
from genolewm_core.genome.variant import EditType, RelEdit
from genolewm_core.scoring.sixmer import BASE_ORDER
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.keys import edit_key
from genolewm_data.loader import Cursor, GenoLeWMDataset, WindowOrder
from genolewm_data.parts import shuffled
from genolewm_data.release.release import Release
from genolewm_data.samplers import SOURCES
from genolewm_data.tuples import GenomePlace

from .conftest import CHR1, CHR21, ENCODING, N_CORPUS, N_PLACED, Computed, placed, write_release

N = N_PLACED + N_CORPUS
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # on two cores, of three workers
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),  # from Python 3.12 on
]


def same(one, other):
    """Whether two batches are equal in everything."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            if a.dtype != b.dtype or not np.array_equal(
                a.numpy(), b.numpy(), equal_nan=a.is_floating_point()
            ):
                return False
        elif a != b:
            return False
    return True


def stream(release, **options):
    return GenoLeWMDataset(
        release, **{"windows_per_batch": 5, "states": Computed(), "encoding": ENCODING, **options}
    )


def loaded(dataset, n_workers, n=None, **options):
    """The first batches through a `DataLoader`, or all."""
    loader = iter(DataLoader(dataset, batch_size=None, num_workers=n_workers, **options))
    return list(islice(loader, n))


@pytest.fixture(scope="module")
def uninterrupted(release):
    """Two epochs of one rank: 18 steps."""
    return list(stream(release, epochs=2))


@pytest.mark.parametrize("n_workers", [0, 1, 2, 3])
def test_any_number_of_workers_gives_the_same_batches(release, uninterrupted, n_workers):
    assert len(uninterrupted) == 18
    batches = loaded(stream(release, epochs=2), n_workers)
    assert len(batches) == 18
    assert all(map(same, batches, uninterrupted))


def test_a_dataset_is_small_to_pickle(release, uninterrupted):
    stored = pickle.dumps(stream(release, epochs=2))
    assert len(stored) < 20_000  # no tables, no windows
    assert all(map(same, pickle.loads(stored), uninterrupted))


@pytest.mark.parametrize("steps", range(0, 19, 3))
def test_going_on_behind_any_batch_is_as_if_nothing_had_happened(release, uninterrupted, steps):
    cursor = uninterrupted[steps - 1].cursor if steps else None
    assert cursor is None or Cursor(**asdict(cursor)) == cursor
    for n_workers in (0, 2) if steps % 6 else (0,):
        rest = loaded(stream(release, epochs=2, start=cursor), n_workers)
        assert len(rest) == 18 - steps
        assert all(map(same, rest, uninterrupted[steps:]))


def consume(release, folder):
    """Use batches one after the other until somebody kills this process."""
    for n, batch in enumerate(DataLoader(stream(release, epochs=2), batch_size=None, num_workers=1)):
        (folder / "part").write_bytes(pickle.dumps(batch))
        (folder / "part").rename(folder / f"{n}.batch")
        time.sleep(0.05)


def test_a_process_that_was_killed_is_replaced_by_one_that_goes_on(release, uninterrupted, tmp_path):
    process = multiprocessing.get_context("fork").Process(target=consume, args=(release, tmp_path))
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "4.batch").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    n_made = len(list(tmp_path.glob("*.batch")))
    made = [pickle.loads((tmp_path / f"{n}.batch").read_bytes()) for n in range(n_made)]
    assert n_made >= 5
    assert all(map(same, made, uninterrupted))
    rest = loaded(stream(release, epochs=2, start=made[-1].cursor), 2)
    assert len(rest) == 18 - n_made
    assert all(map(same, rest, uninterrupted[n_made:]))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_share_every_epoch_without_loss_or_repetition(release, world_size):
    by_rank = [
        list(stream(release, epochs=2, rank=rank, world_size=world_size, windows_per_batch=4))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in by_rank}) == 1
    numbers = [
        number for step in zip(*by_rank, strict=True) for b in step for number in b.window_number.tolist()
    ]
    assert len(numbers) == 2 * N
    assert sorted(numbers[:N]) == list(range(N))
    assert sorted(numbers[N:]) == list(range(N, 2 * N))
    # The job's sequence of windows is that of one rank.
    alone = stream(release, epochs=2, windows_per_batch=4 * world_size)
    assert numbers == [number for batch in alone for number in batch.window_number.tolist()]
    last = [len(batches[-1].windows) for batches in by_rank]
    assert max(last) - min(last) <= 1
    assert {b.cursor.step for b in (batches[-1] for batches in by_rank)} == {len(by_rank[0])}


def test_a_rank_without_a_window_in_the_last_step_gets_an_empty_batch(release):
    # 43 windows in steps of 21: one is left for seven ranks.
    sizes = [
        [len(batch.windows) for batch in stream(release, epochs=1, rank=r, world_size=7, windows_per_batch=3)]
        for r in range(7)
    ]
    assert [size[:2] for size in sizes] == [[3, 3]] * 7
    assert sorted(size[2] for size in sizes) == [0] * 6 + [1]
    (empty,) = islice(stream(release, epochs=1, rank=0, world_size=7, windows_per_batch=3), 2, 3)
    assert (empty.n_tuples, empty.spans.shape, empty.ref.shape) == (0, (0, 4), (0, 16))
    assert same(pickle.loads(pickle.dumps(empty)), empty)


def test_an_endless_stream_runs_into_the_next_epoch_and_draws_other_edits(release, uninterrupted):
    endless = list(islice(stream(release), 20))
    assert stream(release).n_steps is None
    assert all(len(batch.windows) == 5 for batch in endless)
    for with_end, without in zip(uninterrupted[:17], endless, strict=False):
        assert same(replace(with_end, cursor=None), replace(without, cursor=None))
    edits = {
        number: batch.rel_pos[batch.edit_offset[:-1][batch.tuple_window == row][0]].item()
        for batch in endless
        for row, number in enumerate(batch.window_number.tolist())
    }
    assert set(edits) >= set(range(2 * N))
    assert sum(edits[number] != edits[number + N] for number in range(N)) > 0.9 * N


@pytest.mark.parametrize(
    "change",
    [
        {"windows_per_batch": 6},
        {"world_size": 2},
        {"epochs": 3},
        {"epochs": None},
        {"options": "seed"},
        {"options": "multi_percent"},
    ],
)
def test_a_cursor_of_another_stream_is_refused(release, uninterrupted, change):
    if "options" in change:
        change = {"options": replace(release.options, **{change["options"]: 7})}
    with pytest.raises(ConfigError) as error:
        stream(release, start=uninterrupted[0].cursor, **{"epochs": 2, **change})
    assert error.value.code == "resume-conflict"


def test_a_cursor_of_another_release_is_refused_and_one_without_windows_cannot_be_used(
    release, uninterrupted, tmp_path
):
    other = Release.open(
        write_release(tmp_path / "other", [placed("chr1", CHR1, number) for number in (1, 2)])
    )
    with pytest.raises(ConfigError) as error:
        stream(other, start=uninterrupted[0].cursor, epochs=2)
    assert error.value.code == "resume-conflict"
    empty = Release.open(write_release(tmp_path / "empty", []))
    with pytest.raises(InputError) as error:
        stream(empty)
    assert error.value.code == "training-data-missing"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 1},
        {"windows_per_batch": 0},
        {"epochs": 0},
        {"states": None},
        {"encoding": ENCODING._replace(pool_radius=3)},
    ],
)
def test_arguments_that_cannot_be_used_are_refused(release, wrong):
    with pytest.raises(ConfigError) as error:
        stream(release, **wrong)
    assert error.value.code == "config-invalid"


def test_held_out_variants_and_blocks_are_never_drawn(release, uninterrupted):
    """Edits are read back from the columns and asked one by one, against the windows themselves."""
    held_out, tally = release.held_out, Counter()
    windows = release.windows("train")
    n_asked = 0
    for batch in uninterrupted:
        tally += batch.tally
        for index, row in enumerate(batch.tuple_window.tolist()):
            window = windows[int(batch.window_number[row]) % N]
            if not isinstance(window, ReferenceWindow):
                continue
            keys = [key(held_out, window, batch, e) for e in edits_of(batch, index)]
            n_asked += len(keys)
            assert not held_out.holds_together(keys)
    assert tally["refused.held_out"] > 50
    assert tally["drawn.haplotype"] > 20
    assert n_asked > 500


def edits_of(batch, index):
    return range(int(batch.edit_offset[index]), int(batch.edit_offset[index + 1]))


def key(held_out, window, batch, edit):
    ref, alt = (
        "".join(BASE_ORDER[code] for code in alleles[edit, : int(n[edit])].tolist())
        for alleles, n in ((batch.ref, batch.ref_len), (batch.alt, batch.alt_len))
    )
    rel = RelEdit(int(batch.rel_pos[edit]), EditType(int(batch.edit_type[edit])), ref, alt)
    assert not held_out.holds_edit(window, rel)
    return edit_key(window, rel)


def test_a_window_of_held_out_sequence_among_those_of_training_stops_the_stream(tmp_path):
    windows = [placed("chr1", CHR1, number) for number in range(6)] + [placed("chr21", CHR21, 2)]
    leaky = Release.open(write_release(tmp_path / "leaky", windows))
    with pytest.raises(InternalError) as error:
        list(stream(leaky, epochs=1, windows_per_batch=1))
    assert error.value.code == "holdout-leak"
    with pytest.raises(RuntimeError, match="Held-out sequence was about to be trained on"):
        loaded(stream(leaky, epochs=1, windows_per_batch=1), 1)


def test_windows_of_the_reference_and_of_the_corpus_are_mixed(uninterrupted):
    kinds = [isinstance(ref.place, GenomePlace) for batch in uninterrupted[:8] for ref in batch.windows]
    assert kinds.count(True) >= 34
    assert False in kinds
    sources = Counter(source for batch in uninterrupted for source in batch.source.tolist())
    assert {SOURCES[source] for source in sources} == {
        "gnomad",
        "synthetic_snv",
        "synthetic_indel",
        "haplotype",
    }


def test_the_order_of_an_epoch_visits_few_groups_at_a_time_and_depends_on_seed_and_epoch():
    sizes = [5, 256, 256, 1, *[64] * 30]
    first = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    order = WindowOrder(first, seed=3, epoch=1)
    numbers = [order[place] for place in range(len(order))]
    assert sorted(numbers) == list(range(sum(sizes)))
    group = np.searchsorted(first, numbers, side="right") - 1
    places = shuffled(len(sizes), "3:1:groups").tolist()
    at = 0
    for block in range(0, len(sizes), 8):
        held = places[block : block + 8]
        n = sum(sizes[g] for g in held)
        assert set(group[at : at + n].tolist()) == set(held)
        assert numbers[at : at + n] != sorted(numbers[at : at + n])
        at += n
    assert [WindowOrder(first, 3, 1)[place] for place in (0, 700, 300)] == [numbers[p] for p in (0, 700, 300)]
    others = [WindowOrder(first, 3, 2), WindowOrder(first, 4, 1)]
    assert all([other[p] for p in range(50)] != numbers[:50] for other in others)
    with pytest.raises(IndexError):
        order[len(order)]
