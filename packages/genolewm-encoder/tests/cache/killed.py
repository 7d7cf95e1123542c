"""Writers of one cache, killed at seeded moments; prints one JSON document. Run by test_processes.py.

Each writer is a fork of this process, which has everything imported.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
from conftest import ENCODING, batch_of

from genolewm_core.scoring.states import WindowBlock
from genolewm_encoder.cache import StateCache, maintenance
from genolewm_encoder.identity import EncoderIdentity, StateContract

OLD = EncoderIdentity(
    "carbon", "old", "a" * 64, {"tokenizer.json": "b" * 64}, StateContract(20, "span_mean", 8, "fp32")
)
NEW = EncoderIdentity("carbon", "new", "a" * 64, {"tokenizer.json": "c" * 64}, OLD.contract)
OLD_ENCODING = ENCODING._replace(encoder_hash=OLD.encoder_hash)
NEW_ENCODING = ENCODING._replace(encoder_hash=NEW.encoder_hash)


def forked(work):
    """A child that does some work; it ends with 0, or with 1 and a traceback."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def write_blocks(folder, first, told, blocks=50):
    with StateCache(folder) as cache:
        os.write(told, b"\xff")
        for number in range(first, first + blocks):
            cache.put_many(WindowBlock("chr1", number), batch_of(number % 200))
            os.write(told, bytes([number % 200]))


def assert_sound(folder, written):
    """What was reported as written is there, and nothing is damaged."""
    with StateCache(folder) as cache:
        for number in written:
            batch = batch_of(number)
            states, found = cache.get_many(batch.keys)
            assert found.all(), number
            assert np.array_equal(states, batch.states)
        assert cache.problems == ()
        assert maintenance.verify(cache, lambda name, total: None) == []


def kill_writers(folder, rounds, rng):
    written, left = set(), 0
    started = time.monotonic()
    assert (
        os.waitpid(forked(lambda: write_blocks(folder, 190, os.open(os.devnull, os.O_WRONLY), 4)), 0)[1] == 0
    )
    whole = time.monotonic() - started
    for number in range(rounds):
        read, told = os.pipe()
        first = number * 3
        pid = forked(lambda first=first, told=told: write_blocks(folder, first, told))
        os.close(told)
        os.read(read, 1)
        if number % 2:
            # Every other one has written a block, however slow the machine is just now.
            written.update(os.read(read, 1))
        time.sleep(rng.uniform(0, whole))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while data := os.read(read, 99):
            written.update(byte for byte in data if byte != 0xFF)
        os.close(read)
        left += len(list((folder / "shards").glob(".*")))
        assert os.waitpid(forked(lambda: assert_sound(folder, sorted(written))), 0)[1] == 0
    return {"written": len(written), "leftovers": left}


def migrate_all(folder):
    with StateCache(folder) as cache:
        maintenance.migrate(cache, OLD, NEW, lambda name, total: None)


def kill_migrations(folder, rng):
    batches = [batch_of(number, encoding=OLD_ENCODING) for number in range(12)]
    with StateCache(folder) as cache:
        for number, batch in enumerate(batches):
            cache.put_many(WindowBlock("chr1", number), batch)

    def old_ones():
        with StateCache(folder) as cache:
            return len(cache.index().names_of_encoder(OLD.encoder_hash))

    places = [len(batches)]
    while places[-1] and len(places) < 40:
        # Killed at some moment of the shard after the first, second or third that it carries over.
        enough = max(0, places[-1] - rng.randint(1, 3))
        pid = forked(lambda: migrate_all(folder))
        deadline = time.monotonic() + 30
        while old_ones() > enough and time.monotonic() < deadline:
            time.sleep(rng.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with StateCache(folder) as cache:
            places.append(len(cache.index().names_of_encoder(OLD.encoder_hash)))
            for number, batch in enumerate(batches):
                both = [batch.keys, batch_of(number, encoding=NEW_ENCODING).keys]
                answers = [cache.get_many(keys) for keys in both]
                assert any(found.all() and np.array_equal(states, batch.states) for states, found in answers)
    migrate_all(folder)
    with StateCache(folder) as cache:
        assert maintenance.verify(cache, lambda name, total: None) == []
        assert len(cache.files()) == len(batches)
        for number, batch in enumerate(batches):
            states, found = cache.get_many(batch_of(number, encoding=NEW_ENCODING).keys)
            assert found.all()
            assert np.array_equal(states, batch.states)
            assert not cache.get_many(batch.keys)[1].any()
    return {"places": places}


def many_at_once(folder):
    """Writers of blocks that overlap, readers, and one that makes the index anew, all at once."""

    def write(first):
        with StateCache(folder) as cache:
            for number in range(first, first + 12):
                cache.put_many(WindowBlock("chr1", number), batch_of(number))

    def read(seed):
        order, seen = random.Random(seed), 0
        deadline = time.monotonic() + 60
        with StateCache(folder) as cache:
            while seen < 40 and time.monotonic() < deadline:
                batch = batch_of(order.randrange(24))
                states, found = cache.get_many(batch.keys)
                assert not found.any() or np.array_equal(states[found], batch.states[found])
                seen += bool(found.all())
            assert seen == 40
            assert {problem.reason for problem in cache.problems} <= {"missing"}

    def anew():
        for _ in range(3):
            with StateCache(folder) as cache:
                maintenance.reindex(cache, lambda name, total: None)

    works = [lambda: write(0), lambda: write(6), lambda: write(12), lambda: read(1), lambda: read(2), anew]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in [forked(work) for work in works]]
    assert codes == [0] * len(works), codes
    assert os.waitpid(forked(lambda: assert_sound(folder, range(24))), 0)[1] == 0
    return {"codes": codes}


if __name__ == "__main__":
    import sqlite_utils  # noqa: F401

    what, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if what == "writers":
        answer = kill_writers(folder, number, random.Random(7))
    elif what == "migrations":
        answer = kill_migrations(folder, random.Random(number))
    else:
        answer = many_at_once(folder)
    print(json.dumps(answer))
