"""Models by name and pinned revision."""

from __future__ import annotations

import re
from pathlib import Path

from genolewm_core.artifacts.carbon import RELEASES, check_revision
from genolewm_core.artifacts.installed import MODELS, installed, installed_model
from genolewm_core.artifacts.manifest import Manifest, ModelDirectory
from genolewm_core.errors import ConfigError

__all__ = ["open_revision", "revision_of"]


def open_revision(model_id: str | Path, revision: str) -> ModelDirectory:
    """The model of a folder, or of a Carbon that was set up, if it is of this revision.

    Args:
        model_id: a folder, or a name such as "carbon-500m" or "HuggingFaceBio/Carbon-500M".
        revision: commit of its files, 40 hex digits, or the `model_id` of its manifest, 64: as firm as a commit.

    Raises:
        ConfigError: `revision-floating`; `config-invalid`, when the folder's model is of another.
        DeploymentError: `model-missing`, when none of that name and revision is set up.
        ProvenanceError: `manifest-invalid`.
    """
    by_digest = re.fullmatch("[0-9a-f]{64}", revision) is not None
    if not by_digest:
        check_revision(revision)
    names = {known: release.name for release in RELEASES.values() for known in (release.name, release.repo)}
    name = names.get(str(model_id))
    if name is None:
        directory = ModelDirectory.open(Path(model_id))
    elif by_digest:
        directory = _of_digest(name, revision)
    else:
        directory = ModelDirectory.open(installed_model(f"{name}@{revision}"))
    manifest = directory.manifest
    if revision not in (manifest.version, manifest.model_id):
        raise ConfigError(
            "config-invalid",
            "The model in this folder is of another revision.",
            where=str(directory.path),
            expected=revision,
            found=f"version {manifest.version}, model_id {manifest.model_id}",
            next_step="give the revision of the files that are there, or set up the one that you want",
        )
    return directory


def revision_of(manifest: Manifest) -> str:
    """The commit of a release of Carbon; of another model its `model_id`."""
    return manifest.version if manifest.name in RELEASES else manifest.model_id


def _of_digest(name: str, model_id: str) -> ModelDirectory:
    for found in installed():
        if (found.kind, found.name) == (MODELS, name):
            directory = ModelDirectory.open(found.path)
            if directory.manifest.model_id == model_id:
                return directory
    return ModelDirectory.open(installed_model(name))
