"""Files whose digest is promised: opened without following links, hashed before a byte is interpreted."""

from __future__ import annotations

import hashlib
import os
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from genolewm_core.errors import ProvenanceError

__all__ = ["FileDigest", "digest_file", "open_verified", "read_verified"]


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file of the model directory and the digest of its bytes."""

    name: str
    sha256: str
    n_bytes: int

    def __post_init__(self) -> None:
        if type(self.name) is not str or self.name == "":
            raise _not_allowed("name", self.name)
        hex_digits = type(self.sha256) is str and not self.sha256.strip("0123456789abcdef")
        if not hex_digits or len(self.sha256) != 64:
            raise _not_allowed("sha256", self.sha256)
        if type(self.n_bytes) is not int or self.n_bytes < 0:
            raise _not_allowed("n_bytes", self.n_bytes)


def digest_file(path: Path) -> FileDigest:
    """Digest of a file that is about to be named in a manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(path.name, digest, file.tell())


@contextmanager
def open_verified(directory: Path, expected: FileDigest) -> Iterator[BufferedReader]:
    """A file whose digest is the promised one, at its start, without holding it in memory.

    What the block reads are the bytes that were hashed: that the file was not written to meanwhile is checked
    at the end of the block, before its results can be used.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`.
    """
    path = directory / expected.name
    with _opened(directory, expected) as file:
        before = _state(file)
        if before.size != expected.n_bytes:
            raise _other_file(path, f"{expected.n_bytes} bytes", f"{before.size} bytes")
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected.sha256:
            raise _other_file(path, f"sha256 {expected.sha256}", f"sha256 {found}")
        file.seek(0)
        yield file
        if _state(file) != before:
            raise _other_file(path, "a file that nobody writes to", "one that changed while it was read")


def read_verified(directory: Path, expected: FileDigest) -> bytes:
    """Bytes of a file whose digest is the promised one; read once, hashed before they are returned.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`.
    """
    path = directory / expected.name
    with _opened(directory, expected) as file:
        size = _state(file).size
        if size != expected.n_bytes:
            raise _other_file(path, f"{expected.n_bytes} bytes", f"{size} bytes")
        data = file.read(expected.n_bytes)
    found = hashlib.sha256(data).hexdigest()
    if found != expected.sha256:
        raise _other_file(path, f"sha256 {expected.sha256}", f"sha256 {found}")
    return data


@dataclass(frozen=True, slots=True)
class _State:
    size: int
    modified_ns: int
    changed_ns: int


def _state(file: BufferedReader) -> _State:
    status = os.fstat(file.fileno())
    return _State(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _opened(directory: Path, expected: FileDigest) -> BufferedReader:
    path = directory / expected.name
    if Path(expected.name).name != expected.name or expected.name in (".", "..") or "\0" in expected.name:
        raise ProvenanceError(
            "artifact-path",
            "The manifest names a file outside its own directory.",
            where="manifest.json",
            expected="a plain file name",
            found=reprlib.repr(expected.name),
        )
    try:
        file = open(path, "rb", opener=_open_plain)  # noqa: SIM115
    except OSError as error:
        raise ProvenanceError(
            "artifact-path",
            "A model file is missing, unreadable or a link.",
            where=str(path),
            expected="a regular file",
            found=error.strerror or type(error).__name__,
            next_step="get the model again from where it was published",
        ) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ProvenanceError("artifact-path", "A model file is not a regular file.", where=str(path))
    return file


def _open_plain(path: str, flags: int) -> int:
    # O_NONBLOCK: opening a pipe must not wait for its other end.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _not_allowed(field: str, value: object) -> ValueError:
    return ValueError(f"FileDigest.{field}: {reprlib.repr(value)} is not allowed")


def _other_file(path: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "artifact-digest",
        "A model file is not the one that the manifest promises.",
        where=str(path),
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )
