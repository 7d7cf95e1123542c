"""A model directory: its manifest, the state contract it was observed to keep, and its verified files.

Every file is hashed from the open file descriptor before a byte of it is interpreted, so what is parsed is
what was hashed. Names must be plain file names inside the directory; links are refused.

A manifest is data of others: its classes check their own fields, so that no value reaches the arithmetic
that it could break, and what this version does not compute is refused rather than computed otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
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
    "read_verified",
    "write_manifest",
]

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = "1.0.0"

# Scores that edits of a class can have. `scoring.heads` has the names, and stands above this
# module; a released manifest's names are fixed all the same.
_HEADS_OF_CLASS = {
    "substitution": ("marginal_llr", "delta_ll", "displacement"),
    "indel_in_phase": ("delta_ll", "displacement"),
    "indel_out_of_phase": ("delta_ll", "displacement"),
}
_CENTRE_RULE = "first token at which the edited sequence differs"
_SIXMER_BP = 6
# `<dna>`, `</dna>`, `<oov>` and the six-mers; below that the output layer has no row for some of them.
_LEAST_VOCAB_ROWS = 3 + 4**_SIXMER_BP
# Names of all tensors are listed before a file is opened, so their number must have an end.
_MOST_LAYERS = 1_000

_TYPES: dict[object, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "Mapping[str, str]": (dict,),
    "Mapping[str, Any]": (dict,),
}


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

    def __post_init__(self) -> None:
        _check_types(self)
        _check(
            self,
            n_layers=1 <= self.n_layers <= _MOST_LAYERS,
            d_model=self.d_model >= 1,
            n_heads=self.n_heads >= 1,
            n_kv_heads=self.n_kv_heads >= 1 and self.n_heads % self.n_kv_heads == 0,
            head_dim=self.head_dim >= 2 and self.head_dim % 2 == 0,
            d_ffn=self.d_ffn >= 1,
            rms_norm_eps=0 < self.rms_norm_eps < 1,
            rope_theta=1 <= self.rope_theta <= 1e12,
            vocab_rows=self.vocab_rows >= _LEAST_VOCAB_ROWS,
        )


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything about a state and a score that a reader must agree on, as observed when it was measured.

    Attributes:
        window_bp, cell_bp: geometry of the trunk, in bases: 6,144, 12,288 or 24,576, and a multiple of 12.
        state_layer: number of layers after which the state is read.
        pool_type: "span_mean": the mean over the tokens from the first changed one.
        radius_tok: reference tokens in the span besides the first.
        ll_tok: reference tokens over which likelihoods are summed.
        strands: "+" or "+-" (mean of both).
        phases: number of six-mer phases averaged over: 1, 2, 3 or 6.
        dtype: of the computation; weights may be stored in bf16.
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
    centre_rule: str = _CENTRE_RULE

    def __post_init__(self) -> None:
        _check_types(self)
        window_tok = self.window_bp // _SIXMER_BP
        _check(
            self,
            window_bp=self.window_bp in (6_144, 12_288, 24_576),
            # Twelve: cells and the context beside them then start at whole six-mers on both strands.
            cell_bp=0 < self.cell_bp <= self.window_bp and self.cell_bp % 12 == 0,
            state_layer=self.state_layer >= 1,
            pool_type=self.pool_type == "span_mean",
            radius_tok=0 <= self.radius_tok < window_tok,
            ll_tok=1 <= self.ll_tok <= window_tok,
            strands=self.strands in ("+", "+-"),
            phases=self.phases in (1, 2, 3, 6),
            dtype=self.dtype == "fp32",
            centre_rule=self.centre_rule == _CENTRE_RULE,
        )


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file of the model directory and the digest of its bytes."""

    name: str
    sha256: str
    n_bytes: int

    def __post_init__(self) -> None:
        _check_types(self)
        _check(
            self,
            name=self.name != "",
            sha256=len(self.sha256) == 64 and not self.sha256.strip("0123456789abcdef"),
            n_bytes=self.n_bytes >= 0,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model directory says of itself.

    Attributes:
        default_heads: edit class -> the head whose value becomes `sigma_raw`.
        demonstration: the model is a demonstration model that does not know biology.
        training: recipe, data, hold-outs and measured numbers, for people and for the card.
        calibration: file of the calibration tables; None when there is none.
    """

    name: str
    version: str
    architecture: Architecture
    contract: Contract
    weights: FileDigest
    default_heads: Mapping[str, str]
    demonstration: bool
    training: Mapping[str, Any]
    calibration: FileDigest | None = None
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _check_types(self)
        heads = self.default_heads
        _check(
            self,
            name=self.name != "",
            version=self.version != "",
            default_heads=heads.keys() == _HEADS_OF_CLASS.keys()
            and all(heads[edit_class] in names for edit_class, names in _HEADS_OF_CLASS.items()),
            schema_version=self.schema_version == SCHEMA_VERSION,
        )
        if self.contract.state_layer > self.architecture.n_layers:
            raise ValueError(
                f"state_layer {self.contract.state_layer} of a model of {self.architecture.n_layers} layers"
            )
        # Also refuses what has no canonical JSON, such as a measured number that is not finite.
        canonical_json(asdict(self))

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
        except (OSError, ValueError, RecursionError) as error:
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
    if Path(expected.name).name != expected.name or expected.name in ("", ".", "..") or "\0" in expected.name:
        raise ProvenanceError(
            "artifact-path",
            "The manifest names a file outside its own directory.",
            where=MANIFEST_NAME,
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
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ProvenanceError("artifact-path", "A model file is not a regular file.", where=str(path))
        if status.st_size != expected.n_bytes:
            raise _other_file(path, f"{expected.n_bytes} bytes", f"{status.st_size} bytes")
        data = file.read(expected.n_bytes)
    found = hashlib.sha256(data).hexdigest()
    if found != expected.sha256:
        raise _other_file(path, f"sha256 {expected.sha256}", f"sha256 {found}")
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
        raise _bad_manifest(
            source, f"schema_version {SCHEMA_VERSION!r}", f"schema_version {reprlib.repr(version)}"
        )
    try:
        return Manifest(
            **{
                **_exact_keys(Manifest, raw),
                "architecture": Architecture(**_exact_keys(Architecture, raw["architecture"])),
                "contract": Contract(**_exact_keys(Contract, raw["contract"])),
                "weights": FileDigest(**_exact_keys(FileDigest, raw["weights"])),
                "calibration": _optional_digest(raw["calibration"]),
            }
        )
    except (ValueError, RecursionError) as error:
        expected = f"every field of schema {SCHEMA_VERSION} and no other, with values that it allows"
        raise _bad_manifest(source, expected, str(error)) from error


def _optional_digest(raw: object) -> FileDigest | None:
    return None if raw is None else FileDigest(**_exact_keys(FileDigest, raw))


def _exact_keys(kind: type, raw: Any) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    if not isinstance(raw, dict) or set(raw) != known:
        odd = sorted(set(raw) ^ known) if isinstance(raw, dict) else raw
        raise ValueError(f"{kind.__name__}: missing or unknown {reprlib.repr(odd)}")
    return dict(raw)


def _check_types(record: Architecture | Contract | FileDigest | Manifest) -> None:
    """Refuse a value of another type than its field's; `True` is no int. Types of JSON only."""
    for field in fields(record):
        value = getattr(record, field.name)
        if field.type in _TYPES and type(value) not in _TYPES[field.type]:
            raise ValueError(
                f"{type(record).__name__}.{field.name}: {reprlib.repr(value)} is no {field.type}"
            )


def _check(record: Architecture | Contract | FileDigest | Manifest, **allowed: bool) -> None:
    """Refuse the first field whose value is not allowed."""
    for name, holds in allowed.items():
        if not holds:
            value = reprlib.repr(getattr(record, name))
            raise ValueError(f"{type(record).__name__}.{name}: {value} is not allowed")


def _open_plain(path: str, flags: int) -> int:
    # O_NONBLOCK: opening a pipe must not wait for its other end.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _other_file(path: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "artifact-digest",
        "A model file is not the one that the manifest promises.",
        where=str(path),
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )


def _bad_manifest(source: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "manifest-invalid",
        "The model's manifest cannot be used.",
        where=str(source),
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )
