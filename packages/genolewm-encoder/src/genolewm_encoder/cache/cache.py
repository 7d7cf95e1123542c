"""The cache of reference states: shards, their index, and what happens when one of them is damaged.

Nothing is taken on trust. Each row that is read is checked against a CRC-32 of its key and its state; where it
differs, the shard's digest is computed, and a shard that is not what its name says goes to `quarantine/`. Such a
row is a miss, so that a damaged cache costs time and never changes a state.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import ConfigError, ResourceError
from genolewm_core.logs import emit
from genolewm_core.scoring.states import Encoding, StateKey, WindowBlock
from genolewm_encoder.cache.index import BadEntry, DamagedIndex, Index
from genolewm_encoder.cache.lookup import Lookup, Wanted, read_rows
from genolewm_encoder.cache.schema import StateBatch
from genolewm_encoder.cache.shard import BadShard, ShardEntry, read_digests, read_entry, write_shard

__all__ = ["Problem", "StateCache"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a cache that was found damaged.

    Attributes:
        name: of the shard's file, or of the index's.
        reason: `digest` (bytes or name were changed), `foreign` (no shard of states), `missing`, `unreadable` (the
            system would not read it) or `index` (the index, or its entry of the shard).
    """

    name: str
    reason: str


class StateCache:
    """A directory of states of reference windows; a `StateSource`.

    Many processes can read and write one cache at once, each with its own object; an object belongs to one thread.
    Opening takes in shards that the index does not know, which a process that was killed may have left.

    Args:
        directory: of the cache.
        create: make it when it is missing.

    Raises:
        ConfigError: `config-invalid`, there is no cache and `create` is False; `cache-schema`.
        ResourceError: `output-unwritable`, `output-busy`; in any method that writes.
    """

    def __init__(self, directory: Path | str, *, create: bool = True) -> None:
        self.directory = Path(directory)
        if not create and not (self.shards.is_dir() or self.index_path.is_file()):
            raise ConfigError(
                "config-invalid",
                "There is no cache of states here.",
                where=str(directory),
                expected="a directory that holds index.sqlite and shards",
                next_step="give the directory that geno-lewm cache-windows wrote",
            )
        self._problems: dict[Problem, None] = {}
        self._ignored: set[str] = set()
        self._shards: dict[str, tuple[ShardEntry, npt.NDArray[np.uint64]]] = {}
        self._lookups: dict[Encoding, Lookup] = {}
        self._known_version = -1
        self._opened: tuple[int, Index] | None = None
        self._inherited: tuple[int, Index] | None = None
        if not self.shards.is_dir():
            with writing(self.shards):
                self.shards.mkdir(parents=True, exist_ok=True)
        self.adopt()

    @property
    def shards(self) -> Path:
        """The folder of the shards."""
        return self.directory / "shards"

    @property
    def quarantine(self) -> Path:
        """The folder to which damaged files are moved."""
        return self.directory / "quarantine"

    @property
    def index_path(self) -> Path:
        """The index's file."""
        return self.directory / "index.sqlite"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What this object has found damaged, each thing once."""
        return tuple(self._problems)

    def get_many(self, keys: Sequence[StateKey]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """States of keys of one encoding; see `StateSource.get_many`. Every row has passed its check.

        Raises:
            ValueError: the keys are of several encodings.
        """
        if not len(keys):
            return np.zeros((0, 0), np.float32), np.zeros(0, np.bool_)
        wanted = Wanted(keys)
        found = np.zeros(len(keys), dtype=np.bool_)
        lookup = self._lookup(wanted.encoding)
        states = np.empty((len(keys), lookup.d_state), dtype=np.float32)
        todo = np.arange(len(keys), dtype=np.int64)
        while len(todo) and lookup.d_state == states.shape[1]:
            failed, changed = self._read(wanted, lookup, todo, states, found)
            if not changed:
                break
            todo, lookup = failed, self._lookup(wanted.encoding)
        states[~found] = np.nan
        return states, found

    def contains(self, keys: Sequence[StateKey]) -> npt.NDArray[np.bool_]:
        """Whether the index has a row of each key of one encoding, without reading it, bool (n,)."""
        if not len(keys):
            return np.zeros(0, np.bool_)
        wanted = Wanted(keys)
        return self._lookup(wanted.encoding).holds(wanted.digests)

    def put_many(self, block: WindowBlock, batch: StateBatch) -> Path:
        """Write a batch as one shard, and index it; it is there when this returns, whatever happens next.

        Shards of the same block and encoding whose keys the new one all has are dropped.

        Returns:
            the shard's path.

        Raises:
            ValueError: the batch is of another contig, or its states have another width than others of the encoding.
        """
        width = self._indexed(lambda index: index.width(batch.encoding))
        if width not in (None, batch.states.shape[1]):
            raise ValueError(f"states of this encoding have a width of {width}")
        entry = write_shard(self.shards, block, batch)
        self.publish(entry)
        return self.shards / entry.name

    def has_block(
        self,
        block: WindowBlock,
        encoder_hash: bytes,
        state_layer: int,
        pool_type: str,
        pool_radius: int,
        dtype: str,
    ) -> bool:
        """Whether a shard of a block and an encoding is there. Its bytes are not read."""
        encoding = Encoding(encoder_hash, state_layer, pool_type, pool_radius, dtype)
        names = self._indexed(lambda index: index.names_of_block(block, encoding))
        return any((self.shards / name).is_file() for name in names)

    def adopt(self) -> int:
        """Index the shards that the index does not know, and quarantine what is no shard.

        Returns:
            how many were indexed.
        """
        strangers = sorted(self.files() - self._indexed(lambda index: index.names()))
        entries = [entry for entry in map(self.sound_entry, strangers) if entry is not None]
        if entries:
            # On a medium that cannot be written they stay strangers, and their rows misses.
            with contextlib.suppress(ResourceError):
                self._indexed(lambda index: index.change(add=entries))
            # One may have been replaced, and deleted, by its writer in the meantime.
            gone = {entry.name for entry in entries} - self.files()
            if gone:
                self.forget(gone)
            emit("cache_shards_adopted", shards=len(entries))
        self._known_version = -1
        return len(entries)

    def files(self) -> set[str]:
        """Names in the folder of the shards, without those that are being written."""
        with writing(self.shards):
            return {name for name in os.listdir(self.shards) if not name.startswith(".")}

    def sound_entry(self, name: str) -> ShardEntry | None:
        """The entry of a shard, from its bytes; one that is not what its name says is put into quarantine."""
        try:
            return read_entry(self.shards / name)
        except BadShard as bad:
            self.put_away(name, bad.reason)
        except FileNotFoundError:
            pass
        except OSError:
            self._note(name, "unreadable")
        return None

    def forget(self, names: Iterable[str]) -> None:
        """Drop entries of shards from the index."""
        self._indexed(lambda index: index.change(drop=names))
        self._known_version = -1

    def index(self) -> Index:
        """The open index of this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            # A connection must not be used on both sides of a fork; it is not closed here, which would drop locks.
            self._inherited = self._opened
            self._opened = (os.getpid(), Index(self.index_path))
        return self._opened[1]

    def check_index(self) -> None:
        """Read the whole index, and make it anew where it is damaged."""
        self._indexed(lambda index: index.check())

    def rebuild_index(self) -> None:
        """Put a damaged index into quarantine and make it anew from the shards, unless another process just did."""
        self._close_index()
        with self.locked():
            try:
                self.index().check()
            except DamagedIndex:
                self._close_index()
                for suffix in ("", "-journal"):
                    with contextlib.suppress(FileNotFoundError):
                        self._move_away(self.directory / f"{self.index_path.name}{suffix}")
                self._note(self.index_path.name, "index")
                self.index()
        self.adopt()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out other processes that make the index anew; readers and writers go on."""
        with writing(self.directory):
            lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def close(self) -> None:
        """Close the index."""
        self._close_index()

    def __enter__(self) -> StateCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[StateCache], tuple[Path]]:
        return (StateCache, (self.directory,))

    def _close_index(self) -> None:
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
            self._opened = None
        self._known_version = -1

    def _indexed(self, work: Callable[[Index], _T]) -> _T:
        """Do something with the index; once more where it is damaged, on one made anew."""
        try:
            return work(self.index())
        except DamagedIndex:
            self.rebuild_index()
            return work(self.index())

    def publish(self, entry: ShardEntry, instead_of: Iterable[str] = ()) -> None:
        """Index a shard that was written, and drop those that it replaces, in one transaction.

        Args:
            entry: of the shard.
            instead_of: names of shards besides those whose keys it all has.
        """
        self._indexed(lambda index: self._replace(index, entry, set(instead_of)))

    def _replace(self, index: Index, entry: ShardEntry, instead_of: set[str]) -> None:
        others = set(index.names_of_block(entry.block, entry.encoding)) - {entry.name}
        digests = self._digests(entry)
        if digests is None:
            # Another process took it in, and then replaced it by a shard that has all its rows.
            return
        older = {name: shard[1] for name in others if (shard := self._shard(index, name)) is not None}
        covered = {name for name, found in older.items() if np.isin(found, digests).all()}
        # Those last: as long as one is there, whoever was killed in between does this again.
        names = [*sorted(covered - instead_of), *sorted(instead_of)]
        index.change(add=[entry], drop=names)
        self._known_version = -1
        for name in names:
            with contextlib.suppress(OSError):
                (self.shards / name).unlink()

    def _lookup(self, encoding: Encoding) -> Lookup:
        return self._indexed(lambda index: self._refreshed(index, encoding))

    def _refreshed(self, index: Index, encoding: Encoding) -> Lookup:
        version = index.version()
        if version != self._known_version:
            self._lookups.clear()
            self._known_version = version
        if encoding not in self._lookups:
            names = sorted(index.names(encoding) - self._ignored)
            shards = [shard for name in names if (shard := self._shard(index, name)) is not None]
            self._lookups[encoding] = Lookup([shard for shard in shards if shard[0].encoding == encoding])
            for name in set(self._shards) - index.names():
                del self._shards[name]
        return self._lookups[encoding]

    def _shard(self, index: Index, name: str) -> tuple[ShardEntry, npt.NDArray[np.uint64]] | None:
        """An entry and what its rows are looked up by; None where the shard cannot be used."""
        if name not in self._shards:
            entry = self._entry(index, name)
            digests = None if entry is None else self._digests(entry)
            if entry is not None and digests is None and self._examine(entry):
                entry = self._entry(index, name)
                digests = None if entry is None else self._digests(entry)
            if entry is None or digests is None:
                return None
            self._shards[name] = (entry, digests)
        return self._shards[name]

    def _entry(self, index: Index, name: str) -> ShardEntry | None:
        try:
            return index.entry(name)
        except BadEntry:
            return self._reread(index, name)

    def _digests(self, entry: ShardEntry) -> npt.NDArray[np.uint64] | None:
        try:
            return read_digests(self.shards / entry.name, entry)
        except (OSError, EOFError, BadShard):
            return None

    def _read(
        self,
        wanted: Wanted,
        lookup: Lookup,
        todo: npt.NDArray[np.int64],
        states: npt.NDArray[np.float32],
        found: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.int64], bool]:
        """Read what can be found; which keys failed their check, and whether looking again may help."""
        places = lookup.find(wanted.digests[todo], todo)
        data = states.reshape(-1).view(np.uint8).data
        bounds = np.searchsorted(places.shard, np.arange(len(lookup.entries) + 1)).tolist()
        failed: list[npt.NDArray[np.int64]] = []
        changed = False
        for entry, first, last in zip(lookup.entries, bounds, bounds[1:], strict=False):
            if first == last:
                continue
            at = places.at[first:last]
            try:
                read_rows(self.shards / entry.name, entry, places.row[first:last], at, data)
                good = wanted.check(data, 4 * entry.d_state, at, places.checks[first:last])
            except (OSError, EOFError):
                good = np.zeros(len(at), dtype=np.bool_)
            if not good.all() and self._examine(entry):
                # Whatever else was read of it, too: a shard is there or it is missing.
                changed, good = True, np.zeros(len(at), dtype=np.bool_)
            found[at[good]] = True
            failed.append(at[~good])
        return np.concatenate(failed or [np.zeros(0, np.int64)]), changed

    def _examine(self, entry: ShardEntry) -> bool:
        """Find out what is wrong with a shard whose rows failed; whether the index is another one afterwards."""
        if not os.path.lexists(self.shards / entry.name):
            self._ignored.add(entry.name)
            # Otherwise another process has replaced it since.
            if self._indexed(lambda index: entry.name in index.names()):
                self._note(entry.name, "missing")
            self._known_version = -1
            return True
        fresh = self._indexed(lambda index: self._reread(index, entry.name, entry))
        return fresh is None or not fresh.same(entry)

    def _reread(self, index: Index, name: str, believed: ShardEntry | None = None) -> ShardEntry | None:
        """Make an entry anew from the shard's bytes; None where they are not what the name says."""
        entry = self.sound_entry(name)
        self._known_version = -1
        if entry is None:
            self._ignored.add(name)
        elif believed is None or not entry.same(believed):
            self._shards.pop(name, None)
            self._note(name, "index")
            with contextlib.suppress(ResourceError):
                index.change(add=[entry])
        return entry

    def put_away(self, name: str, reason: str) -> None:
        """Move a damaged shard to the quarantine, and forget it."""
        self._ignored.add(name)
        self._note(name, reason)
        # Where nothing can be written, it is enough that this object does not use it.
        with contextlib.suppress(OSError, ResourceError):
            self._move_away(self.shards / name)
            self.forget([name])

    def _move_away(self, path: Path) -> None:
        self.quarantine.mkdir(exist_ok=True)
        target = self.quarantine / path.name
        number = 0
        while os.path.lexists(target):
            number += 1
            target = self.quarantine / f"{path.name}.{number}"
        os.replace(path, target)

    def _note(self, name: str, reason: str) -> None:
        problem = Problem(name, reason)
        if problem not in self._problems:
            self._problems[problem] = None
            emit("cache_damaged", reason=reason)
