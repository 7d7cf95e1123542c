"""What a shard holds: the columns of its Parquet table, and batches of states that become one.

Letters of shapes: n rows, D width of a state.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genolewm_core.scoring.states import UNTARGETED, Encoding, StateKey

__all__ = ["MAX_PAYLOAD_BYTES", "SCHEMA_VERSION", "StateBatch", "arrow_schema", "encoding_of", "table_of"]

SCHEMA_VERSION = 1
"""Of shards and index; a later one is refused."""

MAX_PAYLOAD_BYTES = 1 << 30
"""Payload of one shard: it is one page of the file, and pages are counted with 31 bits."""

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StateBatch:
    """States of reference windows, in the order in which they are stored.

    Attributes:
        keys: n keys of one encoding.
        chrom: the contig of all rows, as the reference names it.
        start_bp, end_bp: of each row's window, 0-based half-open, (n,) int64.
        untargeted: whether a state is pooled over the whole window, (n,) bool; where its key's `center_tok` is −1.
        states: raw pooled states as they were computed, not normalised, float32 (n, D).

    Raises:
        ValueError: lengths or types do not fit, the encodings differ, a state is not finite, or the payload is
            larger than `MAX_PAYLOAD_BYTES`.
    """

    keys: Sequence[StateKey]
    chrom: str
    start_bp: npt.NDArray[np.int64]
    end_bp: npt.NDArray[np.int64]
    untargeted: npt.NDArray[np.bool_]
    states: Float32

    def __post_init__(self) -> None:
        n = len(self.keys)
        if not n or any(len(column) != n for column in (self.start_bp, self.end_bp, self.untargeted)):
            raise ValueError("a batch has at least one row, and every column has as many")
        if self.states.dtype != np.float32 or self.states.ndim != 2 or self.states.shape[0] != n:
            raise ValueError("states are float32 (n, D)")
        if not self.states.shape[1] or self.states.nbytes > MAX_PAYLOAD_BYTES:
            raise ValueError(f"the states of a batch have 1 to {MAX_PAYLOAD_BYTES} bytes")
        if not np.isfinite(self.states).all():
            raise ValueError("a state is not finite")
        encoding_of(self.keys)
        if any(len(key.window_hash) != 32 or len(key.encoder_hash) != 32 for key in self.keys):
            raise ValueError("hashes have 32 bytes")
        if any(
            (key.center_tok == UNTARGETED) != flag
            for key, flag in zip(self.keys, self.untargeted, strict=True)
        ):
            raise ValueError("a state is untargeted where its key has no centre, and only there")

    @property
    def encoding(self) -> Encoding:
        """Of all keys."""
        return encoding_of(self.keys[:1])


def encoding_of(keys: Sequence[StateKey]) -> Encoding:
    """The one encoding of keys.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = set(map(_ENCODING, keys))
    if len(found) != 1:
        raise ValueError("keys are of one encoding")
    encoder_hash, state_layer, pool_type, pool_radius, dtype = found.pop()
    # Numbers may be numpy's, which SQLite does not take.
    return Encoding(encoder_hash, int(state_layer), pool_type, int(pool_radius), dtype)


_ENCODING = operator.attrgetter(*Encoding._fields)


def arrow_schema(d_state: int) -> pa.Schema:
    """Columns of a shard of states of a width."""
    state = pa.list_(pa.field("element", pa.float32(), nullable=False), d_state)
    columns = {
        "chrom": pa.string(),
        "start_bp": pa.int64(),
        "end_bp": pa.int64(),
        "window_hash": pa.binary(32),
        "encoder_hash": pa.binary(32),
        "state_layer": pa.int16(),
        "pool_type": pa.string(),
        "pool_radius": pa.int32(),
        "center_tok": pa.int32(),
        "dtype": pa.string(),
        "untargeted": pa.bool_(),
        "created_at": pa.timestamp("ms", tz="UTC"),
        "schema_version": pa.int32(),
        "embedding": state,
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def table_of(batch: StateBatch) -> pa.Table:
    """The rows of a batch as they are written."""
    schema = arrow_schema(batch.states.shape[1])
    n, encoding = len(batch.keys), batch.encoding
    same = {
        "chrom": batch.chrom,
        **encoding._asdict(),
        "created_at": int(time.time() * 1_000),
        "schema_version": SCHEMA_VERSION,
    }
    differing = {
        "start_bp": pa.array(batch.start_bp, pa.int64()),
        "end_bp": pa.array(batch.end_bp, pa.int64()),
        "window_hash": pa.array([key.window_hash for key in batch.keys], pa.binary(32)),
        "center_tok": pa.array([key.center_tok for key in batch.keys], pa.int32()),
        "untargeted": pa.array(batch.untargeted, pa.bool_()),
        "embedding": pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(batch.states).reshape(-1)), type=schema.field("embedding").type
        ),
    }
    columns = [
        differing[field.name]
        if field.name in differing
        else pa.repeat(pa.scalar(same[field.name], field.type), n)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
