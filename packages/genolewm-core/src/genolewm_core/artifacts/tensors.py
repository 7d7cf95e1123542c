"""Reading safetensors without a deep-learning library.

A safetensors file is eight bytes of header length, a JSON header, then the tensors. It holds no code. bf16
becomes fp32 by a 16-bit shift, which numpy can do although it has no bf16. The header is checked as a
hostile file's would be: types, sizes, bounds, overlaps and gaps.
"""

from __future__ import annotations

import json
import reprlib
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import ProvenanceError

__all__ = ["parse_safetensors"]

_MAX_HEADER_BYTES = 100_000_000
_MAX_AXES = 8
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}


def parse_safetensors(data: memoryview, path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Tensors of a safetensors file as fp32.

    Args:
        data: the file's bytes; hash them before calling.
        path: named in errors only.

    Returns:
        name -> float32 array. F32 tensors are views into `data`; BF16 and F16 are converted copies.

    Raises:
        ProvenanceError: `tensor-file-invalid`.
    """
    if len(data) < 8:
        raise _invalid(path, "at least 8 bytes", f"{len(data)} bytes")
    header_bytes = int.from_bytes(data[:8], "little")
    if header_bytes > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise _invalid(path, "a header inside the file", f"a header of {header_bytes} bytes")
    try:
        header = json.loads(bytes(data[8 : 8 + header_bytes]))
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "a JSON header", "other bytes") from error
    if not isinstance(header, dict):
        raise _invalid(path, "a JSON object as header", type(header).__name__)
    header.pop("__metadata__", None)
    payload = data[8 + header_bytes :]
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        try:
            dtype, shape = entry["dtype"], tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            # An axis of length 0 is refused too: no weight has one, and beside it others could have any length.
            if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)) or 0 in shape:
                raise ValueError("sizes that are no sizes")
        except (KeyError, TypeError, ValueError) as error:
            raise _invalid(path, "dtype, shape and data_offsets of every tensor", _tensor(name)) from error
        if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
            raise _invalid(path, "BF16, F16 or F32", f"{reprlib.repr(dtype)} in {_tensor(name)}")
        if len(shape) > _MAX_AXES or end > len(payload) or end - begin != prod(shape) * _ITEM_BYTES[dtype]:
            raise _invalid(path, "offsets that fit the shape and the file", _tensor(name))
        spans.append((begin, end))
        tensors[name] = _to_float32(payload[begin:end], dtype).reshape(shape)
    spans.sort()
    cursor = 0
    for begin, end in spans:
        if begin != cursor:
            raise _invalid(path, "tensors that lie end to end", f"a gap or an overlap at byte {begin}")
        cursor = end
    if cursor != len(payload):
        raise _invalid(path, f"{cursor} bytes of tensors", f"{len(payload)} bytes")
    return tensors


def _to_float32(raw: memoryview, dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "F32":
        return np.frombuffer(raw, dtype="<f4").astype(np.float32, copy=False)
    if dtype == "F16":
        return np.frombuffer(raw, dtype="<f2").astype(np.float32)
    return (np.frombuffer(raw, dtype="<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _tensor(name: str) -> str:
    return f"tensor {reprlib.repr(name)}"


def _invalid(path: Path, expected: str, found: str) -> ProvenanceError:
    return ProvenanceError(
        "tensor-file-invalid",
        "A model's tensor file is malformed.",
        where=path.name,
        expected=expected,
        found=found,
        next_step="get the model again from where it was published",
    )
