import pickle
import resource
import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from genolewm_core.errors import ConfigError, ResourceError
from genolewm_core.scoring.states import Encoding, StateMemory, WindowBlock
from genolewm_encoder.cache import SCHEMA_VERSION, StateBatch, StateCache


def test_states_come_back_as_they_were_in_any_order(world):
    keys = world.all_keys()
    states = np.concatenate([batch.states for batch in world.batches])
    order = np.random.default_rng(1).permutation(len(keys))
    with world.open() as cache:
        found_states, found = cache.get_many([keys[i] for i in order])
        assert found.all()
        assert np.array_equal(found_states, states[order])
        assert cache.problems == ()


def test_a_state_is_asked_for_several_times_and_beside_missing_ones(world):
    there, missing = world.all_keys(0)[3], replace(world.all_keys(0)[3], center_tok=1)
    with world.open() as cache:
        states, found = cache.get_many([there, missing, there])
        assert found.tolist() == [True, False, True]
        assert np.array_equal(states[[0, 2]], world.batches[0].states[[3, 3]])
        assert np.isnan(states[1]).all()
        assert cache.contains([there, missing, there]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "other",
    [
        {"encoder_hash": b"f" * 32},
        {"state_layer": 21},
        {"pool_type": "global_mean"},
        {"pool_radius": 9},
        {"dtype": "bf16"},
    ],
)
def test_every_field_of_the_key_counts(world, other):
    keys = [replace(key, **other) for key in world.all_keys()]
    with world.open() as cache:
        assert not cache.get_many(keys)[1].any()
        assert not cache.contains(keys).any()
        assert not cache.has_block(world.blocks[0], *keys[0].encoding)


def test_nothing_asked_and_nothing_there(tmp_path, world):
    with StateCache(tmp_path / "empty") as cache:
        states, found = cache.get_many(world.all_keys())
        assert states.shape == (len(world.all_keys()), 0)
        assert not found.any()
        assert cache.get_many([])[1].shape == (0,)
        assert cache.contains([]).shape == (0,)


@pytest.mark.parametrize("change", [{"encoder_hash": b"f" * 32}, {"dtype": "bf16"}])
def test_keys_of_several_encodings_are_refused(world, change):
    keys = world.all_keys()
    with world.open() as cache, pytest.raises(ValueError, match="encoding"):
        cache.get_many([keys[0], replace(keys[1], **change)])


def test_payload_is_not_rounded_and_not_normalised(tmp_path, world):
    values = np.array([[1e-38, 3e38, -0.0, 1 + 2**-23, 5e-45, 7]], np.float32)
    batch = world.batches[0]
    one = StateBatch(
        batch.keys[:1], "chr1", batch.start_bp[:1], batch.end_bp[:1], batch.untargeted[:1], values
    )
    with StateCache(tmp_path / "exact") as cache:
        cache.put_many(WindowBlock("chr1", 0), one)
        assert cache.get_many(one.keys)[0].tobytes() == values.tobytes()


def test_other_programs_read_a_shard(world):
    pl = pytest.importorskip("polars")
    batch, path = world.batches[0], world.paths[0]
    for table in (pl.read_parquet(path), pl.from_arrow(pq.read_table(path))):
        assert np.array_equal(table["embedding"].to_numpy(), batch.states)
        assert table["window_hash"].to_list() == [key.window_hash for key in batch.keys]
        assert table["center_tok"].to_list() == [key.center_tok for key in batch.keys]
        assert table["start_bp"].to_list() == batch.start_bp.tolist()
        assert table["end_bp"].to_list() == batch.end_bp.tolist()
        assert table["untargeted"].to_list() == batch.untargeted.tolist()
        same = table.select("chrom", *Encoding._fields, "schema_version").unique()
        assert same.rows() == [("chr1", *batch.encoding, SCHEMA_VERSION)]


def test_a_shard_is_within_five_percent_of_its_payload(tmp_path, world):
    rows, width = 4_096, 256
    batch = world.batch_of(0, rows=rows, width=width)
    with StateCache(tmp_path / "large") as cache:
        cache.put_many(WindowBlock("chr1", 0), batch)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "large").rglob("*") if path.is_file())
    assert batch.states.nbytes < on_disk < 1.05 * batch.states.nbytes


