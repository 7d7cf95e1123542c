"""The files that a release is made of: found, compared with each other, and digested."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.contigs import ContigTable, detect_assembly
from genolewm_core.genome.reference import Reference
from genolewm_data.dataset.config import DatasetConfig, Shard, Source
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.prepare.rows import VARIANT, shard_contigs, shard_schema
from genolewm_data.prepare.shard import read_shard_info
from genolewm_data.release.manifest import SCHEMA_VERSION, SourceFile

__all__ = [
    "COLUMNS",
    "MADE_WITH",
    "GivenFile",
    "check_shard",
    "decides",
    "digested",
    "given_files",
    "open_reference",
    "source_files",
    "states",
    "unconfirmed",
]

MADE_WITH = ("genolewm-core", "genolewm-data", "numpy", "pyarrow")
"""Distributions whose versions may decide bytes."""

COLUMNS = {"gnomad": (*VARIANT, "af"), "clinvar": (*VARIANT, "label", "stars")}
"""What a release needs of a shard, by its kind."""

_WHOLE_BP = 10_000_000
"""Shorter than every chromosome, longer than every scaffold."""
_CHROMOSOMES = {f"chr{name}" for name in (*range(1, 23), "X", "Y")}

_FOR_THE_CARD = ("release", "licence")


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file that a configuration names; see `SourceFile`."""

    role: str
    path: Path
    name: str
    release: str = ""
    licence: str = ""


def given_files(config: DatasetConfig) -> list[GivenFile]:
    """Every file that decides the release.

    Raises:
        InputError: `training-data-missing`, when one is not there.
    """
    files = list(_files(config))
    for file in files:
        if not file.path.is_file():
            raise InputError(
                "training-data-missing",
                "A file that the configuration names is not there.",
                where=f"{file.role}: {file.path}",
                expected="a file; relative paths are relative to the configuration's folder",
                found="a folder" if file.path.is_dir() else "nothing",
                next_step="correct the path",
            )
    return files


def states(files: list[GivenFile]) -> list[list[object]]:
    """What tells whether a file has changed: its place, size and time of change."""
    found = []
    for file in files:
        status = file.path.stat()
        found.append([file.role, str(file.path.resolve()), status.st_size, status.st_mtime_ns])
    return found


def decides(config: DatasetConfig, files: list[GivenFile]) -> dict[str, Any]:
    """Everything that decides a release, as plain values: keys of the configuration, `files`, `made_with`, `schema`.

    Releases and licences of sources are no part of it: they only go to the card.
    """
    return {
        **_deciding(config),
        "files": {f"{role} {path}": state for role, path, *state in states(files)},
        "made_with": {name: version(name) for name in MADE_WITH},
        "schema": SCHEMA_VERSION,
    }


