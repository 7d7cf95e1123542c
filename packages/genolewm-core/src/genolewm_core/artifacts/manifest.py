"""A model directory: its manifest, the state contract it was observed to keep, and its verified files.

Every file is hashed from the open file descriptor before a byte of it is interpreted, so what is parsed is
what was hashed. Names must be plain file names inside the directory; links are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.tensors import parse_safetensors
from genolewm_core.errors import ProvenanceError

__all__ = [
    "MANIFEST_NAME",
    "Architecture",
    "Contract",
    "FileDigest",
    "Manifest",
    "ModelDirectory",
    "canonical_json",
    "digest_file",
    "write_manifest",
]

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a causal Llama over six-mers with its vocabulary sliced to the DNA rows.

    Attributes:
        vocab_rows: rows of the sliced embedding; `<dna>` is row 0, AAAAAA row 3.
        tied: the output layer is the embedding.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ffn: int
    rms_norm_eps: float
    rope_theta: float
    vocab_rows: int = 4_107
    tied: bool = True


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything about a state and a score that a reader must agree on, as observed when it was measured.

    Attributes:
        window_bp, cell_bp: geometry of the trunk, in bases.
        state_layer: number of layers after which the state is read.
        pool_type: "span_mean": the mean over the tokens from the first changed one.
        radius_tok: reference tokens in the span besides the first.
        ll_tok: tokens over which likelihoods are summed.
        strands: "+" or "+-" (mean of both).
        phases: number of six-mer phases averaged over: 1, 2, 3 or 6.
        dtype: of the weights and the computation.
        centre_rule: what the span is counted from.
    """

    window_bp: int = 12_288
    cell_bp: int = 6_144
    state_layer: int = 20
    pool_type: str = "span_mean"
    radius_tok: int = 8
    ll_tok: int = 9
    strands: str = "+"
    phases: int = 1
    dtype: str = "fp32"
    centre_rule: str = "first token at which the edited sequence differs"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file of the model directory and the digest of its bytes."""

    name: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model directory says of itself.

    Attributes:
        default_heads: edit class -> the head whose value becomes `sigma_raw`.
        demonstration: the model is a demonstration model that does not know biology.
        training: recipe, data, hold-outs and measured numbers, for people and for the card.
    """

    name: str
    version: str
    architecture: Architecture
    contract: Contract
    weights: FileDigest
    default_heads: Mapping[str, str]
    demonstration: bool
    training: Mapping[str, Any]
    schema_version: str = SCHEMA_VERSION

    @property
    def model_id(self) -> str:
        """SHA-256 of the manifest's canonical JSON: names the model with all that it promises."""
        return hashlib.sha256(canonical_json(asdict(self))).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model on disk.

    Use `ModelDirectory.open`; reading the weights verifies them.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> ModelDirectory:
        """Read and check a model directory's manifest.

        Raises:
            ProvenanceError: `manifest-invalid`.
        """
        source = path / MANIFEST_NAME
        try:
            raw = json.loads(source.read_bytes())
        except FileNotFoundError as error:
            raise ProvenanceError(
                "manifest-invalid",
                "This is not a model directory: it has no manifest.",
                where=str(source),
                next_step="give --model the folder that holds manifest.json",
            ) from error
        except (OSError, ValueError) as error:
            raise _bad_manifest(source, "readable JSON", type(error).__name__) from error
        return cls(path, _parse_manifest(raw, source))

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights as fp32 arrays by their Transformers names, after their digest was checked.

        Raises:
            ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
        """
        data = read_verified(self.path, self.manifest.weights)
        return parse_safetensors(memoryview(data), self.path / self.manifest.weights.name)


def read_verified(directory: Path, expected: FileDigest) -> bytes:
    """Bytes of a file whose digest is the promised one; read once, hashed before they are returned.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`.
    """
    path = directory / expected.name
    if Path(expected.name).name != expected.name or expected.name in ("", ".", ".."):
        raise ProvenanceError(
            "artifact-path",
            "The manifest names a file outside its own directory.",
            where=MANIFEST_NAME,
            expected="a plain file name",
            found=expected.name,
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ProvenanceError(
            "artifact-path",
            "A model file is missing, unreadable or a link.",
            where=str(path),
            expected="a regular file",
            found=error.strerror or type(error).__name__,
            next_step="get the model again from where it was published",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProvenanceError("artifact-path", "A model file is not a regular file.", where=str(path))
        data = file.read(expected.n_bytes + 1)
    found = hashlib.sha256(data).hexdigest()
    if len(data) != expected.n_bytes or found != expected.sha256:
        size = "more bytes" if len(data) > expected.n_bytes else f"{len(data)} bytes"
        raise ProvenanceError(
            "artifact-digest",
            "A model file is not the one that the manifest promises.",
            where=str(path),
            expected=f"sha256 {expected.sha256}, {expected.n_bytes} bytes",
            found=f"sha256 {found}, {size}",
            next_step="get the model again from where it was published",
        )
    return data


def digest_file(path: Path) -> FileDigest:
    """Digest of a file that is about to be named in a manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(path.name, digest, file.tell())


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8 and finite numbers only: equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, indented for readers. The other files must be in place already."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(directory / MANIFEST_NAME, (text + "\n").encode("utf-8"))


def _parse_manifest(raw: object, source: Path) -> Manifest:
    if not isinstance(raw, dict):
        raise _bad_manifest(source, "a JSON object", type(raw).__name__)
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise _bad_manifest(source, f"schema_version {SCHEMA_VERSION}", f"schema_version {version}")
    try:
        return Manifest(
            **{
                **_exact_keys(Manifest, raw),
                "architecture": Architecture(**_exact_keys(Architecture, raw["architecture"])),
                "contract": Contract(**_exact_keys(Contract, raw["contract"])),
                "weights": FileDigest(**_exact_keys(FileDigest, raw["weights"])),
            }
        )
    except (KeyError, TypeError) as error:
        raise _bad_manifest(source, "every field of schema 1.0.0 and no other", str(error)) from error


def _exact_keys(kind: type, raw: Any) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    if not isinstance(raw, dict) or set(raw) != known:
        odd = sorted(set(raw) ^ known) if isinstance(raw, dict) else raw
        raise KeyError(f"{kind.__name__}: {odd}")
    return dict(raw)


def _bad_manifest(source: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "manifest-invalid",
        "The model's manifest cannot be used.",
        where=str(source),
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )
