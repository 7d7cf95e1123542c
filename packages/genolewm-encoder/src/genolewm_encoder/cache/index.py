"""The index of a cache: one SQLite row per shard, with what it takes to check each row of the shard.

A row of a shard costs four bytes here; what it is found by is read from the shard. SQLite's rollback journal is
used, not its write-ahead log, whose shared memory no network file system has.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from genolewm_core.errors import ConfigError, ResourceError
from genolewm_core.scoring.states import Encoding, WindowBlock
from genolewm_encoder.cache.schema import SCHEMA_VERSION
from genolewm_encoder.cache.shard import ShardEntry

__all__ = ["BadEntry", "DamagedIndex", "Index"]

_COLUMNS: dict[str, type] = {
    "name": str,
    "contig": str,
    "block": int,
    "encoder_hash": bytes,
    "state_layer": int,
    "pool_type": str,
    "pool_radius": int,
    "dtype": str,
    "n_rows": int,
    "d_state": int,
    "start_bp": int,
    "end_bp": int,
    "n_bytes": int,
    "hashes_offset": int,
    "centers_offset": int,
    "payload_offset": int,
    "keys_check": int,
    "checks": bytes,
}
_ENCODING = " AND ".join(f"{name} = ?" for name in Encoding._fields)
_BUSY_S = 60


class BadEntry(Exception):
    """What the index has of a shard makes no sense."""


class DamagedIndex(Exception):
    """The index's file is no database, or a damaged one."""


