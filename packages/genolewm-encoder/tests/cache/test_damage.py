"""A damaged cache costs rows, never changes one, and never ends the program."""

import json
import os
import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genolewm_core import logs
from genolewm_core.logs import LogSettings, open_log
from genolewm_core.scoring.states import WindowBlock
from genolewm_encoder.cache import maintenance
from genolewm_encoder.cache.cache import StateCache
from genolewm_encoder.cache.shard import read_entry


def quiet(name, total):
    pass


def flip(place):
    def bend(path):
        data = bytearray(path.read_bytes())
        data[place(read_entry(path))] ^= 0x10
        path.write_bytes(data)

    return bend


def cut_in_the_states(path):
    os.truncate(path, read_entry(path).payload_offset + 10)


def emptied(path):
    os.truncate(path, 0)


def directory_instead(path):
    path.unlink()
    path.mkdir()
    (path / "inner").write_text("x")


def pipe_instead(path):
    path.unlink()
    os.mkfifo(path)


def foreign(path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0]]}), path)


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = {
    "a bit of the first state": (flip(lambda e: e.payload_offset), "digest"),
    "a bit of the last state": (flip(lambda e: e.payload_offset + 4 * e.d_state * e.n_rows - 1), "digest"),
    "a bit of a window's hash": (flip(lambda e: e.hashes_offset + 40), "digest"),
    "a bit of a centre": (flip(lambda e: e.centers_offset), "digest"),
    "cut in the states": (cut_in_the_states, "digest"),
    "another Parquet file": (foreign, "digest"),
    "an empty file": (emptied, "digest"),
    "zeros": (zeroed, "digest"),
    "a directory": (directory_instead, "foreign"),
    "a pipe": (pipe_instead, "foreign"),
    "no file": (lambda path: path.unlink(), "missing"),
}


KEYS_ONLY = ("a bit of a window's hash", "a bit of a centre")


@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_shard_is_a_miss_and_is_put_away_and_rebuilt(world, name, opened_before):
    bend, reason = DAMAGE[name]
    victim = world.paths[1]
    cache = world.open()
    if opened_before:
        world.assert_found(cache, 0, 1, 2)
    bend(victim)
    if opened_before and name in KEYS_ONLY:
        world.assert_found(cache, 0, 1, 2)  # the keys are known, and the states are right
        cache.close()
        cache = world.open()
    world.assert_found(cache, 0, 2)
    assert [(problem.name, problem.reason) for problem in cache.problems] == [(victim.name, reason)]
    if reason != "missing":
        assert not victim.exists()
        assert [path.name for path in cache.quarantine.iterdir()] == [victim.name]
    assert not cache.has_block(world.blocks[1], *world.batches[1].encoding)
    cache.put_many(world.blocks[1], world.batches[1])
    world.assert_found(cache, 0, 1, 2)
    cache.close()
    with world.open() as fresh:
        world.assert_found(fresh, 0, 1, 2)


@pytest.mark.parametrize("name", [name for name in DAMAGE if name != "no file"])
def test_damage_is_found_by_verify_and_put_right_by_repair(world, name):
    bend, reason = DAMAGE[name]
    bend(world.paths[1])
    with world.open() as cache:
        found = maintenance.verify(cache, quiet)
        assert [(problem.name, problem.reason) for problem in found] == [(world.paths[1].name, reason)]
        assert world.paths[1].exists()  # verifying changes nothing
        assert maintenance.repair(cache, quiet).problems == tuple(found)
        assert maintenance.verify(cache, quiet) == []
        world.assert_found(cache, 0, 2)


def test_damage_that_no_state_reads_is_found_by_verify_only(world):
    """The footer is not read for a state, and the states are right whatever it says."""
    path = world.paths[1]
    data = bytearray(path.read_bytes())
    data[-12] ^= 1
    path.write_bytes(data)
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert [problem.reason for problem in maintenance.verify(cache, quiet)] == ["digest"]


def test_two_shards_that_changed_names(world):
    one, other = world.paths[0], world.paths[1]
    scratch = one.with_name(".scratch")
    one.rename(scratch)
    other.rename(one)
    scratch.rename(other)
    with world.open() as cache:
        world.assert_found(cache, 2)
        assert {(p.name, p.reason) for p in cache.problems} == {(one.name, "digest"), (other.name, "digest")}


def test_every_single_bit_of_a_shard_changes_no_state(world):
    path = world.paths[0]
    sound = path.read_bytes()
    rng = np.random.default_rng(3)
    missed = 0
    for place in rng.integers(0, len(sound), 60).tolist():
        data = bytearray(sound)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with world.open() as cache:
            for batch in world.batches:
                states, found = cache.get_many(batch.keys)
                assert np.array_equal(states[found], batch.states[found])
                missed += not found.all()
        shutil.rmtree(world.folder / "quarantine", ignore_errors=True)
        path.write_bytes(sound)
    assert missed > 5


def test_a_strange_file_among_the_shards_is_put_away(world):
    (world.folder / "shards" / "notes.txt").write_text("x")
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert [(problem.name, problem.reason) for problem in cache.problems] == [("notes.txt", "foreign")]


