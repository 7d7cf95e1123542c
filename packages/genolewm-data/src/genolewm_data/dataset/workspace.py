"""The hidden folder of an unfinished build: what is finished in it stays finished, and one build at a time works there.

A stage is done when its note is there; notes are written behind the files that they speak of. The release is built in
a folder of its own and gets its name at the end, by one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from genolewm_core.artifacts.atomic import flush, write_atomic, writing
from genolewm_core.artifacts.lock import held_folder
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, InputError
from genolewm_data.release.manifest import ReleaseManifest

__all__ = ["Notes", "Workspace", "workspace"]

_RUN = "run.json"


class Notes(Protocol):
    """What finished stages have said."""

    def note(self, name: str) -> Any:
        """What a stage has said; None of one that is not finished."""
        ...

    def finish(self, name: str, said: Any) -> None:
        """A stage is finished and says this."""
        ...


@dataclass(frozen=True, slots=True)
class Workspace:
    """An unfinished build.

    Attributes:
        folder: hidden, beside the release's own.
        target: the release's folder.
    """

    folder: Path
    target: Path

    @property
    def release(self) -> Path:
        """What becomes the release."""
        return self.folder / "release"

    @property
    def taken(self) -> bool:
        """Whether something is there under the release's name; an empty folder is nothing."""
        return self.target.exists() and not (self.target.is_dir() and not any(self.target.iterdir()))

    def refuse_taken(self, *, replace: bool) -> None:
        """See that what has the release's name may go.

        Args:
            replace: whether a release may; nothing else ever does.

        Raises:
            ConfigError: `output-exists`.
        """
        if not self.taken:
            return
        try:
            ReleaseManifest.read(self.target)
        except InputError:
            raise ConfigError(
                "output-exists",
                "What has the release's name is no release that can be read, and is left as it is.",
                where=str(self.target),
                expected="nothing, an empty folder, or with --fresh a release to replace",
                found="a folder of other things" if self.target.is_dir() else "a file",
                next_step="choose another --output, or move it out of the way yourself",
            ) from None
        if not replace:
            raise ConfigError(
                "output-exists",
                "The release exists already.",
                where=str(self.target),
                next_step="choose another --output, or replace it with --fresh",
            )

    def note(self, name: str) -> Any:
        """What a finished stage has noted; None of one that is not finished."""
        try:
            return json.loads((self.folder / "notes" / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None

    @property
    def begun(self) -> bool:
        """Whether any stage is finished."""
        return any((self.folder / "notes").glob("*.json"))

    @property
    def has_windows(self) -> bool:
        """Whether windows were made; what goes before them is soon made again."""
        names = [path.stem for path in (self.folder / "notes").glob("windows-*.json")]
        return any((self.note(name) or {}).get("windows") for name in names)

    def finish(self, name: str, said: Any) -> None:
        """Note that a stage is finished; its files are in place."""
        write_atomic(self.folder / "notes" / f"{name}.json", canonical_json(said))

    def once(self, name: str, stage: Callable[[], Any]) -> Any:
        """What a stage says, which is done now unless it is finished; JSON's values, never None."""
        if self.note(name) is None:
            self.finish(name, stage())
        return self.note(name)

    def publish(self, digest: str) -> None:
        """Give the release its name.

        Raises:
            ConfigError: `output-exists`, when something else has taken it since the build began.
            ResourceError: `output-unwritable`.
        """
        self.refuse_taken(replace=json.loads((self.folder / _RUN).read_bytes())["replace"])
        self.finish("published", {"digest": digest})
        old = self.folder / "replaced"
        with writing(self.target):
            for path in (*self.release.rglob("*"), self.release):
                flush(path)
            if self.taken:
                shutil.rmtree(old, ignore_errors=True)
                os.rename(self.target, old)
            os.rename(self.release, self.target)
            flush(self.target.parent)


@contextmanager
def workspace(target: Path, decides: Mapping[str, Any], *, fresh: bool) -> Iterator[Workspace]:
    """Hold the folder of a build; it is removed when the block ends without an error, or before any stage is finished.

    Args:
        target: folder of the release.
        decides: everything that decides the release, as plain values.
        fresh: replace a release that is there, and drop an unfinished build.

    Raises:
        ConfigError: `output-exists`, `resume-conflict`.
        ResourceError: `output-busy`, `output-unwritable`.
    """
    folder = target.parent / f".{target.name}.build"
    next_step = "wait for it, or choose another --output"
    with held_folder(folder, "Another build is writing this release.", target, next_step):
        space = Workspace(folder, target)
        _begin(space, decides, fresh)
        try:
            yield space
        except BaseException:
            if not space.begun:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _begin(space: Workspace, decides: Mapping[str, Any], fresh: bool) -> None:
    fingerprint = hashlib.sha256(canonical_json(decides)).hexdigest()
    run = space.folder / _RUN
    try:
        before = json.loads(run.read_bytes())
    except (OSError, ValueError):
        before = None
    ours = before is not None and before["fingerprint"] == fingerprint
    if ours and not fresh:
        if space.note("published") is None:
            space.refuse_taken(replace=before["replace"])
        with writing(space.folder):
            for path in space.release.rglob(".*"):  # what a killed writer has left
                path.unlink()
        return
    space.refuse_taken(replace=fresh)
    if before is not None and not fresh and (space.has_windows or space.note("published") is not None):
        key, old, new = _difference(before.get("decides", {}), decides)
        raise ConfigError(
            "resume-conflict",
            "An unfinished build with another configuration, other files or another version is in the way.",
            where=str(space.folder),
            expected=f"{key}: {old}",
            found=f"{key}: {new}",
            next_step="finish it with its own configuration and files, or drop it with --fresh",
        )
    with writing(space.folder):
        for path in space.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in ("notes", "release/windows", "release/variants", "release/haplotypes"):
            (space.folder / name).mkdir(parents=True)
    write_atomic(run, canonical_json({"fingerprint": fingerprint, "replace": fresh, "decides": decides}))


def _difference(before: Any, now: Any, at: str = "") -> tuple[str, str, str]:
    """The first key that differs, with what it was and is."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in (*now, *(name for name in before if name not in now)):
            if before.get(name) != now.get(name):
                return _difference(before.get(name), now.get(name), f"{at}.{name}" if at else name)
        return at or "the configuration", "another", "this"
    if at.startswith("files."):
        return at, "as it was" if before else "not given", "of another size or time" if now else "not given"
    return at, json.dumps(before)[:100], json.dumps(now)[:100]
