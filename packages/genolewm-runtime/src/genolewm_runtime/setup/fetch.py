"""Getting one file whole: hashed while it arrives, taken up after a cut, named only once it is verified.

Bytes land in `NAME.part`; `NAME.part.json` beside it says which file they are of, so that a later attempt goes
on only with bytes of the same file (`If-Range`). A host that cannot do ranges, or has another file by now,
sends the whole, and the part starts anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2

from genolewm_core.artifacts.atomic import publish, write_atomic, writing
from genolewm_core.errors import GenoLeWMError, InputError, ProvenanceError
from genolewm_runtime.setup.digests import Hasher, wrong_file
from genolewm_runtime.setup.plan import PlannedFile
from genolewm_runtime.setup.transport import Cut, Transport, plain_address

__all__ = ["Fetched", "OnBytes", "copy", "download", "verified", "written"]

_CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int], None]
"""Told how many bytes of the file are there by now."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified file in the staging folder."""

    planned: PlannedFile
    path: Path
    sha256: str
    n_bytes: int


@contextmanager
def written(path: Path, mode: Literal["ab", "wb"]) -> Iterator[Callable[[bytes], None]]:
    """A function that writes to a file; every byte that it was given has left the process when it returns.

    So a full disk shows at the write that it stops, and what a killed process has hashed is what there is.

    Raises:
        ResourceError: `output-unwritable`.
    """
    with writing(path):
        file = path.open(mode)

    def write(data: bytes) -> None:
        with writing(path):
            file.write(data)
            file.flush()

    try:
        yield write
    except BaseException:
        # What stopped the writing may stop this as well, and is the error to report.
        with contextlib.suppress(OSError):
            file.close()
        raise
    with writing(path):
        file.close()


def verified(file: PlannedFile, folder: Path, on_bytes: OnBytes) -> Fetched | None:
    """The file as an earlier attempt left it whole, hashed again; None when there is none, or a damaged one."""
    path = folder / file.name
    with writing(path):
        if not path.is_file() or path.is_symlink():
            return None
        hasher = Hasher(file.digest, path.stat().st_size)
        _hash(path, hasher, on_bytes)
        if hasher.matches and file.n_bytes in (None, hasher.n_bytes):
            return Fetched(file, path, hasher.sha256, hasher.n_bytes)
        path.unlink()
    return None


def copy(file: PlannedFile, folder: Path, on_bytes: OnBytes) -> Fetched:
    """Copy a file from offline media, hashing what is copied; links are followed.

    Raises:
        InputError: `setup-download-failed`, when it is missing or cannot be read.
        ProvenanceError: `artifact-digest`.
        ResourceError: `output-unwritable`.
    """
    part = folder / f"{file.name}.part"
    try:
        source = open(file.source, "rb")  # noqa: SIM115
    except OSError as error:
        raise _unreadable(file, error) from error
    with source:
        hasher = Hasher(file.digest, os.fstat(source.fileno()).st_size)
        with written(part, "wb") as write:
            while True:
                try:
                    chunk = source.read(_CHUNK_BYTES)
                except OSError as error:
                    raise _unreadable(file, error) from error
                if not chunk:
                    break
                write(chunk)
                hasher.update(chunk)
                on_bytes(hasher.n_bytes)
    return _accept(file, part, hasher)


def download(file: PlannedFile, folder: Path, transport: Transport, on_bytes: OnBytes) -> Fetched:
    """Download a file, going on where an earlier attempt stopped.

    Raises:
        ResourceError: `setup-download-failed`, `output-unwritable`; what has arrived is kept.
        ProvenanceError: `artifact-digest`; what has arrived is removed.
    """
    part = _Part(file, folder)
    while True:
        resumed = _fill(part, transport, on_bytes)
        try:
            return _accept(file, part.path, part.hasher, part.note)
        except ProvenanceError:
            # Bytes of an earlier attempt may be to blame: once more, from the beginning.
            if not resumed:
                raise


def _fill(part: _Part, transport: Transport, on_bytes: OnBytes) -> bool:
    """Bring the part to its full length; whether any byte of it was there before."""
    delays_s = list(transport.patience.delays_s)
    part.take_up()
    resumed = part.hasher.n_bytes > 0
    while True:
        had = part.hasher.n_bytes
        try:
            part.receive(transport, on_bytes)
            return resumed
        except Cut as cut:
            if part.hasher.n_bytes > had:
                delays_s = list(transport.patience.delays_s)
            transport.wait(cut, delays_s)


