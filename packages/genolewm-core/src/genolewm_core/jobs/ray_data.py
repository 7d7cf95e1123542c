"""Tasks on Ray Data: one actor a worker, one block a task. Ray schedules, restarts and moves; nothing here does.

Ray speaks TCP, on one machine too, so it cannot run where the network is closed.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from genolewm_core.errors import DeploymentError, ResourceError
from genolewm_core.jobs.work import Cluster, Outcome, Seat, Task, Work, attempt, lost
from genolewm_core.logs import withhold_messages

__all__ = ["run_on_ray"]

T = TypeVar("T")
R = TypeVar("R")

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under `uv run` Ray would pack the working folder and send it to every node.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Ray is about to change what it says of devices to workers that need none, and warns of it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


def run_on_ray(
    work: Work[T, R], tasks: Sequence[Task[T]], cluster: Cluster, attempts: int
) -> Generator[Outcome[R], None, None]:
    """See `run_tasks`. A cluster that was connected to before is used and left connected."""
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, cluster)
    try:
        yield from _map(ray, work, tasks, cluster, attempts)
    finally:
        if ours:
            ray.shutdown()


def _import_ray() -> Any:
    os.environ.update(_QUIET)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DeploymentError(
            "backend-missing",
            "Ray, which runs work on a cluster, is not installed.",
            where="--cluster",
            found=f"no module {error.name}",
            next_step="run: pip install 'genolewm-core[ray]', or leave --cluster out",
        ) from error
    return ray


def _connect(ray: Any, cluster: Cluster) -> None:
    local = cluster.address == "local"
    # One more than there are actors: where actors take every processor, the task that feeds them never starts.
    sizes: dict[str, Any] = {}
    if local:
        # Of this machine alone: Ray asks nobody who they are.
        sizes = {"num_cpus": cluster.workers + 1, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    if local and cluster.gpus == 0:
        sizes["num_gpus"] = 0
    try:
        ray.init(cluster.address, logging_level=logging.ERROR, log_to_driver=False, **sizes)
    except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise ResourceError(
            "cluster-unreachable",
            "The Ray cluster cannot be reached.",
            where="--cluster",
            expected="the address of a cluster of the same versions of Ray and Python, or local",
            found=type(error).__name__,
            next_step="check the address with: ray status --address ADDRESS",
        ) from error


def _map(
    ray: Any, work: Work[T, R], tasks: Sequence[Task[T]], cluster: Cluster, attempts: int
) -> Generator[Outcome[R], None, None]:
    workers = min(cluster.workers, len(tasks))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a task that ends its workers must not stop the others
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its accounts of failures are ours to give
    share = _share(ray, workers)
    cpus = (os.cpu_count() or 1) // workers if cluster.address == "local" else int(share)
    rows = [{"number": number, "task": pickle.dumps(task)} for number, task in enumerate(tasks)]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of the last two options, which have no other way in
        outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(pickle.dumps(work), max(1, cpus)),
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=share,
            num_gpus=cluster.gpus,
            max_restarts=-1,
            max_task_retries=attempts - 1,
        )
    unfinished = {task.name for task in tasks}
    try:
        for row in outcomes.iter_rows():
            outcome = pickle.loads(row["outcome"])
            if isinstance(outcome, Exception):
                raise outcome
            unfinished.remove(outcome.name)
            yield outcome
    except ray.exceptions.RayError as error:
        raise ResourceError(
            "worker-ended",
            "Ray has given the work up; what was finished is kept.",
            where="--cluster",
            found=f"{type(error).__name__}, with {len(unfinished)} of {len(tasks)} tasks to do",
            next_step="run the same command again with fewer workers, or look into Ray's own logs",
        ) from error
    for task in tasks:
        if task.name in unfinished:
            yield Outcome(task.name, error=lost(task.name, attempts))


def _share(ray: Any, workers: int) -> float:
    """Processors of one actor, such that all of them fit and leave some for the task that feeds them."""
    free: float = ray.cluster_resources().get("CPU", 1.0)
    largest = max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=1.0)
    share = min((free - 0.5) / workers, largest)
    return float(int(share)) if share >= 1 else max(0.01, round(share - 0.005, 2))


class _Actor:
    """What Ray makes once a worker. No exception leaves it: Ray would write its text into logs.

    Ray makes and calls it in different threads. The work starts and goes on in one, as in every other place:
    database connections and numbers of compute threads belong to the thread that made them.
    """

    def __init__(self, work: bytes, cpus: int) -> None:
        withhold_messages()
        self._thread = ThreadPoolExecutor(1)
        self._error: Exception | None = None
        try:
            self._do = self._thread.submit(_start, work, cpus).result()
        except Exception as error:
            self._error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": self._thread.submit(self._answer, row["task"]).result()}

    def _answer(self, task: bytes) -> bytes:
        return _pickled(self._error or attempt(self._do, pickle.loads(task), worker=True))


def _start(work: bytes, cpus: int) -> Any:
    return pickle.loads(work).start(Seat(0, cpus, worker=True))


def _pickled(answer: object) -> bytes:
    with suppress(Exception):
        data = pickle.dumps(answer)
        pickle.loads(data)
        return data
    return pickle.dumps(RuntimeError("what a worker answered cannot be sent"))
