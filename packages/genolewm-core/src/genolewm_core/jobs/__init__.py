"""Many independent tasks by one function: in this process, in several processes, or on a Ray cluster."""

from genolewm_core.jobs.run import run_tasks
from genolewm_core.jobs.work import (
    Cluster,
    Here,
    Outcome,
    Place,
    Processes,
    Seat,
    Task,
    UnexpectedError,
    Work,
)

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
    "run_tasks",
]
