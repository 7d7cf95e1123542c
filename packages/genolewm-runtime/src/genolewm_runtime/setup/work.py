"""Carrying out a plan: one setup at a time, every file fetched and verified, every artefact published whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from genolewm_core.artifacts.atomic import writing
from genolewm_core.artifacts.installed import REFERENCES, Installed
from genolewm_core.artifacts.lock import lock_or_refuse
from genolewm_core.errors import ResourceError
from genolewm_runtime.setup.fetch import Fetched, OnBytes, copy, download, verified
from genolewm_runtime.setup.install import install, verify_again
from genolewm_runtime.setup.plan import Plan, PlannedArtefact, PlannedFile
from genolewm_runtime.setup.transport import Transport

__all__ = ["Watcher", "carry_out", "only_setup"]

_LOCK_NAME = ".setup.lock"


class Watcher(Protocol):
    """Told what happens."""

    def fetching(self, file: PlannedFile) -> OnBytes:
        """A file's turn has come; what is returned is told how many bytes of it are there."""
        ...

    def checking(self, artefact: PlannedArtefact) -> None:
        """All files of an artefact are verified; it is being checked and published, or verified again."""
        ...

    def ready(self, artefact: PlannedArtefact, there: Installed) -> None:
        """An artefact can be used."""
        ...


@contextmanager
def only_setup(home: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system frees when the process ends, however it ends.

    Raises:
        ResourceError: `output-busy`, `output-unwritable`.
    """
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock_or_refuse(
            lock,
            "Another setup is at work in this folder.",
            home,
            "wait for it, or choose another folder with --home",
        )
        yield
    finally:
        os.close(lock)


def carry_out(plan: Plan, transport: Transport | None, watcher: Watcher) -> None:
    """Fetch, verify and publish everything; what is verified before an error stays for the next attempt.

    Args:
        transport: None when all files come from a folder.

    Raises:
        ProvenanceError: `artifact-digest`, `carbon-files-invalid`.
        InputError: `reference-unreadable`, `annotation-unreadable`, `setup-download-failed`.
        ResourceError: `setup-download-failed`, `output-unwritable`.
    """
    reference: Path | None = None
    for artefact in plan.artefacts:
        there = _carry_out(artefact, plan.home, transport, watcher, reference)
        if artefact.kind == REFERENCES:
            reference = there.main_file
        watcher.ready(artefact, there)


def _carry_out(
    artefact: PlannedArtefact,
    home: Path,
    transport: Transport | None,
    watcher: Watcher,
    reference: Path | None,
) -> Installed:
    if artefact.there is not None:
        watcher.checking(artefact)
        return verify_again(artefact.there)
    staging = artefact.staging(home)
    with writing(staging):
        staging.mkdir(parents=True, exist_ok=True)
    fetched = [_fetch(file, staging, transport, watcher.fetching(file)) for file in artefact.files]
    watcher.checking(artefact)
    try:
        return install(artefact, home, fetched, reference)
    except ResourceError:
        raise
    except Exception:
        # The bytes are the promised ones and still not what was asked for: another attempt would fail as this one.
        _clear(staging)
        raise


def _fetch(file: PlannedFile, staging: Path, transport: Transport | None, on_bytes: OnBytes) -> Fetched:
    found = verified(file, staging, on_bytes)
    if found is not None:
        return found
    if transport is None or isinstance(file.source, Path):
        return copy(file, staging, on_bytes)
    return download(file, staging, transport, on_bytes)


def _clear(staging: Path) -> None:
    with contextlib.suppress(OSError):
        for path in staging.iterdir():
            path.unlink()
        staging.rmdir()
