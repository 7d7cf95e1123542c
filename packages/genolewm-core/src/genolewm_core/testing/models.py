"""Model directories for tests: any weights, a true manifest, verified like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.manifest import (
    Architecture,
    Contract,
    Manifest,
    ModelDirectory,
    digest_file,
    write_manifest,
)
from genolewm_core.artifacts.weights import StoredVocabulary

__all__ = ["safetensors_bytes", "write_model"]

DEFAULT_HEADS = {
    "substitution": "displacement",
    "indel_in_phase": "displacement",
    "indel_out_of_phase": "delta_ll",
}


def safetensors_bytes(tensors: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """A safetensors file of fp32 tensors."""
    header: dict[str, object] = {}
    offset = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header).encode()
    payload = b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in tensors.values())
    return len(text).to_bytes(8, "little") + text + payload


def write_model(
    directory: Path,
    architecture: Architecture,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    contract: Contract,
) -> ModelDirectory:
    """Write a model directory and open it."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / "model.safetensors"
    weights.write_bytes(safetensors_bytes(tensors))
    manifest = Manifest(
        name="test-model",
        version="0.0.0",
        architecture=architecture,
        contract=contract,
        weights=(digest_file(weights),),
        vocabulary=StoredVocabulary(architecture.vocab_rows, dna_row=0),
        default_heads=DEFAULT_HEADS,
        demonstration=True,
        training={"recipe": "random weights"},
    )
    write_manifest(directory, manifest)
    return ModelDirectory.open(directory)
