"""Digests of files that are to be fetched, and who vouches for each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.errors import ConfigError, ProvenanceError

__all__ = [
    "Digest",
    "Hasher",
    "Index",
    "IndexedArtefact",
    "parse_index",
    "parse_list",
    "read_text",
    "wrong_file",
]

_LENGTHS = {"sha256": 64, "git-sha1": 40, "md5": 32}
_LIST_LINE = re.compile(r"([0-9A-Fa-f]+) [ *](.+)")
INDEX_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest that a file must have.

    Attributes:
        algorithm: "sha256", "md5", or "git-sha1": SHA-1 over git's blob header and the bytes.
        value: lower-case hex.
        vouched_by: who says so, in words.
    """

    algorithm: str
    value: str
    vouched_by: str

    def __post_init__(self) -> None:
        wrong = self.value.strip("0123456789abcdef")
        if wrong or len(self.value) != _LENGTHS.get(self.algorithm, -1):
            raise ValueError(f"not a {self.algorithm} digest")


class Hasher:
    """Hashes a file while it arrives: always SHA-256, and what the expected digest is of.

    Args:
        expected: the digest that the file must have.
        n_bytes: the file's size, which git's blob header needs.
    """

    def __init__(self, expected: Digest, n_bytes: int | None) -> None:
        self.expected = expected
        self.n_bytes = 0
        self._sha256 = hashlib.sha256()
        self._other: hashlib._Hash | None = None
        if expected.algorithm == "md5":
            self._other = hashlib.md5(usedforsecurity=False)
        elif expected.algorithm == "git-sha1":
            if n_bytes is None:
                raise ValueError("a git blob id cannot be checked without the file's size")
            self._other = hashlib.sha1(f"blob {n_bytes}\0".encode(), usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.n_bytes += len(data)
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, hex."""
        return self._sha256.hexdigest()

    @property
    def found(self) -> str:
        """The bytes' digest by the expected digest's algorithm, hex."""
        return (self._sha256 if self._other is None else self._other).hexdigest()

    @property
    def matches(self) -> bool:
        """Whether the bytes are the promised ones."""
        return self.found == self.expected.value


@dataclass(frozen=True, slots=True)
class IndexedArtefact:
    """One artefact of a release index.

    Attributes:
        version: the revision of an encoder, the release of a file.
        base_url: where its files lie; None: where the catalogue says.
        files: name -> (size in bytes, digest).
    """

    version: str
    base_url: str | None
    files: Mapping[str, tuple[int, Digest]]


Index = Mapping[tuple[str, str], IndexedArtefact]
"""A release index: (kind, name) -> artefact."""


def read_text(path: Path, what: str) -> str:
    """Text of a small file that the user names.

    Raises:
        ConfigError: `config-invalid`.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        found = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise ConfigError(
            "config-invalid", f"The {what} cannot be read.", where=str(path), found=found
        ) from error


def parse_list(text: str, where: str, algorithm: str, vouched_by: str) -> dict[str, Digest]:
    """Digests by file name, out of a list as `sha256sum` or `md5sum` writes it.

    Folders in front of the names are dropped. Names that are listed with several digests are of different
    files, so none of them counts.

    Raises:
        ConfigError: `config-invalid`, when a line is none of such a list or the list is empty.
    """
    found: dict[str, Digest] = {}
    several: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LIST_LINE.fullmatch(line.rstrip())
        if match is None or len(match[1]) != _LENGTHS[algorithm]:
            raise _bad(where, f"lines of a {algorithm} digest, two spaces and a name", f"line {number}")
        name = match[2].rsplit("/", 1)[-1]
        digest = Digest(algorithm, match[1].lower(), vouched_by)
        if found.setdefault(name, digest) != digest:
            several.add(name)
    if not found:
        raise _bad(where, f"lines of a {algorithm} digest, two spaces and a name", "an empty list")
    return {name: digest for name, digest in found.items() if name not in several}


def parse_index(text: str, where: str) -> Index:
    """A release index; `docs/setup.md` describes it.

    Raises:
        ConfigError: `config-invalid`.
    """
    expected = f"a release index of schema {INDEX_VERSION}"
    try:
        raw = json.loads(text)
        if raw["schema_version"] != INDEX_VERSION:
            raise ValueError("another schema")
        return {_key(entry): _artefact(entry, where) for entry in raw["artefacts"]}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _bad(where, expected, type(error).__name__) from error


def _key(entry: dict[str, object]) -> tuple[str, str]:
    kind, name = entry["kind"], entry["name"]
    if not isinstance(kind, str) or not isinstance(name, str):
        raise TypeError("kind and name are text")
    return kind, name


def _artefact(entry: dict[str, object], where: str) -> IndexedArtefact:
    version, base_url, raw_files = entry["version"], entry.get("base_url"), entry["files"]
    if (
        not isinstance(version, str)
        or not (base_url is None or isinstance(base_url, str))
        or not isinstance(raw_files, list)
    ):
        raise TypeError("version and base_url are text, files a list")
    if version != version.strip("./\\ ") or "/" in version or not version.isprintable() or not version:
        raise ValueError("a version that is no plain name")
    found = {}
    for file in raw_files:
        name, n_bytes, value = file["name"], file["n_bytes"], file["sha256"]
        if not isinstance(name, str) or type(n_bytes) is not int or n_bytes < 0:
            raise TypeError("name is text, n_bytes a number")
        if Path(name).name != name or name.startswith(".") or not name.isprintable():
            raise ValueError("a file name that is no plain name")
        found[name] = (n_bytes, Digest("sha256", value, f"the index {where}"))
    return IndexedArtefact(version, base_url and base_url.rstrip("/"), found)


def _bad(where: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        "config-invalid", "The digests cannot be used.", where=where, expected=expected, found=found
    )


def wrong_file(where: str, expected: str, found: str, next_step: str) -> ProvenanceError:
    """The error for bytes that are not the promised ones."""
    return ProvenanceError(
        "artifact-digest",
        "A file is not the one that was promised, and was not kept.",
        where=where,
        expected=expected,
        found=found,
        next_step=next_step,
    )
