"""Tasks in spawned processes of this machine.

A pool of the standard library is broken for good when one of its processes is killed, and does not tell which
task that was at. Here each worker has a pipe of its own and one task at a time: a closed pipe says who has
ended and what is to be done again, and the others do not notice.

Spawned, not forked: compute libraries hold threads and locks that do not survive a fork. Pipes are plain pipes,
which a closed network leaves alone.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from genolewm_core.errors import ResourceError
from genolewm_core.jobs.signals import signals_held
from genolewm_core.jobs.work import Outcome, Seat, Task, Work, attempt, lost
from genolewm_core.logs import LogSettings, emit, open_log, settings, withhold_messages

__all__ = ["run_in_processes"]

T = TypeVar("T")
R = TypeVar("R")

_WAKE_S = 0.2
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class _NotStarted:
    """What a worker says when it cannot build its state."""

    error: Exception


@dataclass(slots=True)
class _Worker:
    """A process, its two pipes, and what it is at."""

    process: SpawnProcess
    tasks: Connection
    answers: Connection
    task: Task[Any] | None = None
    started: bool = False

    def end(self) -> None:
        """Close the pipes, which ends the process, and see that it does."""
        self.tasks.close()
        self.answers.close()
        self.process.join(_END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def run_in_processes(
    work: Work[T, R], tasks: Sequence[Task[T]], workers: int, attempts: int
) -> Generator[Outcome[R], None, None]:
    """See `run_tasks`."""
    context = get_context("spawn")
    cpus = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None
    waiting = deque(tasks)
    deaths: Counter[str] = Counter()
    stillborn = 0  # workers in a row that ended before they could do anything
    seated: dict[int, _Worker] = {}
    try:
        while waiting or any(worker.task for worker in seated.values()):
            for number in range(workers):
                if not waiting:
                    break
                worker = seated.get(number)
                if worker is None:
                    worker = seated[number] = _start(context, work, Seat(number, cpus, worker=True))
                if worker.task is None:
                    _give(worker, waiting.popleft())
            for number, answer in _answers(seated):
                worker = seated[number]
                task = cast(Task[T], worker.task)
                if answer is None:
                    stillborn = 0 if worker.started else stillborn + 1
                    worker.end()
                    del seated[number]
                    deaths[task.name] += 1
                    emit("worker_ended", attempt=deaths[task.name])
                    if stillborn >= attempts:
                        raise _cannot_start(attempts)
                    if deaths[task.name] < attempts:
                        waiting.appendleft(task)
                    else:
                        yield Outcome(task.name, error=lost(task.name, attempts))
                elif isinstance(answer, _NotStarted):
                    raise answer.error
                elif isinstance(answer, Outcome):
                    worker.task = None
                    yield answer
                else:
                    worker.started = True
                    stillborn = 0
    finally:
        for worker in seated.values():
            worker.tasks.close()  # all of them first, so that they end at the same time
        for worker in seated.values():
            worker.end()


def _start(context: SpawnContext, work: Work[Any, Any], seat: Seat) -> _Worker:
    their_tasks, our_tasks = context.Pipe(duplex=False)
    our_answers, their_answers = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(their_tasks, their_answers, work, seat, settings()), daemon=True
    )
    # Started by the first process otherwise, and it unblocks the signals that are held here.
    resource_tracker.ensure_running()
    with signals_held():
        process.start()
    their_tasks.close()
    their_answers.close()
    return _Worker(process, our_tasks, our_answers)


def _give(worker: _Worker, task: Task[Any]) -> None:
    worker.task = task
    with suppress(OSError):  # it has ended, which its other pipe tells
        worker.tasks.send(task)


def _answers(seated: dict[int, _Worker]) -> Iterator[tuple[int, object]]:
    """What workers at work have said since, by seat; None from one that has ended."""
    numbers = {worker.answers: number for number, worker in seated.items() if worker.task is not None}
    # polars' own signal handler has the system restart what a signal interrupts, so a wait without an end
    # would not see a Ctrl-C.
    for pipe in wait(list(numbers), _WAKE_S):
        pipe = cast(Connection, pipe)
        try:
            answer = pipe.recv()
        except (EOFError, OSError):
            answer = None
        yield numbers[pipe], answer


def _cannot_start(attempts: int) -> ResourceError:
    return ResourceError(
        "worker-ended",
        "Worker processes end before they can begin.",
        expected="processes that each hold the model",
        found=f"{attempts} in a row that ended while they loaded; the system may have run out of memory",
        next_step="run the same command again with fewer workers",
    )


def _serve(
    tasks: Connection, answers: Connection, work: Work[T, R], seat: Seat, log: LogSettings | None
) -> None:
    """What a worker process does until its pipe is closed."""
    withhold_messages()
    inbox: SimpleQueue[Task[T]] = SimpleQueue()
    threading.Thread(target=_listen, args=(tasks, inbox), daemon=True).start()
    try:
        if log is not None:
            open_log(log)
        do = work.start(seat)
    except Exception as error:
        _send(answers, _NotStarted(error))
        return
    _send(answers, seat)
    while True:
        _send(answers, attempt(do, inbox.get(), worker=True))


def _send(answers: Connection, answer: object) -> None:
    try:
        answers.send(answer)
    except OSError:
        os._exit(1)  # the parent has ended


def _listen(tasks: Connection, inbox: SimpleQueue[Task[T]]) -> None:
    try:
        while True:
            inbox.put(tasks.recv())
    except (EOFError, OSError):
        # Nobody waits for an answer any more: the parent has ended, or wants no more.
        os._exit(1)