class Index:
    """The index of one cache, for one process and thread.

    Args:
        path: of the file; made when it is missing and the folder can be written.

    Raises:
        DamagedIndex: now or in any method.
        ConfigError: `cache-schema`.
        ResourceError: `output-unwritable`, `output-busy`; in any method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def version(self) -> int:
        """Changes when another process has changed the index."""
        with self._told():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def names(self, encoding: Encoding | None = None) -> set[str]:
        """Names of all shards, or of those of an encoding."""
        where = "" if encoding is None else f" WHERE {_ENCODING}"
        with self._told():
            rows = self._connection.execute(f"SELECT name FROM shards{where}", encoding or ()).fetchall()
        return {str(name) for (name,) in rows}

    def names_of_encoder(self, encoder_hash: bytes) -> set[str]:
        """Names of the shards of an encoder."""
        with self._told():
            rows = self._connection.execute("SELECT name FROM shards WHERE encoder_hash = ?", (encoder_hash,))
            return {str(name) for (name,) in rows}

    def names_of_block(self, block: WindowBlock, encoding: Encoding) -> list[str]:
        """Names of a block's shards of an encoding."""
        with self._told():
            return [
                str(name)
                for (name,) in self._connection.execute(
                    f"SELECT name FROM shards WHERE contig = ? AND block = ? AND {_ENCODING}",
                    (block.contig, block.block, *encoding),
                )
            ]

    def entry(self, name: str) -> ShardEntry | None:
        """The entry of a shard; None where there is none.

        Raises:
            BadEntry: it makes no sense.
        """
        with self._told():
            row = self._connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM shards WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else _entry_of(dict(zip(_COLUMNS, row, strict=True)))

    def width(self, encoding: Encoding) -> int | None:
        """Width of the states of an encoding; None where there is none."""
        with self._told():
            row = self._connection.execute(
                f"SELECT d_state FROM shards WHERE {_ENCODING} LIMIT 1", encoding
            ).fetchone()
        return None if row is None else int(row[0])

    def overview(self) -> list[dict[str, Any]]:
        """A mapping per contig and encoding: its fields, `shards`, `rows`, `n_bytes` and `d_state`."""
        names = ("encoder_hash", "state_layer", "pool_type", "pool_radius", "dtype", "d_state", "contig")
        with self._told():
            rows = self._connection.execute(
                f"SELECT {', '.join(names)}, count(*), sum(n_rows), sum(n_bytes) FROM shards "
                f"GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}"
            ).fetchall()
        return [dict(zip((*names, "shards", "rows", "n_bytes"), row, strict=True)) for row in rows]

    def change(self, add: Iterable[ShardEntry] = (), drop: Iterable[str] = ()) -> None:
        """Add entries, and drop those of some names, in one transaction; an entry of a known name is replaced."""
        rows = [_row_of(entry) for entry in add]
        with self._told(), _transaction(self._connection):
            if rows:
                _table(self._connection).insert_all(rows, pk="name", columns=_COLUMNS, replace=True)
            for name in drop:
                self._connection.execute("DELETE FROM shards WHERE name = ?", (name,))

    def check(self) -> None:
        """Read the whole file and compare its parts.

        Raises:
            DamagedIndex: they do not fit.
        """
        with self._told():
            if self._connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise DamagedIndex

    def _prepare(self) -> None:
        with self._told():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise ConfigError(
                    "cache-schema",
                    "A cache of states was written by a later version of GenoLeWM.",
                    where=str(self._path),
                    expected=f"schema version {SCHEMA_VERSION}",
                    found=f"schema version {version}",
                    next_step="update genolewm-encoder, or use another cache directory",
                )
            # Small pages: a shard's checks end within one, and the rest of it is lost.
            self._connection.execute("PRAGMA page_size = 1024")
            # FULL: what is committed survives a power cut, as the shard does.
            self._connection.execute("PRAGMA synchronous = FULL")
            tables = [name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")]
            if "shards" not in tables:
                if version or any(not name.startswith("sqlite_") for name in tables):
                    raise DamagedIndex
                self._create()

    def _create(self) -> None:
        with _transaction(self._connection):
            _table(self._connection).create(_COLUMNS, pk="name", not_null=_COLUMNS, if_not_exists=True)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None:
                raise  # a mistake of the program, such as the use of a closed index
            code &= 0xFF  # without the details of the extended codes
            if code in _DAMAGED:
                raise DamagedIndex from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ResourceError(
                    "output-busy",
                    "The index of a cache stayed locked by another process.",
                    where=str(self._path),
                    next_step="wait for the other process, or end it",
                ) from error
            raise ResourceError(
                "output-unwritable",
                "The index of a cache could not be opened or written.",
                where=str(self._path),
                found=str(error),
                next_step="check free space and permissions of the folder, then run the same command again",
            ) from error


_DAMAGED = (
    *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
    # Another table than ours, or rows that ours cannot have.
    *(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT),
)


def _table(connection: sqlite3.Connection) -> Any:
    # Imported where it is needed: it takes seconds where pandas is installed, and readers do without.
    from sqlite_utils import Database

    return Database(connection, execute_plugins=False).table("shards")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: waits for other writers at its begin, where waiting cannot deadlock.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise


def _row_of(entry: ShardEntry) -> dict[str, Any]:
    values = {
        "name": entry.name,
        "contig": entry.block.contig,
        "block": entry.block.block,
        **entry.encoding._asdict(),
        "checks": entry.checks.astype("<u4").tobytes(),
    }
    return {name: values[name] if name in values else getattr(entry, name) for name in _COLUMNS}


def _entry_of(row: dict[str, Any]) -> ShardEntry:
    if any(type(row[name]) is not kind for name, kind in _COLUMNS.items()):
        raise BadEntry
    n = row["n_rows"]
    sizes = (n, row["d_state"], *(row[name] for name in _PLAIN if name.endswith("_offset")))
    if min(sizes) < 1 or max(sizes) > row["n_bytes"] or len(row["checks"]) != 4 * n:
        raise BadEntry
    return ShardEntry(
        name=os.path.basename(row["name"]),
        block=WindowBlock(row["contig"], row["block"]),
        encoding=Encoding(*(row[name] for name in Encoding._fields)),
        checks=np.frombuffer(row["checks"], dtype="<u4"),
        **{name: row[name] for name in _COLUMNS if name in _PLAIN},
    )


_PLAIN = (
    *("n_rows", "d_state", "start_bp", "end_bp", "n_bytes"),
    *("hashes_offset", "centers_offset", "payload_offset", "keys_check"),
)
