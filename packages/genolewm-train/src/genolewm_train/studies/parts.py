"""Results of a study cell by cell on disk, so that a study that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_train.studies.variants import StudyCell, StudyEdit

__all__ = ["by_group", "compute_cells"]

Arrays = dict[str, npt.NDArray[Any]]


def compute_cells(
    cells: Sequence[StudyCell],
    compute: Callable[[StudyCell], Arrays],
    folder: Path,
    key: Mapping[str, Any],
    *,
    show_progress: bool,
) -> Iterator[tuple[StudyCell, Arrays]]:
    """The result of every cell, in order; what an earlier run with the same key has left is read, not run.

    Args:
        cells: what to compute.
        compute: cell -> arrays.
        folder: where results are kept; made if it is missing.
        key: everything a result depends on besides the cell, as JSON.
        show_progress: draw a bar on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cells"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not show_progress) as progress:
        for cell in progress.track(cells, description="reading"):
            name = hashlib.sha256(canonical_json({"cell": asdict(cell), **key})).hexdigest()
            path = folder / f"{name}.npz"
            if not path.is_file():
                held = io.BytesIO()
                np.savez(held, allow_pickle=False, **compute(cell))
                write_atomic(path, held.getvalue())
            with np.load(path) as stored:
                yield cell, {field: stored[field] for field in stored.files}


def by_group(
    results: Iterable[tuple[StudyCell, Arrays]],
) -> dict[str, tuple[list[StudyEdit], list[Arrays]]]:
    """Set of variants -> its variants, and the results of its cells, in the same order."""
    found: dict[str, tuple[list[StudyEdit], list[Arrays]]] = {}
    for cell, arrays in results:
        edits, parts = found.setdefault(cell.group, ([], []))
        edits.extend(cell.edits)
        parts.append(arrays)
    return found
