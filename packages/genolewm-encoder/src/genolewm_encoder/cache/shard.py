"""One shard: a Parquet file whose name carries the SHA-256 of its bytes.

Window hashes, centres and states are columns of one plain, uncompressed page each, so that each lies in the file
as one array, row after row: it is read by its place, without decoding. Everything else is compressed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import ConfigError
from genolewm_core.scoring.states import UNTARGETED, Encoding, StateKey, WindowBlock
from genolewm_encoder.cache.schema import SCHEMA_VERSION, StateBatch, arrow_schema, table_of

__all__ = [
    "KEY_BYTES",
    "BadShard",
    "ShardEntry",
    "digest_of",
    "digests_of",
    "encoding_seed",
    "key_bytes",
    "read_batch",
    "read_digests",
    "read_entry",
    "row_checks",
    "write_shard",
]

_NAME = re.compile(r"(?P<contig>[^./]+)\.(?P<block>[0-9]{6,})\.(?P<digest>[0-9a-f]{64})\.parquet")
KEY_BYTES = 36
_CHUNK = 1 << 20


class BadShard(Exception):
    """A file is not the shard that its name says; `reason` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class ShardEntry:
    """What the index holds of a shard.

    Attributes:
        name: of the file.
        block: contig and number.
        encoding: of all rows.
        n_rows, d_state: n and D.
        start_bp, end_bp: from the first window's start to the last one's end.
        n_bytes: of the file.
        hashes_offset, centers_offset, payload_offset: bytes of the file at which window hashes, `center_tok` and
            states begin.
        keys_check: CRC-32 over window hashes and centres.
        checks: a CRC-32 over each row's key and state, uint32 (n,); see `row_checks`.
    """

    name: str
    block: WindowBlock
    encoding: Encoding
    n_rows: int
    d_state: int
    start_bp: int
    end_bp: int
    n_bytes: int
    hashes_offset: int
    centers_offset: int
    payload_offset: int
    keys_check: int
    checks: npt.NDArray[np.uint32]

    def same(self, other: ShardEntry) -> bool:
        """Whether two entries agree in every field."""
        return self._parts() == other._parts()

    def _parts(self) -> tuple[Any, ...]:
        return tuple(
            value.tobytes() if isinstance(value, np.ndarray) else value
            for value in (getattr(self, field.name) for field in fields(self))
        )


def write_shard(folder: Path, block: WindowBlock, batch: StateBatch) -> ShardEntry:
    """Write a batch as one shard: whole under its final name, and on disk, or not at all.

    Raises:
        ResourceError: `output-unwritable`.
        ValueError: the batch is of another contig.
    """
    if batch.chrom != block.contig:
        raise ValueError("a shard holds windows of its block's contig")
    data = _parquet(batch)
    # A dot would end the name's first part, and a slash the name.
    contig = quote(block.contig, safe="").replace(".", "%2E")
    name = f"{contig}.{block.block:06d}.{hashlib.sha256(data).hexdigest()}.parquet"
    entry = _entry(name, pa.BufferReader(data), len(data), block)
    with publishing(folder / name) as temporary:
        temporary.write_bytes(data)
    return entry


def _parquet(batch: StateBatch) -> memoryview:
    table = table_of(batch)
    names = [name for name in table.column_names if name != "embedding"]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=table.num_rows,
        max_rows_per_page=table.num_rows,
        data_page_size=1 << 31,
        write_batch_size=table.num_rows,
        compression={**dict.fromkeys(names, "ZSTD"), **dict.fromkeys(_ARRAYS, "NONE")},
        use_dictionary=[name for name in names if name not in (*_ARRAYS, *_DELTA)],
        column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
        write_statistics=list(_DELTA),
    )
    return memoryview(sink.getvalue())


