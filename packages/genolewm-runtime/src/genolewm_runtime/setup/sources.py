"""Who vouches for the bytes, and where each file comes from: a request becomes a plan.

A digest is looked for in the user's list, then in the release index, then in the catalogue, then, only if the
user trusts the host, in what the host itself declares. Where none is known the setup does not start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from genolewm_core.artifacts.carbon import check_revision
from genolewm_core.artifacts.installed import (
    ANNOTATIONS,
    MODELS,
    RECORD_NAME,
    REFERENCES,
    Installed,
    find_installed,
)
from genolewm_core.errors import ConfigError, InputError
from genolewm_runtime.setup import catalogue, hub
from genolewm_runtime.setup.digests import Digest, Index, IndexedArtefact, parse_list, wrong_file
from genolewm_runtime.setup.install import FASTA_NAME
from genolewm_runtime.setup.plan import Plan, PlannedArtefact, PlannedFile
from genolewm_runtime.setup.transport import Transport, is_private, plain_address

__all__ = ["Request", "check_trustworthy", "make_plan"]

_ENCODER_FILES = (
    "config.json",
    "dna_config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.py",
    "tokenizer_config.json",
)
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_SNAPSHOT_DIGESTS = {64: "sha256", 40: "git-sha1"}
_RESERVED_NAMES = (RECORD_NAME, FASTA_NAME, f"{FASTA_NAME}.fai")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        encoder: an encoder's own name, or None.
        assembly: of the reference, or None.
        annotation: also the gene annotation of `assembly`.
        revision: commit of the encoder; None: the one of the index or of the catalogue.
        digests: SHA-256 digests by file name, from the user.
        index: a release index.
        trust_host: be content with the digests that the host itself declares.
        folder: offline media instead of the network.
        endpoint: address of the Hub or of a mirror, without a slash at its end.
    """

    home: Path
    encoder: str | None = None
    assembly: str | None = None
    annotation: bool = False
    revision: str | None = None
    digests: Mapping[str, Digest] = field(default_factory=dict)
    index: Index = field(default_factory=dict)
    trust_host: bool = False
    folder: Path | None = None
    endpoint: str = hub.DEFAULT_ENDPOINT


def make_plan(request: Request, transport: Transport | None) -> Plan:
    """Find every file with its source, size and digest; nothing is fetched but descriptions.

    Args:
        transport: None when there is no network, as with `--from`.

    Raises:
        ConfigError: `setup-digest-unknown`, `revision-floating`, `config-invalid`.
        InputError: `setup-download-failed`, when offline media lack a file.
        ResourceError: `setup-download-failed`, when the host does not answer.
        ProvenanceError: `artifact-digest`, when what is there already has other digests than the request's.
    """
    if request.folder is not None and not request.folder.is_dir():
        raise ConfigError(
            "config-invalid", "There is no such folder.", where="--from", found=str(request.folder)
        )
    planned = []
    if request.encoder is not None:
        planned.append(_encoder(request, transport))
    if request.assembly is not None:
        planned.append(_file(request, transport, REFERENCES, catalogue.reference(request.assembly)))
        if request.annotation:
            planned.append(_file(request, transport, ANNOTATIONS, catalogue.annotation(request.assembly)))
    return Plan(request.home, tuple(planned))


def _encoder(request: Request, transport: Transport | None) -> PlannedArtefact:
    entry = catalogue.encoder(str(request.encoder))
    indexed = request.index.get((MODELS, entry.name))
    revision = request.revision or (indexed.version if indexed else None) or entry.revision
    if revision is None:
        raise ConfigError(
            "revision-floating",
            f"No revision of {entry.name} is known to this version.",
            where="--revision",
            expected="the 40 hexadecimal digits of a commit",
            next_step=f"look the commit up where {entry.repo} is published, and give it with --revision",
        )
    check_revision(revision)
    if indexed is not None and indexed.version != revision:
        raise ConfigError(
            "config-invalid",
            "The index is of another revision than the one that was asked for.",
            where="--revision",
            expected=indexed.version,
            found=revision,
        )
    there = _there(request, MODELS, entry.name, revision)
    if there is not None:
        return PlannedArtefact(MODELS, entry.name, revision, there.record.get("origin", ""), there=there)
    promised, sizes = _promises(request, indexed)
    if revision == entry.revision:
        promised = _from_catalogue(entry.sha256 or {}) | promised
    if request.folder is not None:
        origin = f"{request.folder} (offline)"
        if request.trust_host:
            promised = {**_snapshot_digests(request.folder, revision), **promised}
    else:
        base = (indexed and indexed.base_url) or None
        origin = base or f"{request.endpoint}/{entry.repo}"
        if request.trust_host and transport is not None and base is None:
            check_trustworthy(request.endpoint, "--trust-host")
            listed = hub.listing(transport, request.endpoint, entry.repo, revision)
            promised = {name: digest for name, (_, digest) in listed.items()} | promised
            sizes = {name: n_bytes for name, (n_bytes, _) in listed.items()} | sizes
    names = _release_files(promised, entry.name, offline=request.folder is not None)
    files = []
    for name in names:
        url = f"{origin}/{name}" if indexed and indexed.base_url else ""
        url = url or hub.file_url(request.endpoint, entry.repo, revision, name)
        files.append(_planned(request, transport, name, url, promised[name], sizes.get(name)))
    return PlannedArtefact(MODELS, entry.name, revision, origin, tuple(files))


def _file(
    request: Request, transport: Transport | None, kind: str, entry: catalogue.FileEntry
) -> PlannedArtefact:
    """The plan for an artefact of one file: a reference or an annotation."""
    indexed = request.index.get((kind, entry.name))
    version, base, name = entry.version, entry.base_url, entry.file
    if indexed is not None:
        version, base = indexed.version, indexed.base_url or base
        if len(indexed.files) != 1:
            raise ConfigError(
                "config-invalid",
                "The index has another number of files for what is one file.",
                where=f"{kind}, {entry.name}",
                expected="1",
                found=str(len(indexed.files)),
            )
        (name,) = indexed.files
        if name in _RESERVED_NAMES:
            raise ConfigError(
                "config-invalid", "The index names a file as setup names its own.", where=kind, found=name
            )
    there = _there(request, kind, entry.name, version)
    if there is not None:
        return PlannedArtefact(kind, entry.name, version, there.record.get("origin", ""), there=there)
    promised, sizes = _promises(request, indexed)
    if entry.sha256 is not None:
        promised = _from_catalogue({entry.file: entry.sha256}) | promised
    offline = request.folder is not None
    if name not in promised and request.trust_host and transport is not None:
        check_trustworthy(base, "--trust-host")
        url = f"{base}/{entry.md5_list}"
        host = urlsplit(base).netloc.rsplit("@", 1)[-1]
        vouched_by = f"the host {host} ({entry.md5_list})"
        promised |= parse_list(transport.text(url), plain_address(url), "md5", vouched_by)
    if name not in promised:
        raise _digest_unknown(entry.name, [name], offline)
    file = _planned(request, transport, name, f"{base}/{name}", promised[name], sizes.get(name))
    origin = f"{request.folder} (offline)" if offline else base
    return PlannedArtefact(kind, entry.name, version, origin, (file,))


def _promises(request: Request, indexed: IndexedArtefact | None) -> tuple[dict[str, Digest], dict[str, int]]:
    """Digests and sizes by file name: the user's list before the index."""
    from_index = {} if indexed is None else dict(indexed.files)
    promised = {name: digest for name, (_, digest) in from_index.items()} | dict(request.digests)
    return promised, {name: n_bytes for name, (n_bytes, _) in from_index.items()}


def _from_catalogue(sha256: Mapping[str, str]) -> dict[str, Digest]:
    return {
        name: Digest("sha256", value, "the catalogue of genolewm-runtime") for name, value in sha256.items()
    }


def _release_files(names: Iterable[str], encoder: str, *, offline: bool) -> list[str]:
    """The files of an encoder among all that have a digest; the weights last."""
    known = set(names)
    wanted = list(_ENCODER_FILES)
    shards = sorted(name for name in known if _SHARD.fullmatch(name))
    if _WEIGHTS_INDEX in known or shards:
        totals = {match[2] for name in shards if (match := _SHARD.fullmatch(name))}
        total = int(max(totals, default="1"))
        wanted += [_WEIGHTS_INDEX, *(f"model-{n:05}-of-{total:05}.safetensors" for n in range(1, total + 1))]
    else:
        wanted.append(_WEIGHTS)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise _digest_unknown(encoder, missing, offline)
    return wanted


def _planned(
    request: Request, transport: Transport | None, name: str, url: str, digest: Digest, n_bytes: int | None
) -> PlannedFile:
    if request.folder is not None:
        path = request.folder / name
        try:
            found = path.stat().st_size
        except OSError as error:
            raise InputError(
                "setup-download-failed",
                "The folder given with --from lacks a file.",
                where=str(path),
                found=error.strerror or type(error).__name__,
                next_step="copy the file into that folder; files have the names under which they are published",
            ) from error
        return PlannedFile(name, path, found if n_bytes is None else n_bytes, digest)
    if n_bytes is None and transport is not None:
        n_bytes = transport.n_bytes(url)
    return PlannedFile(name, url, n_bytes, digest)


def _there(request: Request, kind: str, name: str, version: str) -> Installed | None:
    """What is there already, unless the request has other digests for it."""
    found = find_installed(kind, name, version, request.home)
    if found is None:
        return None
    promised, _ = _promises(request, request.index.get((kind, name)))
    for file in found.record.get("files", []):
        wanted = promised.get(file["name"])
        if wanted is not None and wanted.value != file["sha256"]:
            raise wrong_file(
                str(found.path / file["name"]),
                f"sha256 {wanted.value} ({wanted.vouched_by})",
                f"sha256 {file['sha256']}, as it was set up",
                f"if the new digest is the right one, remove {found.path} and set it up again",
            )
    return found


def _snapshot_digests(folder: Path, revision: str) -> dict[str, Digest]:
    """Digests out of a snapshot folder of the Hub's own client, whose links lead to files named by digest."""
    if folder.name != revision:
        return {}
    found = {}
    for path in folder.iterdir():
        if path.is_symlink():
            value = Path(os.readlink(path)).name
            algorithm = _SNAPSHOT_DIGESTS.get(len(value))
            if algorithm and not value.strip("0123456789abcdef"):
                found[path.name] = Digest(algorithm, value, "the host, as the Hub's client noted it")
    return found


def check_trustworthy(address: str, option: str) -> None:
    """Refuse digests of a host that is not asked over https; loopback is this machine.

    Raises:
        ConfigError: `config-invalid`.
    """
    if not is_private(address):
        raise ConfigError(
            "config-invalid",
            "A host that is not asked over https cannot be trusted for its digests.",
            where=option,
            expected="an address of https",
            found=plain_address(address),
            next_step="give --digests or --index",
        )


def _digest_unknown(name: str, files: list[str], offline: bool) -> ConfigError:
    ways = "--digests FILE or --index FILE" if offline else "--digests FILE, --index FILE or --trust-host"
    return ConfigError(
        "setup-digest-unknown",
        "Nobody has vouched for the bytes of a file yet, so nothing was fetched.",
        where=f"{name}: {', '.join(files)}",
        expected="a digest for every file",
        next_step=f"say whom you trust, with {ways}; docs/setup.md compares them",
    )
