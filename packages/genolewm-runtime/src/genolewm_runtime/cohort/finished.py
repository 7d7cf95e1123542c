"""Which VCFs of a cohort an earlier run has finished.

A receipt says by what a table was scored, but not of which VCF: no digest of a personal file may be in it. So
the folder `.cohort` beside the tables keeps, for each of them, what its inputs looked like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import write_atomic, writing
from genolewm_core.artifacts.manifest import ModelDirectory, canonical_json
from genolewm_core.scoring.backend import resolve_backend
from genolewm_runtime import __version__
from genolewm_runtime.receipt import receipt_path
from genolewm_runtime.run import VcfRun

__all__ = ["Note", "finished"]

_FOLDER = ".cohort"


class Note:
    """What a run's inputs looked like; kept from before the run begins until another replaces its output.

    The rule that makes it safe: an output never lies beside the note of another run. So a note is written
    early only where there is no output yet, and is taken away before an output is replaced.
    """

    def __init__(self, run: VcfRun) -> None:
        self._run = run
        self._path = run.output.parent / _FOLDER / f"{run.output.name}.json"
        self._inputs = canonical_json(_inputs(run))

    def before(self) -> None:
        """Write or take away the note, as a run begins.

        Raises:
            ResourceError: `output-unwritable`.
        """
        if not self._run.output.exists():
            self.after()
        elif self._run.fresh:
            with writing(self._path):
                self._path.unlink(missing_ok=True)

    def after(self) -> None:
        """Write the note, as a run has ended.

        Raises:
            ResourceError: `output-unwritable`.
        """
        with writing(self._path):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._path, self._inputs)

    def agrees(self) -> bool:
        """Whether the note is of the same inputs and options."""
        try:
            return self._path.read_bytes() == self._inputs
        except OSError:
            return False


def finished(run: VcfRun) -> Mapping[str, Any] | None:
    """The receipt of a run's output, where the same run has finished it; None where it has to be scored."""
    if run.fresh or not run.output.is_file() or not Note(run).agrees():
        return None
    try:
        receipt = json.loads(receipt_path(run.output).read_bytes())
    except (OSError, ValueError):
        return None
    return receipt if isinstance(receipt, dict) and {"rows", "n_tok"} <= receipt.keys() else None


def _inputs(run: VcfRun) -> dict[str, object]:
    """What decides an output. Files are known by size and time of change, as a build tool knows them."""
    return {
        "vcf": _looks(run.vcf) if isinstance(run.vcf, Path) else None,
        "reference": _looks(run.reference),
        "annotation": None if run.annotation is None else _looks(run.annotation),
        "model_id": ModelDirectory.open(run.model).manifest.model_id,
        "backend": resolve_backend(run.backend),
        "options": asdict(run.options),
        "runtime_version": __version__,
    }


def _looks(path: Path) -> list[int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return [about.st_size, about.st_mtime_ns]
