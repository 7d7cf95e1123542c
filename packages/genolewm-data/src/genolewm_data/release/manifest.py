"""`dataset_manifest.json`: what a release is, what it was made of and how, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import InputError

__all__ = ["MANIFEST", "SCHEMA_VERSION", "ReleaseFile", "ReleaseManifest", "SourceFile", "first_problem"]

SCHEMA_VERSION = "1.0.0"

MANIFEST = "dataset_manifest.json"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a release was made of.

    Attributes:
        role: what it was used for, such as `reference`, `gnomad` or `holdouts`.
        name: of the file, without its folder.
        sha256: of its bytes, 64 hexadecimal digits.
        n_bytes: its size.
        release: of the published thing that it is of, or "" where that is not known.
        licence: or "" where that is not known.
    """

    role: str
    name: str
    sha256: str
    n_bytes: int
    release: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A file of a release.

    Attributes:
        path: inside the release, with `/`.
        sha256: of its bytes, 64 hexadecimal digits.
        n_bytes: its size.
        rows: of a table; 0 for other files.
    """

    path: str
    sha256: str
    n_bytes: int
    rows: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """Everything that a release says about itself. It has no date and no place of the machine it was made on.

    Attributes:
        name, version: of the release.
        assembly: of the placed windows and of all variants, GRCh37 or GRCh38.
        window_bp: bases of a window.
        options: of the tuples, as `TupleOptions` takes them, with `mix` as source to weight.
        windows: split to the number of its windows: of training by where they are from (`placed`, or a config of the
            corpus), of validation by the hold-out that they are for.
        left_out: what was not taken, by stage and reason: windows, variants, haplotypes.
        config: all that the maker was asked, with names of files instead of paths.
        holdouts: digest of the hold-outs.
        sources: what it was made of, by role and name.
        files: of the release but for this one and SHA256SUMS, by path.
        made_with: distribution to its version.
        schema_version: of this file.
    """

    name: str
    version: str
    assembly: str
    window_bp: int
    options: Mapping[str, Any]
    windows: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, Mapping[str, int]]
    config: Mapping[str, Any]
    holdouts: str
    sources: tuple[SourceFile, ...]
    files: tuple[ReleaseFile, ...]
    made_with: Mapping[str, str]
    schema_version: str = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits over all of it, and so over every file."""
        return f"sha256:{hashlib.sha256(canonical_json(asdict(self))).hexdigest()}"

    def write(self, folder: Path) -> None:
        """Write it into a release's folder, atomically.

        Raises:
            ResourceError: `output-unwritable`.
        """
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_atomic(folder / MANIFEST, (text + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> ReleaseManifest:
        """Read it from a release's folder.

        Raises:
            InputError: `dataset-invalid`, when it is missing, malformed or of a later version.
        """
        try:
            text = (folder / MANIFEST).read_bytes()
            version = json.loads(text)["schema_version"]
            if version.split(".")[0] == SCHEMA_VERSION.split(".")[0]:
                return TypeAdapter(cls).validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            raise _invalid(folder, first_problem(error)) from None
        except FileNotFoundError:
            raise _invalid(folder, "no such file") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _invalid(folder, f"{type(error).__name__}: {error}"[:120]) from None
        raise _invalid(folder, f"schema version {version}")


def first_problem(error: ValidationError) -> str:
    """The first place that is wrong, and how."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:120]


def _invalid(folder: Path, found: str) -> InputError:
    return InputError(
        "dataset-invalid",
        "The folder is no dataset release that can be read.",
        where=str(folder / MANIFEST),
        expected=f"a manifest of schema version {SCHEMA_VERSION}",
        found=found,
        next_step="name the folder that geno-lewm dataset build made, or build it again",
    )