def _deciding(value: Any) -> Any:
    if is_dataclass(value):
        names = (item.name for item in fields(value) if item.name not in _FOR_THE_CARD)
        return {name: _deciding(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _deciding(held) for name, held in value.items()}
    if isinstance(value, tuple):
        return [_deciding(held) for held in value]
    return str(value) if isinstance(value, Path) else value


def digested(
    files: list[GivenFile], on_file: Callable[[int], None] = lambda done: None
) -> list[tuple[str, int]]:
    """Digest and size of every file."""
    found = []
    for number, file in enumerate(files):
        with file.path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        found.append((digest, file.path.stat().st_size))
        on_file(number + 1)
    return found


def source_files(
    config: DatasetConfig, files: list[GivenFile], digests: list[tuple[str, int]]
) -> tuple[SourceFile, ...]:
    """What the manifest says of every file, and of what is read from the Hub."""
    found = [
        SourceFile(file.role, file.name, digest, size, file.release, file.licence)
        for file, (digest, size) in zip(files, digests, strict=True)
    ]
    corpus = config.windows.corpus
    if corpus is not None and corpus.hub is not None:
        hub = corpus.hub
        found += [
            SourceFile(f"corpus.{name}", hub.repo, "", 0, hub.revision, hub.licence)
            for name in sorted(corpus.mix)
        ]
    return tuple(sorted(found, key=lambda source: (source.role, source.name)))


def open_reference(path: Path, assembly: str) -> Reference:
    """A reference that is not of another assembly than it was given for.

    Hold-outs have coordinates, which mean nothing on another assembly. Whole chromosomes must have its lengths; short
    contigs, such as made-up ones, say nothing: see `unconfirmed`.

    Raises:
        InputError: `reference-unreadable`, `release-mismatch`.
    """
    reference = Reference(path)
    contigs = reference.contigs
    found = contigs.assembly
    for name, length in contigs.items() if found in (None, assembly) else ():
        # Decoys are as long; but where no chromosome is known, other names may be those of chromosomes.
        counts = length >= _WHOLE_BP and (chromosome(name) in _CHROMOSOMES or found is None)
        if counts and detect_assembly({chromosome(name): length}) != assembly:
            found = f"{name} of {length:,} bp"
            break
    if found not in (None, assembly):
        raise InputError(
            "release-mismatch",
            "The reference is of another assembly, or its contigs have other names.",
            where=path.name,
            expected=f"chromosomes of {assembly}",
            found=found,
            next_step="name the FASTA of the assembly that the configuration says",
        )
    return reference


def unconfirmed(config: DatasetConfig) -> tuple[str, ...]:
    """Files of references whose contigs do not tell their assembly, because none has a chromosome's length."""
    paths = (config.reference.path, *(other.path for other in config.holdouts.references.values()))
    return tuple(path.name for path in paths if Reference(path).contigs.assembly is None)


def check_shard(shard: Shard, kind: str, assembly: str, contigs: ContigTable) -> None:
    """See that a shard is of the kind and the assembly, and that the reference has its contigs.

    Raises:
        InputError: `release-mismatch`, `training-data-missing`, `contig-unknown`.
    """
    info = read_shard_info(shard.path)
    for what, expected, found in (
        ("kind", kind, info.kind),
        ("assembly", assembly, info.assembly),
        ("spelling", "left-aligned", info.spelling),
    ):
        if expected != found:
            raise InputError(
                "release-mismatch",
                f"A shard of variants is of another {what}.",
                where=str(shard.path),
                expected=expected,
                found=found,
                next_step="prepare the shard with --reference, from a release on the configuration's assembly",
            )
    shard_schema(shard.path, COLUMNS[kind])
    names = shard_contigs(shard.path)
    unknown = [name for name in names if contigs.resolve(name) is None]
    if unknown:
        raise InputError(
            "contig-unknown",
            "A shard has variants on contigs that the reference lacks.",
            where=str(shard.path),
            expected=f"contigs in the style {contigs.style!r}",
            found=f"{len(unknown)} of {len(names)} unknown: {', '.join(unknown[:5])}",
            next_step="name a FASTA that has them, or prepare the shard again with this FASTA",
        )


def _files(config: DatasetConfig) -> Iterator[GivenFile]:
    windows, held = config.windows, config.holdouts
    yield _of("reference", config.reference)
    for assembly, reference in sorted(held.references.items()):
        yield _of(f"reference.{assembly}", reference)
    if windows.placed is not None and windows.placed.regions is not None:
        yield _plain("regions", windows.placed.regions)
    if windows.corpus is not None and windows.corpus.folder is not None:
        folder = windows.corpus.folder
        for name in sorted(windows.corpus.mix):
            for path in sorted((folder.path / name).rglob("*.parquet")):
                inside = path.relative_to(folder.path).as_posix()
                yield GivenFile(f"corpus.{name}", path, inside, folder.release, folder.licence)
    for source in ("gnomad", "clinvar"):
        shard = getattr(config.variants, source)
        if shard is not None:
            yield _shard(source, shard)
    if config.haplotypes is not None:
        yield _of("haplotypes", config.haplotypes)
    for role, given in (("holdouts", held.file), ("chain", held.chain)):
        if given is not None:
            yield _of(role, given)
    for assembly, annotation in sorted((held.annotations or {}).items()):
        yield _of(f"annotation.{assembly}", annotation)
    if held.clinvar is not None:
        yield _shard("holdouts.clinvar", held.clinvar)
    if held.haplotypes is not None:
        one = held.haplotypes
        yield GivenFile("holdouts.haplotypes", one.path, one.path.name, one.release, one.licence)
        if one.regions is not None:
            yield _plain("holdouts.haplotypes.regions", one.regions)
    if config.validation.regions is not None:
        yield _plain("validation.regions", config.validation.regions)


def _of(role: str, source: Source) -> GivenFile:
    return GivenFile(role, source.path, source.path.name, source.release, source.licence)


def _plain(role: str, path: Path) -> GivenFile:
    return GivenFile(role, path, path.name)


def _shard(role: str, shard: Shard) -> GivenFile:
    if not shard.path.is_file():
        return _plain(role, shard.path)
    info = read_shard_info(shard.path)
    return GivenFile(role, shard.path, shard.path.name, f"{info.kind} {info.release}", shard.licence)


def changed() -> ConfigError:
    """The error for a file that is not what it was when the build began."""
    return ConfigError(
        "resume-conflict",
        "A file that the release is made of has changed meanwhile.",
        where="the configuration's files",
        expected="files that stay as they are until the build has ended",
        next_step="start again with --fresh",
    )
