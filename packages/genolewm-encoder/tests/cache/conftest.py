"""Batches of states that their block's number decides, and a cache of a few."""

import hashlib

import numpy as np
import pytest

from genolewm_core.scoring.states import UNTARGETED, Encoding, StateKey, WindowBlock
from genolewm_encoder.cache import StateBatch, StateCache

ENCODING = Encoding(hashlib.sha256(b"an encoder").digest(), 20, "span_mean", 8, "fp32")
ROWS, WIDTH = 20, 6


def batch_of(number, contig="chr1", encoding=ENCODING, rows=ROWS, width=WIDTH, first=0):
    """Rows of a block: two loci a window, and a state of the whole window now and then."""
    rng = np.random.default_rng(number)
    keys = []
    for row in range(first, rows):
        window = hashlib.sha256(f"{contig} {number} {row // 2}".encode()).digest()
        center = UNTARGETED if row % 10 == 9 else row * 3
        e = encoding
        keys.append(
            StateKey(window, e.encoder_hash, e.state_layer, e.pool_type, e.pool_radius, center, e.dtype)
        )
    start = (np.arange(first, rows) // 2 + number * 10) * 8_192
    return StateBatch(
        keys,
        contig,
        start,
        start + 12_288,
        np.array([key.center_tok == UNTARGETED for key in keys]),
        rng.standard_normal((rows, width), dtype=np.float32)[first:],
    )


class World:
    """A cache of three blocks."""

    def __init__(self, folder):
        self.folder = folder
        self.blocks = [WindowBlock("chr1", 0), WindowBlock("chr1", 1), WindowBlock("chr2", 0)]
        self.batches = [batch_of(block.block, block.contig) for block in self.blocks]
        with StateCache(folder) as cache:
            self.paths = [
                cache.put_many(block, batch) for block, batch in zip(self.blocks, self.batches, strict=True)
            ]
        self.batch_of = batch_of

    def open(self):
        return StateCache(self.folder)

    def all_keys(self, *numbers):
        return [key for i in numbers or range(3) for key in self.batches[i].keys]

    def assert_found(self, cache, *numbers):
        """Every state of some blocks is found and right, those of the others are missing."""
        for i, batch in enumerate(self.batches):
            states, found = cache.get_many(batch.keys)
            assert found.tolist() == [i in numbers] * len(batch.keys), i
            if i in numbers:
                assert np.array_equal(states, batch.states)
            elif states.shape[1]:
                assert np.isnan(states).all()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "cache")