def test_a_block_put_again_takes_the_place_of_its_shard(world):
    with world.open() as cache:
        again = cache.put_many(world.blocks[0], world.batches[0])
        assert cache.files() == {path.name for path in (again, *world.paths[1:])}
        world.assert_found(cache, 0, 1, 2)


def test_a_block_with_other_rows_keeps_both(world):
    some = world.batch_of(0, rows=30, first=10)
    with world.open() as cache:
        cache.put_many(world.blocks[0], some)
        assert len(cache.files()) == 4
        assert cache.get_many(some.keys)[1].all()
        assert cache.get_many(world.all_keys(0))[1].all()
        cache.put_many(world.blocks[0], world.batch_of(0, rows=30))
        assert len(cache.files()) == 3


def test_blocks_are_known_by_contig_number_and_encoding(world):
    with world.open() as cache:
        encoding = world.batches[0].encoding
        known = [
            cache.has_block(WindowBlock(contig, block), *encoding)
            for contig in ("chr1", "chr2", "chr3")
            for block in (0, 1)
        ]
        assert known == [True, True, True, False, False, False]


@pytest.mark.parametrize("contig", ["HLA-A*01:01:01:01", "a/b", "../up", "..", ".hidden", "chrÜ", "a b%2E"])
def test_any_name_of_a_contig_is_a_file_in_the_folder(tmp_path, world, contig):
    batch = world.batch_of(3, contig)
    with StateCache(tmp_path / "c") as cache:
        path = cache.put_many(WindowBlock(contig, 7), batch)
        assert path.parent == tmp_path / "c" / "shards"
    (tmp_path / "c" / "index.sqlite").unlink()
    with StateCache(tmp_path / "c") as cache:
        assert cache.has_block(WindowBlock(contig, 7), *batch.encoding)
        assert np.array_equal(cache.get_many(batch.keys)[0], batch.states)


def test_an_object_goes_to_another_process_as_its_directory(world):
    with world.open() as cache, pickle.loads(pickle.dumps(cache)) as other:
        world.assert_found(other, 0, 1, 2)


def test_what_another_object_writes_is_seen(world):
    with world.open() as reader, world.open() as writer:
        world.assert_found(reader, 0, 1, 2)
        more = world.batch_of(9)
        assert not reader.get_many(more.keys)[1].any()
        writer.put_many(WindowBlock("chr1", 9), more)
        assert np.array_equal(reader.get_many(more.keys)[0], more.states)
        again = writer.put_many(world.blocks[0], world.batches[0])
        assert again.name != world.paths[0].name
        world.assert_found(reader, 0, 1, 2)
        assert reader.problems == ()


def test_a_memory_in_front_asks_once(world):
    with world.open() as cache:
        memory = StateMemory(cache)
        memory.get_many(world.all_keys())
    states, found = memory.get_many(world.all_keys())  # the cache is closed by now
    assert found.all()
    assert np.array_equal(states, np.concatenate([batch.states for batch in world.batches]))


def changed(batch, **changes):
    names = ("keys", "chrom", "start_bp", "end_bp", "untargeted", "states")
    return StateBatch(**{name: changes.get(name, getattr(batch, name)) for name in names})


@pytest.mark.parametrize(
    ("bend", "told"),
    [
        (lambda b: changed(b, states=b.states.astype(np.float64)), "float32"),
        (lambda b: changed(b, states=b.states[:-1]), "float32"),
        (lambda b: changed(b, states=b.states[:, :0]), "bytes"),
        (lambda b: changed(b, states=np.where(b.states > 0, np.nan, b.states)), "finite"),
        (lambda b: changed(b, start_bp=b.start_bp[:-1]), "column"),
        (lambda b: changed(b, untargeted=~b.untargeted), "untargeted"),
        (lambda b: changed(b, keys=[replace(b.keys[0], pool_radius=9), *b.keys[1:]]), "encoding"),
        (lambda b: changed(b, keys=[replace(b.keys[0], window_hash=b"x"), *b.keys[1:]]), "32 bytes"),
    ],
)
def test_batches_that_cannot_be(world, bend, told):
    with pytest.raises(ValueError, match=told):
        bend(world.batches[0])