# Columns of one plain page: the bytes of a value of each.
_ARRAYS = {"window_hash": 32, "center_tok": 4, "embedding.list.element": 4}
_DELTA = ("start_bp", "end_bp")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_entry(path: Path) -> ShardEntry:
    """The index entry of a shard, read from its bytes after they were found to be those that its name says.

    Raises:
        BadShard: its reason is `digest` (bytes or name were changed) or `foreign` (no shard of states).
        ConfigError: `cache-schema`.
        OSError: the file cannot be read.
    """
    named = _NAME.fullmatch(path.name)
    # One that another process has just replaced is missing, not foreign.
    if named is None or not stat.S_ISREG(path.lstat().st_mode):
        raise BadShard("foreign")
    if digest_of(path) != named["digest"]:
        raise BadShard("digest")
    with pa.OSFile(str(path)) as file:
        return _entry(path.name, file, path.stat().st_size, None)


def read_batch(path: Path) -> StateBatch:
    """The rows of a shard that `read_entry` found sound.

    Raises:
        OSError: the file cannot be read.
    """
    table = pq.ParquetFile(path).read()
    columns = {name: table.column(name).to_pylist() for name in ("window_hash", "center_tok")}
    encoding = Encoding(*(_only(table, field) for field in Encoding._fields))
    window_hashes, centers = columns["window_hash"], columns["center_tok"]
    e = encoding
    keys = [
        StateKey(found, e.encoder_hash, e.state_layer, e.pool_type, e.pool_radius, center, e.dtype)
        for found, center in zip(window_hashes, centers, strict=True)
    ]
    return StateBatch(
        keys=keys,
        chrom=_only(table, "chrom"),
        start_bp=table.column("start_bp").to_numpy(),
        end_bp=table.column("end_bp").to_numpy(),
        untargeted=table.column("untargeted").to_numpy(),
        states=_states(table),
    )


def _states(table: pa.Table) -> npt.NDArray[np.float32]:
    flat = table.column("embedding").combine_chunks().flatten().to_numpy()
    return np.asarray(flat.reshape(table.num_rows, -1), dtype=np.float32)


def _entry(name: str, source: Any, n_bytes: int, block: WindowBlock | None) -> ShardEntry:
    try:
        parquet = pq.ParquetFile(source)
        table = parquet.read()
        offsets = _offsets(parquet.metadata)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise BadShard("foreign") from error
    _check_columns(table, name)
    hashes = b"".join(table.column("window_hash").to_pylist())
    centers = table.column("center_tok").to_numpy()
    states = _states(table)
    untargeted = table.column("untargeted").to_numpy(zero_copy_only=False)
    if not np.isfinite(states).all() or not np.array_equal(untargeted, centers == UNTARGETED):
        raise BadShard("foreign")
    encoding = Encoding(*(_only(table, field) for field in Encoding._fields))
    for offset, values in zip(offsets, (hashes, centers.tobytes(), states.tobytes()), strict=True):
        source.seek(offset)
        if source.read(len(values)) != values:
            raise BadShard("foreign")
    if block is None:
        block = WindowBlock(_only(table, "chrom"), int(name.split(".")[1]))
    return ShardEntry(
        name=name,
        block=block,
        encoding=encoding,
        n_rows=table.num_rows,
        d_state=states.shape[1],
        start_bp=int(table.column("start_bp").to_numpy().min()),
        end_bp=int(table.column("end_bp").to_numpy().max()),
        n_bytes=n_bytes,
        hashes_offset=offsets[0],
        centers_offset=offsets[1],
        payload_offset=offsets[2],
        keys_check=zlib.crc32(centers, zlib.crc32(hashes)),
        checks=row_checks(states, key_bytes(hashes, centers), encoding_seed(encoding)),
    )


