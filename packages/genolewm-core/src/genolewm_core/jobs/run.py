"""Run tasks in a place; the outcomes come as they are finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import TypeVar

from genolewm_core.errors import ConfigError
from genolewm_core.jobs.processes import run_in_processes
from genolewm_core.jobs.work import Cluster, Here, Outcome, Place, Processes, Seat, Task, Work, attempt

__all__ = ["run_tasks"]

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS = 3


def run_tasks(
    work: Work[T, R], tasks: Sequence[Task[T]], place: Place | None = None, *, attempts: int = _ATTEMPTS
) -> Generator[Outcome[R], None, None]:
    """Do every task, in no order; each has exactly one outcome.

    A worker that ends (killed, out of memory) is replaced. Its finished tasks stay finished; the one it was at
    is done again, up to `attempts` times, and has the error `worker-ended` after that. An error of a task is in
    its outcome and stops nothing. Closing the generator, or a Ctrl-C, ends the workers.

    Args:
        work: what to do.
        tasks: their names must differ.
        place: `Here` when None.
        attempts: how often a task may lose its worker.

    Raises:
        ConfigError: `config-invalid`, no workers.
        DeploymentError: `backend-missing`, Ray is not installed.
        ResourceError: `worker-ended`, no worker gets as far as its first task; `cluster-unreachable`.
        Exception: what `work.start` raised; nothing can be done then.
    """
    doubled = [name for name, n in Counter(task.name for task in tasks).items() if n > 1]
    if doubled:
        raise ValueError(f"tasks of one name: {len(doubled)}")
    if isinstance(place, Processes | Cluster) and place.workers < 1:
        raise ConfigError(
            "config-invalid",
            "This number of workers cannot be used.",
            expected="1 or more",
            found=str(place.workers),
        )
    if not tasks:
        return
    match place:
        case None | Here():
            do = work.start(Seat())
            for task in tasks:
                yield attempt(do, task, worker=False)
        case Processes(workers):
            yield from run_in_processes(work, tasks, min(workers, len(tasks)), attempts)
        case Cluster():
            from genolewm_core.jobs.ray_data import run_on_ray

            yield from run_on_ray(work, tasks, place, attempts)
