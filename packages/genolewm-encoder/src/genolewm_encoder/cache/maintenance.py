"""Looking after a cache: verify, repair, make the index anew, carry states over to another encoder's name."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from genolewm_core.errors import ProvenanceError
from genolewm_encoder.cache.cache import Problem, StateCache
from genolewm_encoder.cache.index import BadEntry
from genolewm_encoder.cache.shard import BadShard, ShardEntry, read_batch, read_entry, write_shard
from genolewm_encoder.identity import EncoderIdentity

__all__ = ["Advance", "Repaired", "migrate", "reindex", "repair", "verify"]

Advance = Callable[[str, int], None]
"""Told of progress: the name of a shard that is done, and how many there are."""

_STALE_S = 24 * 3_600


def verify(cache: StateCache, advance: Advance) -> list[Problem]:
    """Read every byte of every shard, and compare it with its name and with the index.

    Changes nothing but an index that is damaged as a file, which is made anew, as by opening.

    Raises:
        ConfigError: `cache-schema`.
    """
    return [problem for problem, _ in _examined(cache, advance)]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What `repair` did.

    Attributes:
        problems: what was wrong: damaged files are in quarantine now, entries of missing ones dropped, and wrong
            entries made anew.
        leftovers: unfinished files of writers that were killed, deleted.
    """

    problems: tuple[Problem, ...]
    leftovers: int


def repair(cache: StateCache, advance: Advance) -> Repaired:
    """Verify, and put right what is wrong.

    Unfinished files are deleted when they are a day old: a younger one may be in the making.

    Raises:
        ResourceError: `output-unwritable`, `output-busy`.
    """
    problems = []
    for problem, entry in _examined(cache, advance):
        problems.append(problem)
        if problem.reason in ("digest", "foreign"):
            cache.put_away(problem.name, problem.reason)
        elif problem.reason == "missing":
            cache.forget([problem.name])
        elif entry is not None:
            cache.index().change(add=[entry])
    leftovers = 0
    for path in cache.shards.glob(".*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
                leftovers += 1
    return Repaired(tuple(problems), leftovers)


def reindex(cache: StateCache, advance: Advance) -> int:
    """Make the index anew from the shards; damaged ones are put into quarantine.

    Other processes may go on reading and writing: the entries change in one transaction at the end.

    Returns:
        how many shards are indexed.

    Raises:
        ResourceError: `output-unwritable`, `output-busy`.
    """
    cache.check_index()
    entries = []
    names = sorted(cache.files())
    for name in names:
        entry = cache.sound_entry(name)
        if entry is not None:
            entries.append(entry)
        advance(name, len(names))
    index = cache.index()
    index.change(add=entries, drop=index.names() - cache.files())
    return len(entries)


def migrate(cache: StateCache, old: EncoderIdentity, new: EncoderIdentity, advance: Advance) -> int:
    """Give the states of one encoder the name of another that computes the same.

    Shard after shard is written anew under the new name and takes the old one's place in one transaction, so that a
    state has one name or the other at any instant; done again after a kill, it goes on with what is left.

    Returns:
        how many states were carried over.

    Raises:
        ProvenanceError: `cache-identity`, the two do not state the same weights and contract.
        ResourceError: `output-unwritable`, `output-busy`.
    """
    if not old.same_states(new):
        raise ProvenanceError(
            "cache-identity",
            "States cannot be carried over, because the two encoders are not stated to be the same.",
            where="--migrate",
            expected="the same weights and the same state contract in both",
            found="other weights" if old.weights_sha256 != new.weights_sha256 else "another contract",
            next_step="compute the states anew with geno-lewm cache-windows",
        )
    if old.encoder_hash == new.encoder_hash:
        return 0
    index = cache.index()
    names = sorted(index.names_of_encoder(old.encoder_hash))
    rows = 0
    for name in names:
        entry = cache.sound_entry(name)
        if entry is not None:
            batch = read_batch(cache.shards / name)
            keys = [replace(key, encoder_hash=new.encoder_hash) for key in batch.keys]
            written = write_shard(cache.shards, entry.block, replace(batch, keys=keys))
            cache.publish(written, instead_of=[name])
            rows += entry.n_rows
        advance(name, len(names))
    return rows


def _examined(cache: StateCache, advance: Advance) -> list[tuple[Problem, ShardEntry | None]]:
    """What is wrong, with the right entry where the index has a wrong one or none."""
    cache.check_index()
    index = cache.index()
    files, indexed = cache.files(), index.names()
    names = sorted(files | indexed)
    found: list[tuple[Problem, ShardEntry | None]] = []
    for name in names:
        entry = None
        reason: str | None = None
        try:
            entry = read_entry(cache.shards / name)
            stored = index.entry(name)
            if stored is None or not entry.same(stored):
                reason = "index"
        except BadEntry:
            reason = "index"
        except BadShard as bad:
            reason = bad.reason if name in files else "missing"
        except FileNotFoundError:
            reason = "missing"
        except OSError:
            reason = "unreadable"
        # Another process may have replaced a shard since the names were read.
        if reason is not None and (name in cache.files() or name in index.names()):
            found.append((Problem(name, reason), entry))
        advance(name, len(names))
    return found
