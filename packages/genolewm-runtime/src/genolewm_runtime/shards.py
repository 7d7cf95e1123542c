"""Scoring shards to files, in this process or in worker processes.

Worker processes are spawned, not forked: compute libraries hold threads and locks that do not survive a
fork. They inherit the kernel's network filter, check that it holds before they load anything, and write
their shards themselves, so no variant passes through a queue twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import guard
from genolewm_runtime.scoring import Shard, score_rows
from genolewm_runtime.writers import write_shard

__all__ = ["ScorerSpec", "ShardOutcome", "ShardScorer", "scorable_rows", "score_shards"]


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """What a process needs to score shards; sent to workers.

    Attributes:
        threads: compute threads of one process; None lets the library choose.
        enforced_by: the guard's level in the parent; a worker refuses to start with less.
    """

    model: Path
    reference: Path
    backend: str
    options: PassOptions
    threads: int | None
    enforced_by: str | None


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """What is known of a finished shard without reading it again.

    Attributes:
        counts: (status, reason) -> rows.
        scorable: rows that were sent to the model or were identities.
    """

    index: int
    counts: dict[tuple[str, str | None], int]
    scorable: int
    n_tok: int

    def to_json(self) -> str:
        """Kept in the shard file, so that a resumed run need not read its rows."""
        counts = [[status, reason, n] for (status, reason), n in sorted(self.counts.items(), key=str)]
        return json.dumps({"counts": counts, "scorable": self.scorable, "n_tok": self.n_tok})

    @classmethod
    def from_json(cls, index: int, text: str) -> ShardOutcome:
        """Inverse of `to_json`."""
        raw = json.loads(text)
        return cls(index, {(s, r): n for s, r, n in raw["counts"]}, raw["scorable"], raw["n_tok"])


class ShardScorer:
    """Scores shards with one loaded model and one open reference."""

    def __init__(self, spec: ScorerSpec) -> None:
        model = ModelDirectory.open(spec.model)
        self._reference = Reference(spec.reference)
        self._backend = load_backend(spec.backend, model, threads=spec.threads)
        self._options = spec.options
        self._default_heads = model.manifest.default_heads

    @property
    def backend(self) -> Backend:
        """The loaded model."""
        return self._backend

    def score(self, shard: Shard, path: Path) -> ShardOutcome:
        """Score a shard and write it to `path`, atomically."""
        scored, n_tok = score_rows(
            shard.rows, self._reference, self._backend, self._options, self._default_heads
        )
        counts = Counter((row.status, row.reason) for row in scored)
        outcome = ShardOutcome(shard.index, dict(counts), scorable_rows(shard), n_tok)
        write_shard(path, scored, outcome.to_json())
        return outcome


def score_shards(
    spec: ScorerSpec, scorer: ShardScorer, shards: Iterable[tuple[Shard, Path]], jobs: int
) -> Iterator[ShardOutcome]:
    """Score shards to their paths, in any order of completion.

    Args:
        spec: what workers load.
        scorer: used when `jobs` is 1.
        shards: read lazily; at most two per worker are held at a time.
        jobs: processes.
    """
    if jobs == 1:
        for shard, path in shards:
            yield scorer.score(shard, path)
        return
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


_worker: ShardScorer | None = None


def _start_worker(spec: ScorerSpec) -> None:
    global _worker
    if spec.enforced_by is not None:
        guard.install(allow_unenforced=spec.enforced_by == "python-only")
    _worker = ShardScorer(spec)


def _score_in_worker(shard: Shard, path: Path) -> ShardOutcome:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    return _worker.score(shard, path)


def scorable_rows(shard: Shard) -> int:
    """Rows of a shard that go to the model, or would if they changed anything; the unit of progress."""
    return sum(row.status in ("scorable", "identity") for row in shard.rows)
