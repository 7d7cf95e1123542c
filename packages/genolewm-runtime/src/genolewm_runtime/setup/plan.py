"""What a setup is going to do, before it does anything: files, sizes, digests, places, room on the disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.artifacts.installed import Installed
from genolewm_core.errors import ResourceError
from genolewm_runtime.setup.digests import Digest

__all__ = ["Plan", "PlannedArtefact", "PlannedFile", "check_room"]

_UNPACKED = 4
"""A gzip-compressed FASTA takes up to about so many times its size when it is unpacked."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that is to be had.

    Attributes:
        source: its address, or its path on offline media.
        n_bytes: its size; None when nobody says.
    """

    name: str
    source: str | Path
    n_bytes: int | None
    digest: Digest


@dataclass(frozen=True, slots=True)
class PlannedArtefact:
    """An encoder, a reference or an annotation that is to be set up.

    Attributes:
        kind, name, version: see `genolewm_core.artifacts.installed`.
        origin: where the files come from, for people.
        files: all files, in the order in which they are fetched; none when it is there already.
        there: what is there already, to be verified only.
    """

    kind: str
    name: str
    version: str
    origin: str
    files: tuple[PlannedFile, ...] = ()
    there: Installed | None = None

    def folder(self, home: Path) -> Path:
        """Its final place."""
        return home / self.kind / self.name / self.version

    def staging(self, home: Path) -> Path:
        """The hidden folder beside it, where bytes land first."""
        return home / self.kind / self.name / f".{self.version}.partial"

    @property
    def n_bytes(self) -> int | None:
        """Bytes to be fetched; None when the size of a file is not known."""
        sizes = [file.n_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def room_bytes(self) -> int:
        """Bytes of disk that it takes at most, as far as sizes are known."""
        known = sum(file.n_bytes or 0 for file in self.files)
        return known * (1 + _UNPACKED) if self.kind == "references" else known


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one command sets up.

    Attributes:
        home: the folder that everything goes to.
    """

    home: Path
    artefacts: tuple[PlannedArtefact, ...]

    @property
    def room_bytes(self) -> int:
        """Bytes of disk that are still needed, with what an earlier attempt left taken off."""
        return sum(max(0, each.room_bytes - _left(each.staging(self.home))) for each in self.artefacts)

    @property
    def free_bytes(self) -> int:
        """Bytes that are free where `home` lies or will lie."""
        folder = self.home.absolute()
        # Path.exists would raise where a folder may not be read.
        while not os.path.exists(folder):
            folder = folder.parent
        return shutil.disk_usage(folder).free


def check_room(plan: Plan) -> None:
    """Refuse a plan that the disk has no room for.

    Raises:
        ResourceError: `output-unwritable`.
    """
    needed, free = plan.room_bytes, plan.free_bytes
    if needed > free:
        raise ResourceError(
            "output-unwritable",
            "The disk has no room for what is to be set up.",
            where=str(plan.home),
            expected=f"{needed:,} free bytes",
            found=f"{free:,} free bytes",
            next_step="free some space, or choose another folder with --home",
        )


def _left(staging: Path) -> int:
    try:
        return sum(path.stat().st_size for path in staging.iterdir())
    except OSError:
        return 0