def test_another_contig_or_width_is_refused(world):
    with world.open() as cache:
        with pytest.raises(ValueError, match="contig"):
            cache.put_many(WindowBlock("chr2", 5), world.batches[0])
        with pytest.raises(ValueError, match="width"):
            cache.put_many(WindowBlock("chr1", 5), world.batch_of(5, width=8))
        assert len(cache.files()) == 3


def test_a_later_index_is_refused(world):
    connection = sqlite3.connect(world.folder / "index.sqlite")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(ConfigError) as caught:
        world.open()
    assert caught.value.code == "cache-schema"
    assert len(list((world.folder / "shards").iterdir())) == 3


def test_a_later_shard_is_refused_and_left_alone(world, monkeypatch):
    monkeypatch.setattr("genolewm_encoder.cache.schema.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr("genolewm_encoder.cache.shard.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with world.open() as cache:
        later = cache.put_many(WindowBlock("chr1", 8), world.batch_of(8))
    monkeypatch.undo()
    (world.folder / "index.sqlite").unlink()
    with pytest.raises(ConfigError) as caught:
        world.open()
    assert caught.value.code == "cache-schema"
    assert later.exists()


def test_no_cache_where_one_is_expected(tmp_path):
    with pytest.raises(ConfigError) as caught:
        StateCache(tmp_path / "none", create=False)
    assert caught.value.code == "config-invalid"
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_way_is_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError) as caught:
        StateCache(tmp_path / "file" / "cache")
    assert caught.value.code == "output-unwritable"


@pytest.mark.parametrize("room", ["no shard", "no index"])
def test_a_full_disk_is_told_and_costs_nothing_that_was_there(world, room):
    """A limit on the size of files stands for the disk; Python ignores the signal that comes with it."""
    index = world.folder / "index.sqlite"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = []
    with world.open() as cache:

        def write_until_full():
            for number in range(50, 150):
                cache.put_many(WindowBlock("chr1", number), world.batch_of(number))
                written.append(world.batch_of(number))

        resource.setrlimit(resource.RLIMIT_FSIZE, (500 if room == "no shard" else index.stat().st_size, hard))
        try:
            with pytest.raises(ResourceError) as caught:
                write_until_full()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.code == "output-unwritable"
        assert caught.value.exit_code == 4
    assert [path for path in (world.folder / "shards").iterdir() if path.name.startswith(".")] == []
    with world.open() as cache:
        world.assert_found(cache, 0, 1, 2)
        assert all(cache.get_many(batch.keys)[1].all() for batch in written)
        assert cache.problems == ()


def test_an_index_that_stays_locked_is_told(world, monkeypatch):
    monkeypatch.setattr("genolewm_encoder.cache.index._BUSY_S", 0.05)
    other = sqlite3.connect(world.folder / "index.sqlite", isolation_level=None)
    with world.open() as cache:
        other.execute("BEGIN IMMEDIATE")
        world.assert_found(cache, 0, 1, 2)  # readers go on
        with pytest.raises(ResourceError) as caught:
            cache.put_many(WindowBlock("chr1", 60), world.batch_of(60))
        assert caught.value.code == "output-busy"
        other.close()
    with world.open() as cache:
        assert cache.get_many(world.batch_of(60).keys)[1].all()  # the shard was whole


def test_misuse_is_not_taken_for_damage(world):
    cache = world.open()
    caught = []

    def read():
        try:
            cache.get_many(world.all_keys())
        except sqlite3.ProgrammingError as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(caught) == 1
    world.assert_found(cache, 0, 1, 2)
    assert not cache.quarantine.exists()
    cache.close()


def test_numbers_of_numpy_name_the_same_state(world):
    keys = [
        replace(key, state_layer=np.int64(20), pool_radius=np.int32(8), center_tok=np.int64(key.center_tok))
        for key in world.all_keys(0)
    ]
    with world.open() as cache:
        assert np.array_equal(cache.get_many(keys)[0], world.batches[0].states)
