"""Build a release: stage by stage, each finished once, and published as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.errors import InternalError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Here, Place, Processes
from genolewm_data.dataset.card import CARD, card
from genolewm_data.dataset.checking import check_release
from genolewm_data.dataset.config import DatasetConfig, named
from genolewm_data.dataset.holding import hold_out
from genolewm_data.dataset.places import check_places
from genolewm_data.dataset.sources import (
    MADE_WITH,
    changed,
    check_shard,
    decides,
    digested,
    given_files,
    open_reference,
    source_files,
    states,
    unconfirmed,
)
from genolewm_data.dataset.stages import OnProgress, blocks_file, make_tables, make_windows
from genolewm_data.dataset.windows import corpus_stream, placed_stream
from genolewm_data.dataset.workspace import Workspace, workspace
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.release.integrity import INTEGRITY, SplitIntegrity
from genolewm_data.release.manifest import MANIFEST, ReleaseFile, ReleaseManifest
from genolewm_data.release.release import Release
from genolewm_data.release.sums import digest_of, files_of, write_sums

__all__ = ["Built", "build_release"]


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build.

    Attributes:
        folder: the release.
        manifest: what it says about itself.
        integrity: what was found in it.
        unconfirmed: references whose assembly is only what the configuration says; see `unconfirmed`.
    """

    folder: Path
    manifest: ReleaseManifest
    integrity: SplitIntegrity
    unconfirmed: tuple[str, ...] = ()


def build_release(
    config: DatasetConfig,
    output: Path,
    *,
    jobs: int = 1,
    fresh: bool = False,
    on_progress: OnProgress = lambda stage, done, of: None,
) -> Built:
    """Build the release that a configuration describes. The same configuration and files give the same bytes.

    Args:
        config: what is wanted.
        output: folder of the release; it appears when everything in it is finished and checked.
        jobs: processes.
        fresh: replace a release that is there, and drop an unfinished build.
        on_progress: see `OnProgress`.

    Raises:
        ConfigError: `config-invalid`, `output-exists`, `resume-conflict` (also when a file changes meanwhile).
        InputError: of files that cannot be used or do not belong together; `training-data-missing`, when there is
            nothing to train on.
        InternalError: `holdout-leak`, when the check finds held-out data in training; nothing is published then.
        ResourceError: `output-busy`, `output-unwritable`, `worker-ended`.
    """
    config.check()
    files = given_files(config)
    with workspace(output.absolute(), decides(config, files), fresh=fresh) as space:
        done = _published(config, space)
        if done is not None:
            return done
        before = states(files)
        reference = _compatible(config)
        digests = space.once(
            "sources", lambda: digested(files, lambda n: on_progress("sources", n, len(files)))
        )
        on_progress("hold-outs", 0, None)
        held = space.once("holdouts", lambda: hold_out(config, reference, space.release, blocks_file(space)))
        place = Here() if jobs == 1 else Processes(jobs)
        windows = make_windows(config, space, place, on_progress)
        on_progress("tables", 0, None)
        tables = space.once("tables", lambda: make_tables(config, space, reference, windows))
        if states(files) != before:
            raise changed()
        manifest = ReleaseManifest(
            name=config.name,
            version=config.version,
            assembly=config.assembly,
            window_bp=config.windows.window_bp,
            options=_options(config),
            windows={"train": windows["windows"], "validation": tables["validation"]},
            left_out={**windows["left_out"], **tables["left_out"]},
            config=named(config),
            holdouts=held["digest"],
            sources=source_files(config, files, digests),
            files=_files(space.release, {}),
            made_with={name: version(name) for name in MADE_WITH},
        )
        manifest = _as_read(manifest, space.release)
        integrity = _checked(Release(space.release, manifest), space, place, on_progress)
        integrity.write(space.release / INTEGRITY)
        for folder in (space.release / "variants", space.release / "haplotypes"):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        # What was checked is not written again; the report and the card of a build that was cut off are.
        known = {file.path: file for file in manifest.files if file.path not in (INTEGRITY, CARD)}
        manifest = _as_read(replace(manifest, files=_files(space.release, known)), space.release)
        integrity = SplitIntegrity.read(space.release / INTEGRITY)
        write_atomic(space.release / CARD, card(manifest, integrity).encode())
        manifest = replace(manifest, files=_files(space.release, known))
        manifest.write(space.release)
        write_sums(space.release)
        space.publish(manifest.digest)
    return Built(output, manifest, integrity, unconfirmed(config))


def _as_read(manifest: ReleaseManifest, folder: Path) -> ReleaseManifest:
    """The manifest as everybody else will have it: JSON keeps neither tuples nor an order."""
    manifest.write(folder)
    return ReleaseManifest.read(folder)


def _published(config: DatasetConfig, space: Workspace) -> Built | None:
    """The release of a build that was cut off after it was published."""
    said = space.note("published")
    if said is None or space.release.exists():
        return None
    manifest = ReleaseManifest.read(space.target)
    # Licences and releases of sources may have been corrected since, and a release is not changed.
    if manifest.config != json.loads(json.dumps(named(config))):
        space.refuse_taken(replace=False)
    return Built(space.target, manifest, SplitIntegrity.read(space.target / INTEGRITY), unconfirmed(config))


def _compatible(config: DatasetConfig) -> Reference:
    """The reference, after all that names an assembly or a contig was compared with it."""
    reference = open_reference(config.reference.path, config.assembly)
    for kind, shards in (
        ("gnomad", (config.variants.gnomad,)),
        ("clinvar", (config.variants.clinvar, config.holdouts.clinvar)),
    ):
        for shard in shards:
            if shard is not None:
                check_shard(shard, kind, config.assembly, reference.contigs)
    for assembly, other in config.holdouts.references.items():
        open_reference(other.path, assembly)
    # Files of the streams are opened here once, so that what is wrong with them is found before any work.
    nothing = HeldOut(config.assembly)
    placed = placed_stream(config, nothing)
    if placed is not None:
        check_places(config, placed, reference)
    corpus_stream(config, Holdouts({config.assembly: nothing}))
    return reference


def _options(config: DatasetConfig) -> dict[str, Any]:
    options = asdict(config.tuple_options())
    options["mix"] = dict(config.mix.weights)
    return options


def _files(folder: Path, known: Mapping[str, ReleaseFile]) -> tuple[ReleaseFile, ...]:
    """The files of a release, read but for those that are known."""
    files = []
    for name in files_of(folder):
        path = folder / name
        if name in known:
            files.append(known[name])
        elif name != MANIFEST:
            rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
            files.append(ReleaseFile(name, digest_of(path), path.stat().st_size, rows))
    return tuple(files)


def _checked(release: Release, space: Workspace, place: Place, on_progress: OnProgress) -> SplitIntegrity:
    total = sum(release.manifest.windows["train"].values())
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        on_progress("integrity", done, total)

    advance(0)
    integrity = check_release(release, place, space, advance)
    if not integrity.clean:
        raise InternalError(
            "holdout-leak",
            "Held-out data was found in the release, which is not published.",
            where=str(space.release),
            expected="no window, variant or haplotype that is held out",
            found="; ".join((*integrity.leaks, *integrity.training.findings[:3]))[:600],
            next_step="report it; the unfinished release is kept until the next build with --fresh",
        )
    return integrity
