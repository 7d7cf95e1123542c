"""What a task is, where tasks may run, and what becomes of one.

The same `Work` runs in every place, so what is tested in one process is what a cluster does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from genolewm_core.errors import GenoLeWMError, ResourceError
from genolewm_core.logs import emit, places

__all__ = [
    "Cluster",
    "Here",
    "Outcome",
    "Place",
    "Processes",
    "Seat",
    "Task",
    "UnexpectedError",
    "Work",
    "attempt",
    "lost",
]

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a worker sits.

    Attributes:
        number: 0, 1, ... of the workers on this machine, for one device each; 0 for every worker of a cluster,
            which shows each worker its own devices only.
        cpus: processors that are the worker's share; None where it has the machine to itself.
        worker: whether it is another process than the one that asked for the work.
    """

    number: int = 0
    cpus: int | None = None
    worker: bool = False


class Work(Protocol[T_contra, R_co]):
    """Something that a worker can learn to do. Objects are sent to workers, so they must be picklable."""

    def start(self, seat: Seat) -> Callable[[T_contra], R_co]:
        """Build what all tasks share (load a model, open a reference), once a worker; returns what does a task.

        Both are called in one thread.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """A thing to do, under a name that is unique in the run and may be shown."""

    name: str
    content: T


class UnexpectedError(Exception):
    """A task failed with an error that nobody foresaw; its message is withheld, for it may hold personal data.

    Attributes:
        kind: name of the error's type.
        places: where in the code it came from, innermost last.
    """

    def __init__(self, kind: str, places: list[str]) -> None:
        super().__init__(kind, places)
        self.kind = kind
        self.places = places

    def __str__(self) -> str:
        return "\n  ".join([f"{self.kind}; its text is withheld because it may hold your data", *self.places])


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What became of a task: a result, or the error that it ended with.

    A task that took its worker down with it on every attempt has a ResourceError `worker-ended`.
    """

    name: str
    result: R | None = None
    error: GenoLeWMError | UnexpectedError | None = None

    def value(self) -> R:
        """The result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Here:
    """This process, one task after the other."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Spawned processes of this machine.

    Attributes:
        workers: how many; each holds its own copy of what the work builds.
    """

    workers: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Actors on Ray Data.

    Attributes:
        address: of a Ray cluster, or "local" for one that is started on this machine and ended with the run.
        workers: actors; each holds its own copy of what the work builds.
        gpus: devices an actor needs; a share such as 0.5 lets two sit on one.
    """

    address: str
    workers: int
    gpus: float = 0.0


Place = Here | Processes | Cluster


def attempt(do: Callable[[T], R], task: Task[T], *, worker: bool) -> Outcome[R]:
    """Do a task and say what became of it; only what ends the process (Ctrl-C) is raised."""
    try:
        return Outcome(task.name, do(task.content))
    except GenoLeWMError as error:
        return Outcome(task.name, error=error)
    except Exception as error:
        emit("failed_unexpectedly", kind=error, places=error, worker=worker)
        return Outcome(task.name, error=UnexpectedError(type(error).__name__, places(error)))


def lost(name: str, attempts: int) -> ResourceError:
    """The error of a task whose workers all ended before it was done."""
    return ResourceError(
        "worker-ended",
        "A worker process ended before its work was done, again and again; what was finished is kept.",
        where=name,
        expected="a worker that lives until its task is done",
        found=f"{attempts} that did not; the system may have run out of memory",
        next_step="run the same command again with fewer workers",
    )
