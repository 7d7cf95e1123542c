"""Scoring shards to files, in this process or in worker processes.

Worker processes are spawned, not forked: compute libraries hold threads and locks that do not survive a
fork. They inherit the kernel's network filter, check that it holds before they load anything, and write
their shards themselves, so no variant passes through a queue twice.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import GenoLeWMError, ResourceError
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs.signals import signals_held
from genolewm_core.logs import LogSettings, emit, open_log, settings, withhold_messages
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.calibration import CalibrationTable
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import guard
from genolewm_runtime.run_log import log_shard
from genolewm_runtime.scoring import Shard, score_rows
from genolewm_runtime.writers import write_shard

__all__ = ["ScorerSpec", "ShardOutcome", "ShardScorer", "score_shards"]

_WAKE_S = 0.2


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """What a process needs to score shards; sent to workers.

    Attributes:
        threads: compute threads of one process; None lets the library choose.
        guard_level: what closes the network in the parent: "seccomp", "python-only" or "none". A worker
            installs the same and refuses to start with less.
        annotation: GFF3 of transcripts; None leaves genes, consequences and regions out.
        calibration: the model's table for these options on this backend; None where there is none.
    """

    model: Path
    reference: Path
    annotation: Path | None
    calibration: CalibrationTable | None
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
        started = time.monotonic()
        model = ModelDirectory.open(spec.model)
        self._spec = spec
        self._reference = Reference(spec.reference)
        self._backend = loaded or load_backend(spec.backend, model, threads=spec.threads)
        self._default_heads = model.manifest.default_heads
        self._annotation = (
            None if spec.annotation is None else Annotation.read(spec.annotation, self._reference.contigs)
        )
        worker = parent_process() is not None
        emit("model_loaded", backend=spec.backend, worker=worker, seconds=time.monotonic() - started)

    def score(self, shard: Shard, path: Path) -> ShardOutcome:
        """Score a shard and write it to `path`, atomically."""
        started = time.monotonic()
        scored, n_tok = score_rows(
            shard.rows,
            self._reference,
            self._backend,
            self._spec.options,
            self._default_heads,
            self._spec.calibration,
            self._annotation,
        )
        counts = Counter((row.status, row.reason) for row in scored)
        scorable = sum(row.status in ("scorable", "identity") for row in shard.rows)
        outcome = ShardOutcome(shard.index, dict(counts), scorable, n_tok, self._spec.guard_level)
        write_shard(path, scored, outcome.to_json())
        log_shard(outcome, time.monotonic() - started)
        return outcome


def score_shards(
    spec: ScorerSpec, shards: Iterable[tuple[Shard, Path]], jobs: int, loaded: Backend | None = None
) -> Generator[ShardOutcome, None, None]:
    """Score shards to their paths, in any order of completion; closing the generator ends the workers.

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
    context = get_context("spawn")
    # Workers end when the other side of this pipe is closed: by us, or by the system when we are killed.
    theirs, ours = context.Pipe(duplex=False)
    with ours, theirs, ProcessPoolExecutor(jobs, context, _start_worker, (spec, theirs, settings())) as pool:
        pending: set[Future[ShardOutcome]] = set()
        try:
            for shard, path in shards:
                with signals_held():
                    pending.add(pool.submit(_score_in_worker, shard, path))
                if len(pending) >= 2 * jobs:
                    done, pending = _first_finished(pending)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = _first_finished(pending)
                yield from (future.result() for future in done)
        except BaseException:
            ours.close()  # a shard may take minutes, and nobody waits for it any more
            raise
        finally:
            for future in pending:
                future.cancel()


def _first_finished(
    pending: set[Future[ShardOutcome]],
) -> tuple[set[Future[ShardOutcome]], set[Future[ShardOutcome]]]:
    """Wait until a shard or more are finished; returns those, and the others."""
    while True:
        # polars' own signal handler has the system restart what a signal interrupts, so a wait without an end
        # would not see a Ctrl-C.
        done, others = wait(pending, _WAKE_S, FIRST_COMPLETED)
        if done:
            return done, others


_worker: ShardScorer | Exception | None = None


def _start_worker(spec: ScorerSpec, parent: Connection, log: LogSettings | None) -> None:
    global _worker
    withhold_messages()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        if log is not None:
            open_log(log)
        if spec.guard_level != "none":
            guard.install(allow_unenforced=spec.guard_level == "python-only")
        _worker = ShardScorer(spec)
    except Exception as error:
        # Raised by the first task: an error of an initializer reaches the parent without its type, and is
        # printed with its message.
        _worker = error


def _score_in_worker(shard: Shard, path: Path) -> ShardOutcome:
    try:
        if isinstance(_worker, ShardScorer):
            return _worker.score(shard, path)
        raise _worker or RuntimeError("the worker was not started")
    except GenoLeWMError:
        raise
    except Exception as error:
        # The parent sees the error without its places.
        emit("failed_unexpectedly", kind=error, places=error, worker=True)
        raise


def _end_with(parent: Connection) -> None:
    # A killed parent cannot stop its workers, and they would write into the folder of a later run.
    parent.poll(None)
    os._exit(1)
