"""The folder of an unfinished run: who may use it, which shards are finished, and when it goes away."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from genolewm_core.artifacts.atomic import write_atomic, writing
from genolewm_core.artifacts.lock import lock_or_refuse
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, InputError, ResourceError
from genolewm_runtime.shards import ShardOutcome
from genolewm_runtime.writers import read_shard_outcome

__all__ = ["Parts", "check_places"]

_PLAN = "run.json"
_SPOOL = "standard-input"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the folder says about its run.

    Attributes:
        fingerprint: of everything that decides the output.
        replace: whether the run may replace a file that has the output's name: the user said so, or the run
            has begun to publish and the file is its own.
    """

    fingerprint: str
    replace: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """The hidden folder `.NAME.parts` beside an output; made and held by `take`."""

    folder: Path

    @classmethod
    @contextmanager
    def take(cls, output: Path, *, fresh: bool, files: Sequence[Path] = ()) -> Iterator[Parts]:
        """Make the folder or take it up, and keep other runs away from it while the block runs.

        A folder in which no run was begun is removed again.

        Args:
            output: the output that the run will publish.
            fresh: allow that the output exists.
            files: what the run will publish, where that is not `output` itself.

        Raises:
            ConfigError: `output-exists`.
            ResourceError: `output-busy`, `output-unwritable`.
        """
        folder = output.with_name(f".{output.name}.parts")
        files = files or (output,)
        if not fresh:
            _refuse_existing(files, folder)
        lock = _take(folder, output)
        try:
            if not fresh:
                _refuse_existing(files, folder)  # another run may have published until the lock was ours
            yield cls(folder)
        finally:
            # By descriptor: after `remove` the path may already be another run's.
            with contextlib.suppress(OSError):
                os.unlink(_SPOOL, dir_fd=lock)  # the next run is given the same bytes again
            with contextlib.suppress(OSError):
                if os.fstat(lock).st_nlink:
                    folder.rmdir()  # only when it is empty
            os.close(lock)

    def begin(self, fingerprint: str, *, fresh: bool) -> None:
        """Make the folder that of a run: go on with its finished shards, or start with none.

        Args:
            fingerprint: of everything that decides the output.
            fresh: drop unfinished work, the run's own as well.

        Raises:
            ConfigError: `resume-conflict`.
            ResourceError: `output-unwritable`.
        """
        plan = _plan_of(self.folder)
        if not fresh and plan is not None:
            if plan.fingerprint == fingerprint:
                return
            raise ConfigError(
                "resume-conflict",
                "An unfinished run with other inputs, options or versions is in the way.",
                where=str(self.folder),
                next_step="finish it with its own command, or give --fresh to drop it",
            )
        self._empty(keep={_SPOOL})
        self._write(_Plan(fingerprint, replace=fresh))

    def spool(self, stream: BinaryIO) -> Path:
        """Copy a stream into the folder, readable by its owner only, because it is read more than once.

        Raises:
            InputError: `vcf-unreadable`, when the stream cannot be read.
            ResourceError: `output-unwritable`.
        """
        path = self.folder / _SPOOL
        with writing(path):
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                while block := _read(stream):
                    file.write(block)
        return path

    def shard(self, index: int) -> Path:
        """Where a shard's file lies."""
        return self.folder / f"{index:06d}.parquet"

    def finished(self, index: int) -> ShardOutcome | None:
        """The outcome of a finished shard; None when it has to be scored, also when its file is damaged."""
        path = self.shard(index)
        text = read_shard_outcome(path) if path.exists() else None
        return None if text is None else ShardOutcome.from_json(index, text)

    def publishing(self, fingerprint: str) -> None:
        """Note that a file of the output's name is from now on the run's own."""
        self._write(_Plan(fingerprint, replace=True))

    def remove(self) -> None:
        """Remove the folder; the run is over. Until its contents are gone, the run can still be repeated."""
        with writing(self.folder):
            self._empty(keep={_PLAN})
            (self.folder / _PLAN).unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _empty(self, keep: set[str]) -> None:
        with writing(self.folder):
            for path in self.folder.iterdir():
                if path.name not in keep:
                    path.unlink()

    def _write(self, plan: _Plan) -> None:
        write_atomic(self.folder / _PLAN, canonical_json(asdict(plan)))


def check_places(files: Sequence[Path]) -> None:
    """Refuse at once what could only fail after hours: files of one folder that cannot be written there.

    Raises:
        ResourceError: `output-unwritable`.
    """
    folder = files[0].parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ResourceError(
            "output-unwritable",
            "The output's folder does not exist or cannot be written to.",
            where=str(folder),
            next_step="create the folder, or choose another --output",
        )
    for path in files:
        if path.is_dir():
            raise ResourceError(
                "output-unwritable",
                "A folder is in the way of a file.",
                where=str(path),
                next_step="choose another --output",
            )


def _refuse_existing(files: Sequence[Path], folder: Path) -> None:
    plan = _plan_of(folder)
    found = next((path for path in files if path.exists()), None)
    # A run that was cut off while it published is finished by running it again.
    if found is None or (plan is not None and plan.replace):
        return
    raise ConfigError(
        "output-exists",
        "The output exists already; it was not touched.",
        where=str(found),
        next_step="choose another --output, or give --fresh to replace it",
    )


def _plan_of(folder: Path) -> _Plan | None:
    """The plan of the run that a folder belongs to; None when it belongs to none."""
    try:
        raw = json.loads((folder / _PLAN).read_bytes())
        return _Plan(str(raw["fingerprint"]), bool(raw["replace"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        # Not to be taken for an empty folder: a run's work would be dropped.
        raise ResourceError(
            "output-unwritable",
            "The folder of unfinished work cannot be read.",
            where=str(folder),
            found=error.strerror,
            next_step="check the disk and the folder's permissions, then run the same command again",
        ) from error


def _take(folder: Path, output: Path) -> int:
    """Make the folder and lock it; returns the descriptor that holds the lock."""
    while True:
        made = False
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            made = True
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if made and isinstance(error, FileNotFoundError):
                continue  # another run has just ended and removed the folder
            raise ResourceError(
                "output-unwritable",
                "The folder for unfinished work cannot be made.",
                where=str(folder),
                found=error.strerror,
                next_step="check free space and permissions, or choose another --output",
            ) from error
        try:
            lock_or_refuse(
                lock,
                "Another run is writing this output.",
                output,
                "wait for it, or choose another --output",
            )
            if os.fstat(lock).st_ino == folder.stat().st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(1 << 20)
    except OSError as error:
        raise InputError(
            "vcf-unreadable", "Standard input cannot be read.", where="--vcf -", found=error.strerror
        ) from error