def _check_columns(table: pa.Table, name: str) -> None:
    if "schema_version" in table.column_names and table.num_rows:
        version = table.column("schema_version")[0].as_py()
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ConfigError(
                "cache-schema",
                "A cache of states was written by a later version of GenoLeWM.",
                where=name,
                expected=f"schema version {SCHEMA_VERSION}",
                found=f"schema version {version}",
                next_step="update genolewm-encoder, or use another cache directory",
            )
    if not table.num_rows or "embedding" not in table.column_names:
        raise BadShard("foreign")
    kind = table.schema.field("embedding").type
    if not pa.types.is_fixed_size_list(kind) or not table.schema.equals(arrow_schema(kind.list_size)):
        raise BadShard("foreign")


def _offsets(metadata: pq.FileMetaData) -> list[int]:
    """Where the values of each of `_ARRAYS` begin: its only page ends with them."""
    group = metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    found = []
    for name, size in _ARRAYS.items():
        column = columns.get(name)
        if column is None or column.compression != "UNCOMPRESSED":
            raise ValueError("not laid out as a shard")
        end = int(column.data_page_offset) + int(column.total_compressed_size)
        found.append(end - size * int(column.num_values))
    return found


def _only(table: pa.Table, column: str) -> Any:
    values = table.column(column).unique()
    if len(values) != 1:
        raise BadShard("foreign")
    return values[0].as_py()


def read_digests(path: Path, entry: ShardEntry) -> npt.NDArray[np.uint64]:
    """What the rows of a shard are looked up by, (n,); see `digests_of`.

    Raises:
        OSError: the file cannot be read.
        EOFError: it ends too early.
        BadShard: `digest`; the bytes of the keys were changed.
    """
    # Not waiting for a writer, should the name be a pipe's by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        hashes = os.pread(descriptor, 32 * entry.n_rows, entry.hashes_offset)
        centers = os.pread(descriptor, 4 * entry.n_rows, entry.centers_offset)
    finally:
        os.close(descriptor)
    if len(hashes) != 32 * entry.n_rows or len(centers) != 4 * entry.n_rows:
        raise EOFError
    if zlib.crc32(centers, zlib.crc32(hashes)) != entry.keys_check:
        raise BadShard("digest")
    return digests_of(hashes, np.frombuffer(centers, dtype="<i4"))


def digests_of(hashes: bytes, centers: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """What a row is looked up by: the first eight bytes of its window's hash, moved by its centre. (n,)

    Args:
        hashes: n window hashes, one after the other.
        centers: their `center_tok`, (n,).
    """
    first = np.frombuffer(hashes, dtype="<u8").reshape(-1, 4)[:, 0]
    # Odd, so that two centres of one window never share a digest.
    moved = (centers.astype(np.int64) + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(first + moved, dtype=np.uint64)


def key_bytes(hashes: bytes, centers: npt.NDArray[np.int32]) -> memoryview:
    """Window hash and centre of each row, 36 bytes a row."""
    joined = np.empty((len(centers), KEY_BYTES), dtype=np.uint8)
    joined[:, :32] = np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
    joined[:, 32:] = centers.astype("<i4")[:, None].view(np.uint8)
    return joined.reshape(-1).data


def encoding_seed(encoding: Encoding) -> int:
    """CRC-32 of an encoding, with which the checks of its rows begin."""
    e = encoding
    text = f"{e.encoder_hash.hex()} {int(e.state_layer)} {e.pool_type} {int(e.pool_radius)} {e.dtype}"
    return zlib.crc32(text.encode())


def row_checks(states: npt.NDArray[np.float32], keys: memoryview, seed: int) -> npt.NDArray[np.uint32]:
    """CRC-32 of each row's encoding, key and state: what was read is the state of that very key. (n,)"""
    n, width = len(states), 4 * states.shape[1]
    data = states.reshape(-1).view(np.uint8).data
    crc32 = zlib.crc32
    found = [
        crc32(data[i * width : (i + 1) * width], crc32(keys[i * KEY_BYTES : (i + 1) * KEY_BYTES], seed))
        for i in range(n)
    ]
    return np.array(found, dtype=np.uint32)
