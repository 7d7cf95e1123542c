"""Scoring shards to files, in this process or in worker processes.

Worker processes are spawned, not forked: compute libraries hold threads and locks that do not survive a
fork. They inherit the kernel's network filter, check that it holds before they load anything, and write
their shards themselves, so no variant passes through a queue twice.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import GenoLeWMError, ResourceError
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import guard
from genolewm_runtime.scoring import Shard, score_rows
from genolewm_runtime.writers import write_shard

__all__ = ["ScorerSpec", "ShardOutcome", "ShardScorer", "score_shards"]


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """What a process needs to score shards; sent to workers.

    Attributes:
        threads: compute threads of one process; None lets the library choose.
        guard_level: what closes the network in the parent: "seccomp", "python-only" or "none". A worker
            installs the same and refuses to start with less.
    """

    model: Path
    reference: Path
    backend: str
    options: PassOptions
    threads: int | None
    guard_level: str


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """What is known of a finished shard without reading its rows again; kept in the shard's file.

    Attributes:
        counts: (status, reason) -> rows.
        scorable: rows that were sent to the model or were identities.
        guard: what kept the network closed while it was scored.
    """

    index: int
    counts: dict[tuple[str, str | None], int]
    scorable: int
    n_tok: int
    guard: str

    def to_json(self) -> str:
        """Without the index, which the file's name says."""
        counts = [[status, reason, n] for (status, reason), n in sorted(self.counts.items(), key=str)]
        return json.dumps(
            {"counts": counts, "scorable": self.scorable, "n_tok": self.n_tok, "guard": self.guard}
        )

    @classmethod
    def from_json(cls, index: int, text: str) -> ShardOutcome:
        """Inverse of `to_json`."""
        raw = json.loads(text)
        counts = {(status, reason): n for status, reason, n in raw["counts"]}
        return cls(index, counts, raw["scorable"], raw["n_tok"], raw["guard"])


class ShardScorer:
    """Scores shards with one loaded model and one open reference."""

    def __init__(self, spec: ScorerSpec, loaded: Backend | None = None) -> None:
        model = ModelDirectory.open(spec.model)
        self._spec = spec
        self._reference = Reference(spec.reference)
        self._backend = loaded or load_backend(spec.backend, model, threads=spec.threads)
        self._default_heads = model.manifest.default_heads

    def score(self, shard: Shard, path: Path) -> ShardOutcome:
        """Score a shard and write it to `path`, atomically."""
        scored, n_tok = score_rows(
            shard.rows, self._reference, self._backend, self._spec.options, self._default_heads
        )
        counts = Counter((row.status, row.reason) for row in scored)
        scorable = sum(row.status in ("scorable", "identity") for row in shard.rows)
        outcome = ShardOutcome(shard.index, dict(counts), scorable, n_tok, self._spec.guard_level)
        write_shard(path, scored, outcome.to_json())
        return outcome


def score_shards(
    spec: ScorerSpec, shards: Iterable[tuple[Shard, Path]], jobs: int, loaded: Backend | None = None
) -> Iterator[ShardOutcome]:
    """Score shards to their paths, in any order of completion.

    Args:
        spec: what a process loads.
        shards: read lazily; at most two per worker are held at a time.
        jobs: processes; with 1 this process does the work.
        loaded: a model that this process has loaded already.

    Raises:
        ResourceError: `worker-ended`.
    """
    if jobs == 1:
        scorer = ShardScorer(spec, loaded)
        for shard, path in shards:
            yield scorer.score(shard, path)
        return
    try:
        yield from _score_in_pool(spec, shards, jobs)
    except BrokenProcessPool as error:
        raise ResourceError(
            "worker-ended",
            "A worker process ended before its work was done; finished shards are kept.",
            where="--jobs",
            expected=f"{jobs} processes that each hold the model",
            found="fewer; the system may have run out of memory",
            next_step="run the same command again with fewer --jobs",
        ) from error


def _score_in_pool(
    spec: ScorerSpec, shards: Iterable[tuple[Shard, Path]], jobs: int
) -> Iterator[ShardOutcome]:
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(spec,)
    ) as pool:
        pending: set[Future[ShardOutcome]] = set()
        try:
            for shard, path in shards:
                pending.add(pool.submit(_score_in_worker, shard, path))
                if len(pending) >= 2 * jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in pending:
                future.cancel()


_worker: ShardScorer | GenoLeWMError | None = None


def _start_worker(spec: ScorerSpec) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if spec.guard_level != "none":
            guard.install(allow_unenforced=spec.guard_level == "python-only")
        _worker = ShardScorer(spec)
    except GenoLeWMError as error:
        # Raised by the first task: an error of an initializer reaches the parent without its type.
        _worker = error


def _score_in_worker(shard: Shard, path: Path) -> ShardOutcome:
    if isinstance(_worker, ShardScorer):
        return _worker.score(shard, path)
    raise _worker or RuntimeError("the worker was not started")


def _end_with_parent() -> None:
    # A killed parent cannot stop its workers, and they would write into the folder of a later run.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
