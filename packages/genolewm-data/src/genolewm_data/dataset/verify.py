"""Verify a release: files against their digests, then what training may read against what is held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.jobs import Here, Processes
from genolewm_data.dataset.card import CARD, card
from genolewm_data.dataset.checking import check_release
from genolewm_data.dataset.claims import false_claims
from genolewm_data.dataset.stages import OnProgress
from genolewm_data.holdouts.sequence_file import read_held_sequence
from genolewm_data.release.integrity import INTEGRITY, SplitIntegrity
from genolewm_data.release.manifest import MANIFEST, ReleaseManifest
from genolewm_data.release.release import HELD_KMERS, Release
from genolewm_data.release.sums import SUMS, digest_of, files_of, read_sums

__all__ = ["card_of", "refuse", "stale_card", "verify_release"]


def verify_release(
    folder: Path, *, jobs: int = 1, on_progress: OnProgress = lambda stage, done, of: None
) -> list[str]:
    """What is wrong with a release, a line each that begins with the file's path; nothing when it is sound.

    Files are compared first. Where they are not what they should be, what is in them is not looked at.

    Args:
        folder: of the release.
        jobs: processes.
        on_progress: see `stages.OnProgress`.

    Raises:
        InputError: `dataset-invalid`, when there is no manifest or no list of digests that can be read.
        ResourceError: `worker-ended`.
    """
    manifest = ReleaseManifest.read(folder)
    problems = list(_files(folder, manifest, on_progress))
    return problems or list(_contents(folder, manifest, jobs, on_progress))


def refuse(folder: Path, problems: list[str]) -> None:
    """Raise when there are problems.

    Raises:
        InputError: `dataset-invalid`.
    """
    if problems:
        raise InputError(
            "dataset-invalid",
            "The dataset release is not what it should be.",
            where=str(folder),
            expected="files with their digests, and nothing held out in training",
            found=f"{len(problems)} wrong: {problems[0][:200]}",
            next_step="copy the files that are named again, or build the release again",
        )


def card_of(folder: Path) -> str:
    """The card that a release should have.

    Raises:
        InputError: `dataset-invalid`.
    """
    return card(ReleaseManifest.read(folder), SplitIntegrity.read(folder / INTEGRITY))


def stale_card(folder: Path) -> list[str]:
    """What is wrong with the card of a release; nothing when it says what the release says.

    Raises:
        InputError: `dataset-invalid`.
    """
    path = folder / CARD
    same = path.is_file() and path.read_bytes() == card_of(folder).encode()
    return [] if same else [f"{CARD}: is not what the manifest and the integrity report say"]


def _files(folder: Path, manifest: ReleaseManifest, on_progress: OnProgress) -> Iterator[str]:
    sums = read_sums(folder)
    listed = {file.path: file for file in manifest.files}
    there = files_of(folder)
    for number, path in enumerate(there):
        digest, problem = _digested(folder / path)
        on_progress("files", number + 1, len(there))
        if digest is None:
            yield f"{path}: {problem}"
            continue
        if path not in sums:
            yield f"{path}: is not in {SUMS}"
        elif sums[path] != digest:
            yield f"{path}: has another digest than {SUMS} says"
        if path == MANIFEST:
            continue
        if path not in listed:
            yield f"{path}: is not in {MANIFEST}"
        elif listed[path].sha256 != digest:
            yield f"{path}: has another digest than {MANIFEST} says"
    for path in sorted({*sums, *listed} - set(there)):
        yield f"{path}: is missing"


def _digested(path: Path) -> tuple[str | None, str]:
    """The digest of a file, or None and why it has none; what is no plain file is not opened."""
    if path.is_symlink():
        return None, "is a link"
    if not path.is_file():
        return None, "is no file"
    try:
        return digest_of(path), ""
    except OSError as error:
        return None, f"cannot be read: {error.strerror or type(error).__name__}"


def _contents(folder: Path, manifest: ReleaseManifest, jobs: int, on_progress: OnProgress) -> Iterator[str]:
    release = Release.open(folder)
    total = sum(manifest.windows.get("train", {}).values())
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        on_progress("integrity", done, total)

    advance(0)
    try:
        stated = SplitIntegrity.read(folder / INTEGRITY)
        if read_held_sequence(folder / HELD_KMERS).digest != stated.training.sequence:
            yield f"{HELD_KMERS}: is not what {INTEGRITY} says"
        yield from false_claims(release)
        found = check_release(release, Here() if jobs == 1 else Processes(jobs), None, advance)
    except (InputError, ConfigError) as error:
        yield f"{error.where or folder}: {error.what}"
        return
    for leak in (*found.leaks, *found.training.findings):
        yield f"held-out data: {leak}"
    for key in _differences(stated.document(), found.document()):
        yield f"{INTEGRITY}: {key} is not what was found"
    yield from stale_card(folder)


def _differences(stated: Mapping[str, Any], found: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in sorted({*stated, *found}):
        mine, its = stated.get(key), found.get(key)
        if isinstance(mine, dict) and isinstance(its, dict):
            yield from _differences(mine, its, f"{path}{key}.")
        elif mine != its:
            yield f"{path}{key}"
