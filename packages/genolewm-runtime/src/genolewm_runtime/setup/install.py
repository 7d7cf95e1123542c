"""From verified files to something that can be used by name: checked, described, then shown by one rename."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genolewm_core import __version__
from genolewm_core.artifacts.atomic import flush, write_atomic, writing
from genolewm_core.artifacts.carbon import RELEASES, carbon_manifest
from genolewm_core.artifacts.installed import MODELS, RECORD_NAME, REFERENCES, Installed
from genolewm_core.artifacts.manifest import MANIFEST_NAME, Manifest, ModelDirectory, write_manifest
from genolewm_core.artifacts.verified import FileDigest, digest_file
from genolewm_core.errors import InputError, ProvenanceError, ResourceError
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.contigs import ContigTable, detect_assembly
from genolewm_core.genome.fasta_index import check_fasta, ensure_index
from genolewm_core.genome.reference import Reference
from genolewm_runtime.setup.digests import wrong_file
from genolewm_runtime.setup.fetch import Fetched, written
from genolewm_runtime.setup.plan import PlannedArtefact
from genolewm_runtime.setup.transport import plain_address

__all__ = ["FASTA_NAME", "check_assembly", "install", "verify_again"]

RECORD_VERSION = "1.0.0"
FASTA_NAME = "reference.fa"
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_INDEX_BYTES = 1 << 20
"""More than the index of an assembly takes."""
_CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y")


def install(
    artefact: PlannedArtefact, home: Path, fetched: Sequence[Fetched], reference: Path | None
) -> Installed:
    """Check what was fetched, describe it, and give its folder the final name.

    Args:
        fetched: the verified files in the artefact's staging folder.
        reference: FASTA that an annotation must belong to.

    Returns:
        What can be used by name from now on.

    Raises:
        ProvenanceError: `carbon-files-invalid`.
        InputError: `reference-unreadable`, `annotation-unreadable`.
        ResourceError: `output-unwritable`.
    """
    staging, final = artefact.staging(home), artefact.folder(home)
    files = [FileDigest(each.path.name, each.sha256, each.n_bytes) for each in fetched]
    keep = {file.name for file in files} | {RECORD_NAME}
    main_file, made, lacking = "", [], []
    if artefact.kind == REFERENCES:
        main_file = FASTA_NAME
        made = _unpack_fasta(fetched[0].path, staging / FASTA_NAME)
        with Reference(staging / FASTA_NAME) as opened:
            lacking = check_assembly(opened.contigs, artefact.name)
        keep = {RECORD_NAME, *(file.name for file in made)}
    elif artefact.kind != MODELS:
        main_file = fetched[0].path.name
        if reference is None:
            raise ValueError("an annotation is checked against a reference")
        with Reference(reference) as opened:
            Annotation.read(fetched[0].path, opened.contigs)
    record = _record(artefact, fetched, main_file, made) | {"lacking_chromosomes": lacking}
    write_atomic(staging / RECORD_NAME, _json(record))
    if artefact.kind == MODELS:
        manifest = _manifest(staging, artefact.name, artefact.version, files)
        # Last: a folder without it is no model, whatever else it holds.
        write_manifest(staging, manifest)
        keep.add(MANIFEST_NAME)
    with writing(final):
        for path in staging.iterdir():
            if path.name not in keep:
                path.unlink()
        for path in (*staging.iterdir(), staging):
            flush(path)
        staging.rename(final)
        flush(final.parent)
    return Installed(artefact.kind, artefact.name, artefact.version, final, record)


def verify_again(there: Installed) -> Installed:
    """Hash what was set up before, and make it what its name means; its record is returned as it is now.

    Raises:
        ProvenanceError: `artifact-digest`.
        ResourceError: `output-unwritable`.
    """
    files = there.record.get("files", [])
    for file in there.record.get("made") or files:
        path = there.path / file["name"]
        found = digest_file(path) if path.is_file() else None
        if found is None or found.sha256 != file["sha256"]:
            raise wrong_file(
                str(path),
                f"sha256 {file['sha256']}, as it was set up",
                "no such file" if found is None else f"sha256 {found.sha256}",
                f"remove {there.path} and set it up again",
            )
    if there.kind == MODELS:
        _renew_manifest(there, [FileDigest(file["name"], file["sha256"], file["n_bytes"]) for file in files])
    record = {**there.record, "set_up_at": _now()}
    write_atomic(there.path / RECORD_NAME, _json(record))
    return replace(there, record=record)


def _manifest(folder: Path, name: str, version: str, files: Sequence[FileDigest]) -> Manifest:
    try:
        return carbon_manifest(folder, RELEASES[name], version, files)
    except ProvenanceError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        # The files were verified a moment ago: it is the disk, and says nothing of them.
        raise ResourceError(
            "output-unwritable",
            "A file that was just written could not be read.",
            where=error.where,
            found=error.found,
            next_step="check the disk and its permissions, then run the same command again",
        ) from error


def _renew_manifest(there: Installed, files: Sequence[FileDigest]) -> None:
    """Write the manifest again where it is lost or of an older version; one that holds stays as it is."""
    try:
        ModelDirectory.open(there.path)
    except ProvenanceError:
        write_manifest(there.path, _manifest(there.path, there.name, there.version, files))


def check_assembly(contigs: ContigTable, assembly: str) -> list[str]:
    """Refuse a reference of another assembly than it is said to be.

    Returns:
        Chromosomes (1 to 22, X, Y) that it lacks.

    Raises:
        InputError: `reference-unreadable`.
    """
    missing = []
    for chromosome in _CHROMOSOMES:
        name = contigs.resolve(chromosome)
        if name is None:
            missing.append(chromosome)
        elif detect_assembly({name: contigs[name]}) != assembly:
            raise _other_assembly(assembly, f"a chromosome {chromosome} of {contigs[name]:,} bp")
    if len(missing) == len(_CHROMOSOMES):
        raise _other_assembly(assembly, "none of its chromosomes")
    return missing


def _unpack_fasta(packed: Path, fasta: Path) -> list[FileDigest]:
    """A plain, indexed FASTA of a downloaded one; plain gzip has no random access, and bgzip a slow one."""
    digest = hashlib.sha256()
    n_bytes = 0
    with packed.open("rb") as head:
        opener = gzip.open if head.read(2) == _GZIP_MAGIC else open
    with opener(packed, "rb") as source, written(fasta, "wb") as write:
        while chunk := _read(source, packed):
            write(chunk)
            digest.update(chunk)
            n_bytes += len(chunk)
    index = Path(f"{fasta}.fai")
    with writing(index):
        index.unlink(missing_ok=True)
    _index(fasta)
    return [FileDigest(fasta.name, digest.hexdigest(), n_bytes), digest_file(index)]


def _index(fasta: Path) -> None:
    try:
        check_fasta(fasta)
        ensure_index(fasta)
    except InputError as error:
        if shutil.disk_usage(fasta.parent).free >= _INDEX_BYTES:
            raise
        raise ResourceError(
            "output-unwritable",
            "The disk is full, so that the reference has no index.",
            where=f"{fasta}.fai",
            next_step="free some space, then run the same command again",
        ) from error


def _read(source: Any, packed: Path) -> bytes:
    try:
        data: bytes = source.read(_CHUNK_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            "reference-unreadable",
            "The reference cannot be unpacked.",
            where=str(packed),
            expected="a FASTA, plain or compressed by gzip",
            found=type(error).__name__,
            next_step="its digest is the promised one: ask whoever vouched for it",
        ) from error
    return data


def _record(
    artefact: PlannedArtefact, fetched: Sequence[Fetched], main_file: str, made: Sequence[FileDigest]
) -> dict[str, Any]:
    return {
        "schema_version": RECORD_VERSION,
        "kind": artefact.kind,
        "name": artefact.name,
        "version": artefact.version,
        "origin": _public(artefact.origin),
        "main_file": main_file,
        "files": [
            {
                "name": each.path.name,
                "source": _public(str(each.planned.source)),
                "n_bytes": each.n_bytes,
                "sha256": each.sha256,
                "promised": f"{each.planned.digest.algorithm} {each.planned.digest.value}",
                "vouched_by": each.planned.digest.vouched_by,
            }
            for each in fetched
        ],
        "made": [{"name": file.name, "n_bytes": file.n_bytes, "sha256": file.sha256} for file in made],
        "set_up_by": f"genolewm-core {__version__}",
        "set_up_at": _now(),
    }


def _public(source: str) -> str:
    """Where something came from, without what may be secret in an address."""
    return plain_address(source) if "://" in source else source


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _other_assembly(assembly: str, found: str) -> InputError:
    return InputError(
        "reference-unreadable",
        "The reference is of another assembly than the one that was asked for.",
        expected=f"the chromosomes of {assembly}",
        found=found,
        next_step="give the FASTA of that assembly",
    )
