"""What names an encoder: digests of its weights, and of everything else that changes a state.

The commit of a model's repository is no such name: cards and tokenizer files move while the weights stay. So
`weights_sha256` covers the weights alone, `runtime_sha256` what is done with them, and `encoder_hash` both. A
cache of states is keyed by the last, and can be carried over when only files of no effect changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import Manifest, canonical_json
from genolewm_core.errors import ProvenanceError

__all__ = ["CONFIG_NAME", "HASH_NAME", "EncoderIdentity", "StateContract"]

HASH_NAME = "encoder_hash.txt"
CONFIG_NAME = "config.json"

ROW_FORM = "hidden state / root mean square, without weight"
_LINES = ("encoder_hash", "weights_sha256", "runtime_sha256")


@dataclass(frozen=True, slots=True)
class StateContract:
    """What a state means: two encoders of the same weights and contract give the same states.

    Attributes:
        state_layer: layers after which rows are read.
        pool_type, pool_radius: which rows are averaged; the radius in tokens.
        dtype: of the layers, "bf16" or "fp32".
        lora_sha256: digest of the adapter; None without one.
        pool_sha256: digest of the learned pool; None for the others.
        row: form of a row.
    """

    state_layer: int
    pool_type: str
    pool_radius: int
    dtype: str
    lora_sha256: str | None = None
    pool_sha256: str | None = None
    row: str = ROW_FORM


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Names an encoder.

    Attributes:
        model_id: name of the model, such as "carbon-500m".
        revision: commit of its files, or the `model_id` of its manifest.
        weights_sha256: over the weight files in order; see `weights.digest_of_shards`.
        tokenizer: published file -> SHA-256, of configuration and tokenizer files.
        contract: what a state means.
    """

    model_id: str
    revision: str
    weights_sha256: str
    tokenizer: dict[str, str]
    contract: StateContract

    @classmethod
    def of(cls, manifest: Manifest, revision: str, contract: StateContract) -> EncoderIdentity:
        """The identity of a model with a contract."""
        tokenizer = {file.name: file.sha256 for file in manifest.other_files}
        return cls(manifest.name, revision, manifest.weights_sha256, tokenizer, contract)

    @property
    def runtime_sha256(self) -> str:
        """SHA-256 over tokenizer, pooling and contract, as canonical JSON."""
        covered = {"tokenizer": self.tokenizer, "contract": asdict(self.contract)}
        return hashlib.sha256(canonical_json(covered)).hexdigest()

    @property
    def encoder_hash(self) -> bytes:
        """SHA-256 over both digests, 32 bytes."""
        return hashlib.sha256(f"{self.weights_sha256}{self.runtime_sha256}".encode("ascii")).digest()

    def same_states(self, other: EncoderIdentity) -> bool:
        """Whether both give the same states: equal weights and contract, whatever their files besides."""
        return (self.weights_sha256, self.contract) == (other.weights_sha256, other.contract)

    def write(self, directory: Path) -> None:
        """Write `encoder_hash.txt`, and `config.json` with everything that it covers.

        Raises:
            ResourceError: `output-unwritable`.
        """
        values = {"encoder_hash": self.encoder_hash.hex(), **self._digests()}
        config = {"encoder": {**asdict(self), **values}}
        write_atomic(directory / CONFIG_NAME, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
        write_atomic(
            directory / HASH_NAME, "".join(f"{name} {values[name]}\n" for name in _LINES).encode("ascii")
        )

    @classmethod
    def read(cls, directory: Path) -> EncoderIdentity:
        """The identity that `write` left in a folder, whose digests must be those of its fields.

        Raises:
            ProvenanceError: `encoder-identity-invalid`.
        """
        path = directory / CONFIG_NAME
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())["encoder"]
            identity = cls(
                model_id=str(raw["model_id"]),
                revision=str(raw["revision"]),
                weights_sha256=str(raw["weights_sha256"]),
                tokenizer={str(name): str(digest) for name, digest in raw["tokenizer"].items()},
                contract=StateContract(**raw["contract"]),
            )
            lines = (directory / HASH_NAME).read_text("ascii").split("\n")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _invalid(path, "the fields that an encoder writes", type(error).__name__) from error
        stated = [f"{name} {raw.get(name)}" for name in _LINES]
        values = {"encoder_hash": identity.encoder_hash.hex(), **identity._digests()}
        if stated != [f"{name} {values[name]}" for name in _LINES] or lines != [*stated, ""]:
            raise _invalid(path, f"encoder_hash {values['encoder_hash']}, as its fields give it", "another")
        return identity

    def with_contract(self, **changes: Any) -> EncoderIdentity:
        """The same model with another contract."""
        return replace(self, contract=replace(self.contract, **changes))

    def _digests(self) -> dict[str, str]:
        return {"weights_sha256": self.weights_sha256, "runtime_sha256": self.runtime_sha256}


def _invalid(path: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "encoder-identity-invalid",
        "The files that name an encoder are missing, damaged or do not belong together.",
        where=str(path),
        expected=expected,
        found=found,
        next_step=f"write {HASH_NAME} and {CONFIG_NAME} again from the encoder itself",
    )
