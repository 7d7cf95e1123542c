"""Reading safetensors without a deep-learning library, a tensor at a time.

A safetensors file is eight bytes of header length, a JSON header, then the tensors. It holds no code. bf16
becomes fp32 by a 16-bit shift, which numpy can do although it has no bf16. The header is checked as a
hostile file's would be: types, sizes, bounds, overlaps and gaps.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import ProvenanceError

__all__ = ["StoredTensor", "TensorEntry", "read_header", "read_tensor"]

_MAX_HEADER_BYTES = 100_000_000
_MAX_AXES = 8
# numpy has no bf16; its bits are kept as they are.
_STORED: dict[str, np.dtype[Any]] = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies in its file.

    Attributes:
        dtype: "BF16", "F16" or "F32".
        begin: first byte, counted from the start of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return prod(self.shape) * _STORED[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its file has it.

    Attributes:
        dtype: "BF16", "F16" or "F32".
        bits: the numbers; of BF16 their 16 bits as uint16.
    """

    dtype: str
    bits: npt.NDArray[Any]

    def float32(self) -> npt.NDArray[np.float32]:
        """The same numbers in fp32, exactly; no copy of F32."""
        if self.dtype == "BF16":
            return (self.bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return self.bits.astype(np.float32, copy=False)


def read_header(file: BinaryIO, n_bytes: int, path: Path) -> dict[str, TensorEntry]:
    """Names and places of the tensors of a safetensors file.

    Args:
        file: at its start; hash it before calling.
        n_bytes: its size.
        path: named in errors only.

    Raises:
        ProvenanceError: `tensor-file-invalid`.
    """
    if n_bytes < 8:
        raise _invalid(path, "at least 8 bytes", f"{n_bytes} bytes")
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(_MAX_HEADER_BYTES, n_bytes - 8):
        raise _invalid(path, "a header inside the file", f"a header of {header_bytes} bytes")
    try:
        header = json.loads(file.read(header_bytes), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "a JSON header", "other bytes") from error
    if not isinstance(header, dict):
        raise _invalid(path, "a JSON object as header", type(header).__name__)
    header.pop("__metadata__", None)
    first, payload_bytes = 8 + header_bytes, n_bytes - 8 - header_bytes
    entries: dict[str, TensorEntry] = {}
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
        if not isinstance(dtype, str) or dtype not in _STORED:
            raise _invalid(path, "BF16, F16 or F32", f"{reprlib.repr(dtype)} in {_tensor(name)}")
        fits = len(shape) <= _MAX_AXES and end <= payload_bytes
        if not fits or end - begin != prod(shape) * _STORED[dtype].itemsize:
            raise _invalid(path, "offsets that fit the shape and the file", _tensor(name))
        spans.append((begin, end))
        entries[name] = TensorEntry(dtype, shape, first + begin)
    spans.sort()
    cursor = 0
    for begin, end in spans:
        if begin != cursor:
            raise _invalid(path, "tensors that lie end to end", f"a gap or an overlap at byte {begin}")
        cursor = end
    if cursor != payload_bytes:
        raise _invalid(path, f"{cursor} bytes of tensors", f"{payload_bytes} bytes")
    return entries


def read_tensor(file: BinaryIO, entry: TensorEntry, path: Path, rows: slice | None = None) -> StoredTensor:
    """One tensor, or some of its rows; no other byte of the file is read.

    Args:
        file: the file of the header.
        entry: from `read_header`.
        path: named in errors only.
        rows: start and stop along the first axis; None for all.

    Raises:
        ProvenanceError: `tensor-file-invalid`, when the file ends early.
    """
    dtype, shape, begin = _STORED[entry.dtype], entry.shape, entry.begin
    if rows is not None:
        begin += rows.start * prod(shape[1:]) * dtype.itemsize
        shape = (rows.stop - rows.start, *shape[1:])
    bits = np.empty(shape, dtype=dtype)
    file.seek(begin)
    buffer = bits.reshape(-1).view(np.uint8).data
    filled = 0
    while filled < len(buffer):
        n = file.readinto(buffer[filled:])  # type: ignore[attr-defined]
        if not n:
            raise _invalid(path, f"{len(buffer)} bytes of a tensor", f"{filled} bytes")
        filled += n
    return StoredTensor(entry.dtype, bits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands twice, two readers could take different tensors."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


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