def test_a_shard_without_an_entry_is_taken_in_by_opening(world):
    with world.open() as cache:
        cache.forget([world.paths[0].name])
        world.assert_found(cache, 1, 2)
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert cache.problems == ()


def index_deleted(path):
    path.unlink()


def index_emptied(path):
    path.write_bytes(b"")


def index_of_garbage(path):
    path.write_bytes(b"not a database" * 100)


def index_cut(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 1024 * 1024)


def index_zeroed_inside(path):
    data = bytearray(path.read_bytes())
    data[1024:3072] = bytes(2048)
    path.write_bytes(data)


def sql(text):
    def bend(path):
        connection = sqlite3.connect(path)
        connection.execute(text)
        connection.commit()
        connection.close()

    return bend


INDEX_DAMAGE = {
    "deleted": index_deleted,
    "emptied": index_emptied,
    "garbage": index_of_garbage,
    "cut": index_cut,
    "zeros inside": index_zeroed_inside,
    "without its table": sql("DROP TABLE shards"),
    "another table": sql("ALTER TABLE shards RENAME TO others"),
    "wrong checks": sql("UPDATE shards SET checks = zeroblob(length(checks))"),
    "short checks": sql("UPDATE shards SET checks = x'00'"),
    "wrong offsets": sql("UPDATE shards SET payload_offset = payload_offset + 4"),
    "swapped offsets": sql("UPDATE shards SET hashes_offset = payload_offset"),
    "no numbers": sql("UPDATE shards SET n_rows = 'many'"),
    "fewer rows": sql("UPDATE shards SET n_rows = 1"),
    "no rows": sql("DELETE FROM shards"),
    "names of nothing": sql("UPDATE shards SET name = name || 'x'"),
}


@pytest.mark.parametrize("name", INDEX_DAMAGE)
def test_a_damaged_index_is_made_anew(world, name):
    INDEX_DAMAGE[name](world.folder / "index.sqlite")
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        cache.put_many(world.blocks[0], world.batches[0])
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert maintenance.reindex(cache, quiet) == 3
        assert maintenance.verify(cache, quiet) == []


def test_an_index_changed_to_another_encoding_gives_no_state_for_it(world):
    sql("UPDATE shards SET pool_radius = 9")(world.folder / "index.sqlite")
    wrong = [replace(key, pool_radius=9) for key in world.all_keys()]
    with world.open() as cache:
        assert not cache.get_many(wrong)[1].any()
        world.assert_found(cache, 0, 1, 2)


def test_an_index_damaged_while_it_is_open(world):
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        index_of_garbage(world.folder / "index.sqlite")
        more = world.batch_of(9)

        cache.put_many(WindowBlock("chr1", 9), more)
        world.assert_found(cache, 0, 1, 2)
        assert cache.get_many(more.keys)[1].all()


def test_the_index_of_another_cache(world, tmp_path):
    with StateCache(tmp_path / "other") as other:
        other.put_many(world.blocks[0], world.batches[0])
    shutil.copy(tmp_path / "other" / "index.sqlite", world.folder / "index.sqlite")
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert [p.reason for p in maintenance.repair(cache, quiet).problems] == ["missing"]
        assert maintenance.verify(cache, quiet) == []


def test_a_shard_of_another_cache_is_welcome(world, tmp_path):
    """A shard says by itself what it holds, so that caches are put together by copying."""
    batch = world.batch_of(40)

    with StateCache(tmp_path / "other") as other:
        path = other.put_many(WindowBlock("chr1", 40), batch)
    shutil.copy(path, world.folder / "shards")
    with world.open() as cache:
        assert np.array_equal(cache.get_many(batch.keys)[0], batch.states)


def test_damage_is_logged_without_names(world, tmp_path):
    open_log(LogSettings("debug", tmp_path / "run.log"))
    try:
        flip(lambda e: e.payload_offset)(world.paths[0])
        with world.open() as cache:
            cache.get_many(world.all_keys())
    finally:
        logs.close_log()
    records = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert [(r["event"], r["level"], r["fields"]) for r in records] == [
        ("cache_damaged", "warning", {"reason": "digest"})
    ]


def test_a_cache_that_cannot_be_written_is_read(world):
    """Root may write anywhere, so something stands where the quarantine would be made."""
    path = world.paths[0]
    flip(lambda e: e.payload_offset)(path)
    cache = world.open()
    cache.quarantine.write_text("in the way")
    world.assert_found(cache, 1, 2)
    assert path.exists()
    assert [problem.reason for problem in cache.problems] == ["digest"]
    cache.close()


def test_leftovers_of_killed_writers_go_when_they_are_old(world):
    old, young = (world.folder / "shards" / name for name in (".a.1.tmp", ".b.2.tmp"))
    for path in (old, young):
        path.write_text("x")
    os.utime(old, (0, 0))
    with world.open() as cache:
        assert maintenance.repair(cache, quiet).leftovers == 1
    assert (old.exists(), young.exists()) == (False, True)