class _Part:
    """The bytes that have arrived, and what is known of the file that they are of."""

    def __init__(self, file: PlannedFile, folder: Path) -> None:
        self.file = file
        self.url = str(file.source)
        self.path = folder / f"{file.name}.part"
        self.note = folder / f"{file.name}.part.json"
        self.validator: str | None = None
        self.hasher = Hasher(file.digest, file.n_bytes)

    def take_up(self) -> None:
        """Hash what an earlier attempt left, if it is of this file."""
        self.hasher = Hasher(self.file.digest, self.file.n_bytes)
        with writing(self.path):
            try:
                validator = json.loads(self.note.read_bytes())["validator"]
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                validator = None
            if not isinstance(validator, str) or not self.path.is_file() or self.path.is_symlink():
                self.path.unlink(missing_ok=True)
                return
            if self.file.n_bytes is not None and self.path.stat().st_size > self.file.n_bytes:
                self.path.unlink()
                return
            self.validator = validator
            _hash(self.path, self.hasher, lambda n: None)

    def receive(self, transport: Transport, on_bytes: OnBytes) -> None:
        """One request for what is missing."""
        at = self.hasher.n_bytes
        if at and at == self.file.n_bytes:
            return
        headers = {}
        if at and self.validator:
            headers = {"Range": f"bytes={at}-", "If-Range": self.validator}
        with transport.open(self.url, headers) as response:
            if response.status_code == 416:
                if self.hasher.matches:
                    return
                self._start_anew(response)
                raise Cut(plain_address(self.url), "HTTP 416: the host has no such range")
            appending = response.status_code == 206 and _range_start(response) == at and bool(headers)
            if response.status_code == 206 and not appending:
                self._start_anew(response)
                raise Cut(plain_address(self.url), "HTTP 206: another range than the one asked for")
            if not appending:
                self._start_anew(response)
            self._check_size(_whole_size(response, appending))
            self._append(response, on_bytes)
        if self.file.n_bytes is not None and self.hasher.n_bytes < self.file.n_bytes:
            raise Cut(plain_address(self.url), f"{self.hasher.n_bytes} of {self.file.n_bytes} bytes")

    def _start_anew(self, response: httpx2.Response) -> None:
        self.hasher = Hasher(self.file.digest, self.file.n_bytes)
        etag = response.headers.get("ETag", "")
        # A weak one does not promise the same bytes.
        self.validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        if response.status_code != 200:
            self.validator = None
        note = {"validator": self.validator}
        with writing(self.path):
            self.path.unlink(missing_ok=True)
        write_atomic(self.note, json.dumps(note).encode())

    def _check_size(self, n_bytes: int | None) -> None:
        if None not in (n_bytes, self.file.n_bytes) and n_bytes != self.file.n_bytes:
            self.remove()
            raise wrong_file(
                plain_address(self.url),
                f"{self.file.n_bytes} bytes, {self.file.digest.algorithm} {self.file.digest.value}",
                f"{n_bytes} bytes",
                "ask the publisher; do not use this copy",
            )

    def _append(self, response: httpx2.Response, on_bytes: OnBytes) -> None:
        with written(self.path, "ab") as write:
            for chunk in response.iter_raw():
                write(chunk)
                self.hasher.update(chunk)
                on_bytes(self.hasher.n_bytes)
                if self.file.n_bytes is not None and self.hasher.n_bytes > self.file.n_bytes:
                    return

    def remove(self) -> None:
        """Forget the part."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)


def _accept(file: PlannedFile, part: Path, hasher: Hasher, *notes: Path) -> Fetched:
    """Give a part its name if its bytes are the promised ones, else remove it."""
    if not hasher.matches or file.n_bytes not in (None, hasher.n_bytes):
        with contextlib.suppress(OSError):
            for path in (part, *notes):
                path.unlink(missing_ok=True)
        source = plain_address(file.source) if isinstance(file.source, str) else str(file.source)
        algorithm = file.digest.algorithm
        size = "" if file.n_bytes in (None, hasher.n_bytes) else f"{file.n_bytes} bytes, "
        raise wrong_file(
            source,
            f"{size}{algorithm} {file.digest.value} ({file.digest.vouched_by})",
            f"{f'{hasher.n_bytes} bytes, ' if size else ''}{algorithm} {hasher.found}",
            "ask whoever vouched for the digest; do not use this copy",
        )
    path = part.with_name(file.name)
    publish([(part, path)])
    with contextlib.suppress(OSError):
        for note in notes:
            note.unlink(missing_ok=True)
    return Fetched(file, path, hasher.sha256, hasher.n_bytes)


def _hash(path: Path, hasher: Hasher, on_bytes: OnBytes) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
            on_bytes(hasher.n_bytes)


def _range_start(response: httpx2.Response) -> int | None:
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _whole_size(response: httpx2.Response, appending: bool) -> int | None:
    if appending:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def _unreadable(file: PlannedFile, error: OSError) -> GenoLeWMError:
    return InputError(
        "setup-download-failed",
        "A file could not be read from the folder given with --from.",
        where=str(file.source),
        found=error.strerror or type(error).__name__,
        next_step="copy the file into that folder again",
    )
