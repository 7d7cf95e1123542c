"""The benchmark harness of RFC-0016 section 3.4: two things compared in one process, checked before timed.

Machines are noisy, so what is reported is the ratio of paired runs, with its median and interquartile range;
absolute times are kept beside it for the record. The last line of a benchmark's output is one JSON document,
and the same document is written to bench/results/<machine>/<benchmark>.json.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Timing", "machine_name", "metadata", "paired", "publish"]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """Paired runs of a baseline and of a candidate.

    Attributes:
        ratios: baseline seconds per unit over candidate seconds per unit, one per pair.
        baseline_s, candidate_s: seconds per unit, one per pair.
    """

    ratios: list[float]
    baseline_s: list[float]
    candidate_s: list[float]

    def summary(self) -> dict[str, Any]:
        """Median and quartiles of the ratio and of the times."""
        return {
            "ratio": spread(self.ratios),
            "baseline_s_per_unit": spread(self.baseline_s),
            "candidate_s_per_unit": spread(self.candidate_s),
            "pairs": len(self.ratios),
        }


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    q1, median, q3 = (float(x) for x in np.percentile(values, [25, 50, 75]))
    return {"median": median, "q1": q1, "q3": q3}


def paired(
    baseline: Callable[[], float],
    candidate: Callable[[], float],
    *,
    check: Callable[[], None],
    pairs: int,
    warm_up: bool = True,
) -> Timing:
    """Run two things in turn.

    Args:
        baseline, candidate: each does its work and returns how many units that was.
        check: raises AssertionError when the two do not give the same result; run before anything is timed.
        pairs: timed pairs.
        warm_up: run each once untimed.
    """
    check()
    if warm_up:
        baseline()
        candidate()
    times: dict[str, list[float]] = {"baseline": [], "candidate": []}
    for _ in range(pairs):
        for name, work in (("baseline", baseline), ("candidate", candidate)):
            started = time.perf_counter()
            units = work()
            times[name].append((time.perf_counter() - started) / units)
    ratios = [b / c for b, c in zip(times["baseline"], times["candidate"], strict=True)]
    return Timing(ratios, times["baseline"], times["candidate"])


def machine_name() -> str:
    """A folder name that says what kind of machine this is, without naming the machine."""
    return f"{platform.system().lower()}-{platform.machine()}-{os.cpu_count()}cpu"


def metadata() -> dict[str, Any]:
    """What a number depends on besides the code: commit, processor, versions."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip() + ("+changes" if dirty.stdout.strip() else ""),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", "onnxruntime", "torch", "transformers")},
    }


def publish(benchmark: str, document: dict[str, Any]) -> None:
    """Write the result file and print the document as the last line."""
    document = {"benchmark": benchmark, **metadata(), **document}
    folder = RESULTS / machine_name()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{benchmark}.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    print(json.dumps(document, sort_keys=True))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
