"""What decides the bytes of an output, for telling whether an unfinished run is the same run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.genome.reference import Reference

__all__ = ["about_reference", "computing_versions", "digest_of"]

_COMPUTING = ("genolewm-core", "genolewm-runtime", "genolewm-encoder", "numpy", "onnxruntime", "torch")


def digest_of(parts: Mapping[str, object]) -> str:
    """SHA-256 of everything that decides an output, as canonical JSON."""
    return hashlib.sha256(canonical_json(dict(parts))).hexdigest()


def about_reference(reference: Reference) -> list[object]:
    """A reference by its contigs, size and time of change.

    Hashing three gigabytes on every run would cost more than it tells.
    """
    about = reference.path.stat()
    return [about.st_size, about.st_mtime_ns, sorted(reference.contigs.items())]


def computing_versions() -> dict[str, str | None]:
    """Versions of the distributions that compute; None for one that is not installed."""
    return {name: _version(name) for name in _COMPUTING}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
