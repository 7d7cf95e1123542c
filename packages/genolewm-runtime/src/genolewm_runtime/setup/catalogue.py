"""What can be set up by name: where it is published, and what is known of it beforehand.

The catalogue is data, `catalogue.json`. A revision or a digest that nobody here has seen is null there, never
invented; who vouches for the bytes is then the user's choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from genolewm_core.artifacts.carbon import RELEASES

__all__ = ["EncoderEntry", "FileEntry", "annotation", "encoder", "encoders", "reference"]


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """A published encoder.

    Attributes:
        revision: the commit that is set up unless the user names another; None when none is known.
        revision_seen: how that commit came to be known.
        sha256: digests of its files by name; None while nobody here has fetched them.
    """

    name: str
    revision: str | None
    revision_seen: str | None
    sha256: dict[str, str] | None

    @property
    def repo(self) -> str:
        """Its repository on the Hub."""
        return RELEASES[self.name].repo


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A published reference FASTA or annotation.

    Attributes:
        name: the assembly.
        version: the release that it is of.
        base_url: folder that holds `file` and the host's own list of MD5 digests, `md5_list`.
        sha256: the file's digest; None while nobody here has fetched it.
    """

    name: str
    version: str
    base_url: str
    file: str
    md5_list: str
    sha256: str | None


def encoders() -> tuple[EncoderEntry, ...]:
    """All encoders of the catalogue, the smallest first."""
    return tuple(EncoderEntry(**entry) for entry in _raw()["encoders"])


def encoder(name: str) -> EncoderEntry:
    """An encoder by its own name."""
    return next(entry for entry in encoders() if entry.name == name)


def reference(assembly: str) -> FileEntry:
    """The reference FASTA of an assembly."""
    return next(FileEntry(**entry) for entry in _raw()["references"] if entry["name"] == assembly)


def annotation(assembly: str) -> FileEntry:
    """The gene annotation of an assembly."""
    return next(FileEntry(**entry) for entry in _raw()["annotations"] if entry["name"] == assembly)


def _raw() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(
        (files("genolewm_runtime.setup") / "catalogue.json").read_bytes()
    )
    return found
