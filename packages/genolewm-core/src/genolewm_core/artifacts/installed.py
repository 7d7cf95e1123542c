"""What `geno-lewm setup` has put on this machine, by name: encoders, references and annotations.

Each lies in `HOME/KIND/NAME/VERSION/`, which appears whole or not at all, with a `setup.json` that says where
it came from. Several versions of one name lie side by side; the name means the one that was set up last, and
`NAME@VERSION`, or the beginning of the version, means another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from genolewm_core.artifacts.carbon import RELEASES
from genolewm_core.errors import DeploymentError, InputError

__all__ = [
    "ANNOTATIONS",
    "HOME_VARIABLE",
    "MODELS",
    "RECORD_NAME",
    "REFERENCES",
    "Installed",
    "find_installed",
    "home",
    "installed",
    "installed_annotation",
    "installed_model",
    "installed_reference",
]

HOME_VARIABLE = "GENOLEWM_HOME"
RECORD_NAME = "setup.json"

MODELS, REFERENCES, ANNOTATIONS = "models", "references", "annotations"

_OPTION = {MODELS: "--encoder", REFERENCES: "--reference", ANNOTATIONS: "--annotation --reference"}
_NAMES = {
    MODELS: tuple(RELEASES),
    REFERENCES: ("GRCh37", "GRCh38"),
    ANNOTATIONS: ("GRCh37", "GRCh38"),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """One version of one thing that was set up.

    Attributes:
        path: its folder.
        record: its `setup.json`: source, digests, who vouched for them, and when.
    """

    kind: str
    name: str
    version: str
    path: Path
    record: dict[str, Any]

    @property
    def main_file(self) -> Path:
        """The FASTA of a reference, the GFF3 of an annotation, the folder itself of a model."""
        return self.path / str(self.record.get("main_file", ""))


def home() -> Path:
    """The folder of everything that was set up: `$GENOLEWM_HOME`, or the user's data folder."""
    given = os.environ.get(HOME_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_data_dir("geno-lewm", appauthor=False))


def installed(root: Path | None = None) -> Iterator[Installed]:
    """Everything that was set up, by kind and name; of one name the last set up comes first."""
    for kind in (MODELS, REFERENCES, ANNOTATIONS):
        for name_folder in _folders((root or home()) / kind):
            yield from _versions(kind, name_folder)


def find_installed(kind: str, name: str, version: str, root: Path | None = None) -> Installed | None:
    """One version of one thing, or None when it is not set up."""
    return next(
        (each for each in _versions(kind, (root or home()) / kind / name) if each.version == version), None
    )


def installed_model(name_or_path: str | os.PathLike[str], root: Path | None = None) -> Path:
    """The folder of a model.

    Args:
        name_or_path: a path, which is returned as it is, or a name such as `carbon-500m`.
        root: the folder to look in; `home()` when None.

    Raises:
        DeploymentError: `model-missing`, when it is the name of a model that is not set up.
    """
    found = _find(MODELS, name_or_path, root)
    return Path(name_or_path) if found is None else found.path


def installed_reference(name_or_path: str | os.PathLike[str], root: Path | None = None) -> Path:
    """The FASTA of a reference; see `installed_model`.

    Raises:
        InputError: `reference-unreadable`, when it is the name of an assembly that is not set up.
    """
    found = _find(REFERENCES, name_or_path, root)
    return Path(name_or_path) if found is None else found.main_file


def installed_annotation(name_or_path: str | os.PathLike[str], root: Path | None = None) -> Path:
    """The GFF3 of an annotation; see `installed_model`.

    Raises:
        InputError: `annotation-unreadable`, when it is the name of an assembly whose annotation is not set up.
    """
    found = _find(ANNOTATIONS, name_or_path, root)
    return Path(name_or_path) if found is None else found.main_file


def _find(kind: str, given: str | os.PathLike[str], root: Path | None) -> Installed | None:
    """What a name means; None for a path, and for what is neither."""
    text = os.fspath(given)
    wanted, _, version = text.partition("@")
    # Path.exists would raise for a name that no file can have.
    if Path(text).name != text or os.path.exists(text):
        return None
    base = (root or home()) / kind
    known = {name.lower(): name for name in _NAMES[kind]}
    name = known.get(wanted.lower(), wanted)
    found = list(_versions(kind, base / name)) if wanted not in ("", ".", "..") else []
    if version:
        found = [each for each in found if each.version.startswith(version)]
    if found:
        return found[0]
    if name not in _NAMES[kind]:
        return None
    fields = {
        "where": text,
        "expected": f"a path, or what lies in {base}",
        "next_step": f"run: geno-lewm setup {_OPTION[kind]} {name}",
    }
    what = "is not set up on this machine."
    if kind == MODELS:
        raise DeploymentError("model-missing", f"This model {what}", **fields)
    if kind == REFERENCES:
        raise InputError("reference-unreadable", f"The reference of this assembly {what}", **fields)
    raise InputError("annotation-unreadable", f"The annotation of this assembly {what}", **fields)


def _versions(kind: str, folder: Path) -> Iterator[Installed]:
    found = []
    for path in _folders(folder):
        try:
            record = json.loads((path / RECORD_NAME).read_bytes())
            # Only what setup itself published: a folder without its record is somebody else's.
            found.append((str(record["set_up_at"]), Installed(kind, folder.name, path.name, path, record)))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
    yield from (each for _, each in sorted(found, key=lambda pair: pair[0], reverse=True))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.name[0] != "." and child.is_dir())
    except (OSError, ValueError):
        return []
