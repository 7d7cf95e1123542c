"""A model directory: its manifest, the state contract it was observed to keep, and its verified files.

Every file is hashed from the open file descriptor before a byte of it is interpreted, so what is parsed is
what was hashed. Names must be plain file names inside the directory; links are refused.

A manifest is data of others: its classes check their own fields, so that no value reaches the arithmetic
that it could break, and what this version does not compute is refused rather than computed otherwise.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.architectures import Architecture, tensor_shapes
from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.fields import check, check_types, exact_keys
from genolewm_core.artifacts.tensors import StoredTensor
from genolewm_core.artifacts.verified import FileDigest, digest_file, read_verified
from genolewm_core.artifacts.weights import StoredVocabulary, Wanted, digest_of_shards, read_weights
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
SCHEMA_VERSION = "1.1.0"

# Scores that edits of a class can have. `scoring.heads` has the names, and stands above this
# module; a released manifest's names are fixed all the same.
_HEADS_OF_CLASS = {
    "substitution": ("marginal_llr", "delta_ll", "displacement"),
    "indel_in_phase": ("delta_ll", "displacement"),
    "indel_out_of_phase": ("delta_ll", "displacement"),
}
_CENTRE_RULE = "first token at which the edited sequence differs"
_SIXMER_BP = 6


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
        check_types(self)
        window_tok = self.window_bp // _SIXMER_BP
        check(
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
class Manifest:
    """What a model directory says of itself.

    Attributes:
        weights: the safetensors files, in order.
        vocabulary: where their embedding holds the DNA rows.
        default_heads: edit class -> the head whose value becomes `sigma_raw`.
        demonstration: the model is a demonstration model that does not know biology.
        training: recipe, data, hold-outs and measured numbers, for people and for the card.
        calibration: file of the calibration tables; None when there is none.
        other_files: published with the weights: configuration and tokenizer.
    """

    name: str
    version: str
    architecture: Architecture
    contract: Contract
    weights: tuple[FileDigest, ...]
    vocabulary: StoredVocabulary
    default_heads: Mapping[str, str]
    demonstration: bool
    training: Mapping[str, Any]
    calibration: FileDigest | None = None
    other_files: tuple[FileDigest, ...] = ()
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        check_types(self)
        heads = self.default_heads
        check(
            self,
            name=self.name != "",
            version=self.version != "",
            default_heads=heads.keys() == _HEADS_OF_CLASS.keys()
            and all(heads[edit_class] in names for edit_class, names in _HEADS_OF_CLASS.items()),
            schema_version=self.schema_version == SCHEMA_VERSION,
            weights=len(self.weights) > 0,
            vocabulary=self.vocabulary.dna_row + self.architecture.vocab_rows <= self.vocabulary.n_rows,
        )
        if self.contract.state_layer > self.architecture.n_layers:
            raise ValueError(
                f"state_layer {self.contract.state_layer} of a model of {self.architecture.n_layers} layers"
            )
        # Also refuses what has no canonical JSON, such as a measured number that is not finite.
        canonical_json(asdict(self))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights; see `weights.digest_of_shards`."""
        return digest_of_shards(self.weights)

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
        """The weights as fp32 arrays by their Transformers names, after their digests were checked.

        The vocabulary is cut to the DNA rows.

        Raises:
            ProvenanceError: `artifact-digest`, `artifact-path`, `tensor-file-invalid`.
        """
        return {name: tensor.float32() for name, tensor in self.stored_tensors()}

    def stored_tensors(
        self, *, n_layers: int | None = None, head: bool = True
    ) -> Iterator[tuple[str, StoredTensor]]:
        """The weights as their files have them, one at a time; see `weights.read_weights`.

        Args:
            n_layers: layers above are left out; None reads all.
            head: read what turns the last layer's rows into log-probabilities.

        Raises:
            ProvenanceError: as `tensors`.
        """
        manifest = self.manifest
        wanted = Wanted(tensor_shapes(manifest.architecture), n_layers, head)
        return read_weights(self.path, manifest.weights, manifest.vocabulary, wanted)


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
                **exact_keys(Manifest, raw),
                "architecture": Architecture(**exact_keys(Architecture, raw["architecture"])),
                "contract": Contract(**exact_keys(Contract, raw["contract"])),
                "weights": _digests(raw["weights"]),
                "vocabulary": StoredVocabulary(**exact_keys(StoredVocabulary, raw["vocabulary"])),
                "other_files": _digests(raw["other_files"]),
                "calibration": _optional_digest(raw["calibration"]),
            }
        )
    except (ValueError, RecursionError) as error:
        expected = f"every field of schema {SCHEMA_VERSION} and no other, with values that it allows"
        raise _bad_manifest(source, expected, str(error)) from error


def _digests(raw: object) -> tuple[FileDigest, ...]:
    if not isinstance(raw, list):
        raise ValueError(f"a list of files, not {reprlib.repr(raw)}")
    return tuple(FileDigest(**exact_keys(FileDigest, entry)) for entry in raw)


def _optional_digest(raw: object) -> FileDigest | None:
    return None if raw is None else FileDigest(**exact_keys(FileDigest, raw))


def _bad_manifest(source: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "manifest-invalid",
        "The model's manifest cannot be used.",
        where=str(source),
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )
