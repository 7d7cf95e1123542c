"""The cache behaves as a dict, whatever is done to it in whatever order."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genolewm_core.scoring.states import UNTARGETED, Encoding, StateKey, WindowBlock
from genolewm_encoder.cache import StateBatch, StateCache, maintenance

ENCODINGS = [Encoding(bytes([n]) * 32, 20, "span_mean", 8, dtype) for n, dtype in ((1, "fp32"), (2, "bf16"))]
WINDOWS = [hashlib.sha256(bytes([n])).digest() for n in range(6)]
NAMES = st.tuples(st.integers(0, 5), st.sampled_from([UNTARGETED, 0, 1, 7]))


def key_of(encoding, name):
    window, center = name
    e = encoding
    return StateKey(
        WINDOWS[window], e.encoder_hash, e.state_layer, e.pool_type, e.pool_radius, center, e.dtype
    )


def state_of(key):
    """A state is a function of its key, as an encoder's is."""
    seed = [*key.window_hash[:4], key.encoder_hash[0], key.center_tok + 1]
    return np.random.default_rng(seed).standard_normal(3, dtype=np.float32)


class CacheModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.cache = StateCache(self.folder)
        self.reader = StateCache(self.folder)
        self.expected = {}
        self.rows = {}  # name of a shard -> its keys

    def teardown(self):
        self.cache.close()
        self.reader.close()
        shutil.rmtree(self.folder)

    @rule(
        encoding=st.sampled_from(ENCODINGS),
        names=st.lists(NAMES, min_size=1, max_size=8),
        contig=st.sampled_from(["chr1", "chr2"]),
        block=st.integers(0, 2),
    )
    def put(self, encoding, names, contig, block):
        keys = [key_of(encoding, name) for name in names]
        start = np.arange(len(keys)) * 8_192
        batch = StateBatch(
            keys,
            contig,
            start,
            start + 12_288,
            np.array([key.center_tok == UNTARGETED for key in keys]),
            np.stack([state_of(key) for key in keys]),
        )
        path = self.cache.put_many(WindowBlock(contig, block), batch)
        self.rows[path.name] = set(keys)
        left = {path.name for path in (self.folder / "shards").iterdir()}
        self.rows = {name: keys for name, keys in self.rows.items() if name in left}

    @rule(what=st.sampled_from(["reopen", "reindex", "repair", "lose the index"]))
    def look_after(self, what):
        if what == "reindex":
            maintenance.reindex(self.cache, lambda name, total: None)
        elif what == "repair":
            maintenance.repair(self.cache, lambda name, total: None)
        else:
            self.cache.close()
            self.reader.close()
            if what == "lose the index":
                (self.folder / "index.sqlite").unlink()
            self.cache, self.reader = StateCache(self.folder), StateCache(self.folder)

    @rule(data=st.data(), place=st.floats(0, 1), bit=st.integers(0, 7))
    def damage_and_repair(self, data, place, bit):
        if not self.rows:
            return
        name = data.draw(st.sampled_from(sorted(self.rows)))
        path = self.folder / "shards" / name
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1 << bit
        path.write_bytes(content)
        maintenance.repair(self.cache, lambda name, total: None)
        del self.rows[name]

    @invariant()
    def answers_as_a_dict_would(self):
        there = set().union(*self.rows.values())
        for encoding in ENCODINGS:
            keys = [key_of(encoding, (w, c)) for w in range(6) for c in (UNTARGETED, 0, 1, 7)]
            for cache in (self.cache, self.reader):
                states, found = cache.get_many(keys)
                assert found.tolist() == [key in there for key in keys]
                for key, state in zip(keys, states, strict=True):
                    if key in there:
                        assert np.array_equal(state, state_of(key))


TestCacheModel = CacheModel.TestCase
TestCacheModel.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
