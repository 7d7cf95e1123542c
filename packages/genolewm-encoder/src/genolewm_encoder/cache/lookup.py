"""Finding rows by their keys, and reading them by their places.

Letters of shapes: n rows asked for, N rows of the cache, D width of a state.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolewm_core.scoring.states import StateKey
from genolewm_encoder.cache.schema import encoding_of
from genolewm_encoder.cache.shard import (
    KEY_BYTES,
    ShardEntry,
    digests_of,
    encoding_seed,
    key_bytes,
)

__all__ = ["Lookup", "Places", "Wanted", "read_rows"]

_PART = 1_024


class Wanted:
    """Keys of one encoding, as arrays.

    Attributes:
        encoding: of all keys.
        digests: what the keys are looked up by, uint64 (n,).

    Raises:
        ValueError: there is no key, the encodings differ, or a hash has not 32 bytes.
    """

    def __init__(self, keys: Sequence[StateKey]) -> None:
        n = len(keys)
        hashes = []
        centers = np.empty(n, dtype=np.int32)
        encodings = set()
        # A part of the keys at a time: what takes the time is to reach each of them in memory, thrice.
        for first in range(0, n, _PART):
            part = keys[first : first + _PART]
            encodings.add(encoding_of(part))
            hashes.append(b"".join([key.window_hash for key in part]))
            centers[first : first + _PART] = [key.center_tok for key in part]
        if len(encodings) != 1:
            raise ValueError("keys are of one encoding")
        (self.encoding,) = encodings
        joined = b"".join(hashes)
        if len(joined) != 32 * n:
            raise ValueError("hashes have 32 bytes")
        self.digests = digests_of(joined, centers)
        self._keys = key_bytes(joined, centers)
        self._seed = encoding_seed(self.encoding)

    def check(
        self, states: memoryview, width: int, at: npt.NDArray[np.int64], checks: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.bool_]:
        """Whether the rows `at` of an answer are the states of their keys.

        Args:
            states: bytes of the answer, n rows of `width` bytes.
            width: bytes of a row.
            at: places in the answer, (k,).
            checks: what `row_checks` gave when the rows were written, (k,).
        """
        crc32, keys, seed = zlib.crc32, self._keys, self._seed
        found = [
            crc32(states[i * width : (i + 1) * width], crc32(keys[i * KEY_BYTES : (i + 1) * KEY_BYTES], seed))
            for i in at.tolist()
        ]
        return np.asarray(np.array(found, dtype=np.uint32) == checks, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of some keys lie, those of one shard side by side and in the shard's order.

    Attributes:
        at: which of the keys, (k,).
        shard: number of the shard in `Lookup.entries`, (k,).
        row: row of the shard, (k,).
        checks: of the row, (k,).
    """

    at: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    checks: npt.NDArray[np.uint32]


class Lookup:
    """The rows of all shards of one encoding, 20 bytes each.

    Args:
        shards: entries, each with what its rows are looked up by, see `read_digests`; those of another width than
            the first are left out.
    """

    def __init__(self, shards: Sequence[tuple[ShardEntry, npt.NDArray[np.uint64]]]) -> None:
        self.d_state = shards[0][0].d_state if shards else 0
        kept = [(entry, digests) for entry, digests in shards if entry.d_state == self.d_state]
        self.entries = [entry for entry, _ in kept]
        digests = np.concatenate([found for _, found in kept] or [np.zeros(0, np.uint64)])
        order = np.argsort(digests, kind="stable")
        counts = [entry.n_rows for entry in self.entries]
        rows = [np.arange(count, dtype=np.int32) for count in counts] or [np.zeros(0, np.int32)]
        checks = [entry.checks for entry in self.entries] or [np.zeros(0, np.uint32)]
        self._digests = digests[order]
        self._shard = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[order]
        self._row = np.concatenate(rows)[order]
        self._checks = np.concatenate(checks)[order]

    def holds(self, digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Whether there is a row of each digest, (n,)."""
        return self._search(digests)[1]

    def find(self, digests: npt.NDArray[np.uint64], at: npt.NDArray[np.int64]) -> Places:
        """The rows of those keys that have one.

        Args:
            digests: of the keys, (n,).
            at: the keys' own numbers, (n,).
        """
        places, hit = self._search(digests)
        places, at = places[hit], at[hit]
        order = np.lexsort((self._row[places], self._shard[places]))
        places = places[order]
        return Places(at[order], self._shard[places], self._row[places], self._checks[places])

    def _search(self, digests: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        if not len(self._digests):
            return np.zeros(len(digests), np.int64), np.zeros(len(digests), np.bool_)
        places = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        return places, self._digests[places] == digests


def read_rows(
    path: Path,
    entry: ShardEntry,
    rows: npt.NDArray[np.int32],
    at: npt.NDArray[np.int64],
    states: memoryview,
) -> None:
    """Read rows of a shard to their places in an answer.

    The file is read, not mapped: a file that is cut short, or a disk that fails, then ends in an error that can
    be handled and not in a signal. Rows that follow each other in the shard and in the answer are read at once.

    Args:
        path: of the shard.
        entry: of the shard.
        rows: rows of the shard, ascending, (k,).
        at: places in the answer, (k,).
        states: bytes of the answer.

    Raises:
        OSError: the file cannot be read.
        EOFError: it ends before a row does.
    """
    width = 4 * entry.d_state
    starts = np.flatnonzero(np.concatenate(([True], (np.diff(rows) != 1) | (np.diff(at) != 1))))
    sizes = (np.diff(np.concatenate((starts, [len(rows)]))) * width).tolist()
    offsets = (rows[starts].astype(np.int64) * width + entry.payload_offset).tolist()
    targets = (at[starts] * width).tolist()
    # Not waiting for a writer, should the name be a pipe's by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    preadv = os.preadv
    try:
        for size, offset, target in zip(sizes, offsets, targets, strict=True):
            if preadv(descriptor, [states[target : target + size]], offset) != size:
                raise EOFError
    finally:
        os.close(descriptor)
