"""The folder of an unfinished run: who may use it, which shards are finished, and when it goes away."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, ResourceError
from genolewm_runtime.shards import ShardOutcome
from genolewm_runtime.writers import read_shard_outcome

__all__ = ["Parts"]

_PLAN = "run.json"


@dataclass(frozen=True, slots=True)
class Parts:
    """The hidden folder `.NAME.parts` beside an output; made and held by `take`."""

    folder: Path

    @classmethod
    @contextmanager
    def take(cls, output: Path, fingerprint: str, *, fresh: bool) -> Iterator[Parts]:
        """Create the folder or take it up, and keep other runs away from it while the block runs.

        Args:
            output: the output that the run will publish.
            fingerprint: of everything that decides the output.
            fresh: drop another run's unfinished work, and allow that the output exists.

        Raises:
            ConfigError: `output-exists`, `resume-conflict`.
            ResourceError: `output-busy`, `output-unwritable`.
        """
        folder = output.with_name(f".{output.name}.parts")
        found = _planned(folder)
        # A run that was cut off after it published is finished by running it again.
        if output.exists() and not fresh and found != fingerprint:
            raise ConfigError(
                "output-exists",
                "The output exists already; it was not touched.",
                where=str(output),
                next_step="choose another --output, or give --fresh to replace it",
            )
        if found not in (None, fingerprint) and not fresh:
            raise ConfigError(
                "resume-conflict",
                "An unfinished run with other inputs, options or versions is in the way.",
                where=str(folder),
                next_step="finish it with its own command, or give --fresh to drop it",
            )
        try:
            folder.mkdir(exist_ok=True)
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ResourceError(
                "output-unwritable",
                "The folder for unfinished work cannot be made.",
                where=str(folder),
                found=error.strerror,
                next_step="check free space and permissions, or choose another --output",
            ) from error
        try:
            _lock(lock, output)
            if found != fingerprint:
                _empty(folder)
                write_atomic(folder / _PLAN, canonical_json({"fingerprint": fingerprint}))
            yield cls(folder)
        finally:
            os.close(lock)

    def shard(self, index: int) -> Path:
        """Where a shard's file lies."""
        return self.folder / f"{index:06d}.parquet"

    def finished(self, index: int) -> ShardOutcome | None:
        """The outcome of a finished shard; None when it has to be scored, also when its file is damaged."""
        path = self.shard(index)
        text = read_shard_outcome(path) if path.exists() else None
        return None if text is None else ShardOutcome.from_json(index, text)

    def remove(self) -> None:
        """Remove the folder; the run is over."""
        shutil.rmtree(self.folder)


def _planned(folder: Path) -> str | None:
    """Fingerprint of the run that a folder belongs to; None when it belongs to none."""
    try:
        return str(json.loads((folder / _PLAN).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lock(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ResourceError(
            "output-busy",
            "Another run is writing this output.",
            where=str(output),
            next_step="wait for it, or choose another --output",
        ) from error


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
