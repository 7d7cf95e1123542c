"""Records from Parquet files in a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_data.corpus.records import CorpusRecord, layout_of, unreadable
from genolewm_data.parts import Share

__all__ = ["ParquetSource"]

_ROWS_AT_ONCE = 256
_BUFFER_BYTES = 1 << 20


class _Unit(NamedTuple):
    file: int
    row_group: int


class ParquetSource:
    """The records of one config from the `.parquet` files below `folder / config`; a `RecordSource`.

    Units are row groups. A page or two of the file is in memory at a time, whatever the size of a row group.

    Args:
        config: a key of `CONFIGS`.
        folder: a copy of the corpus, or of a part of it.

    Raises:
        ConfigError: `config-invalid`, for a config that the corpus does not have.
        InputError: `corpus-unreadable`, when there is no file, or one is damaged or lacks a column.
    """

    def __init__(self, config: str, folder: str | os.PathLike[str]) -> None:
        layout = layout_of(config)
        self.config = config
        self._root = Path(folder) / config
        self._columns = layout.columns
        self._files = sorted(path.relative_to(self._root) for path in self._root.rglob("*.parquet"))
        if not self._files:
            raise unreadable(
                "There are no files of a config of the corpus.",
                str(self._root),
                "Parquet files",
                "none",
                "give the folder that has the configs' folders in it",
            )
        self._units: list[_Unit] = []
        digest = hashlib.sha256(config.encode())
        for number, name in enumerate(self._files):
            metadata = self._metadata(name)
            self._units += [_Unit(number, group) for group in range(metadata.num_row_groups)]
            size = (self._root / name).stat().st_size
            digest.update(
                f"\n{name.as_posix()} {size} {metadata.num_rows} {metadata.num_row_groups}".encode()
            )
        self.identity = digest.hexdigest()

    def __repr__(self) -> str:
        return f"ParquetSource({self.config!r}, {len(self._files)} files, {self.n_units} row groups)"

    @property
    def n_units(self) -> int:
        """Row groups of all files."""
        return len(self._units)

    def records(
        self, unit: int, share: Share, row: int = 0, least_bp: int = 0
    ) -> Iterator[tuple[int, CorpusRecord | int]]:
        """See `RecordSource.records`; rows before `row` are decoded and thrown away."""
        file, group = self._units[unit]
        name = self._files[file]
        try:
            # Without a buffer a whole column of a row group is read at once, which may be gigabytes.
            with pq.ParquetFile(
                self._root / name, buffer_size=_BUFFER_BYTES, pre_buffer=False, memory_map=False
            ) as parquet:
                batches = parquet.iter_batches(
                    _ROWS_AT_ONCE, row_groups=[group], columns=self._columns, use_threads=False
                )
                first = 0
                for batch in batches:
                    begin = max(row, first)
                    begin += (share.at - begin) % share.every
                    yield from self._rows(
                        batch, first, range(begin, first + batch.num_rows, share.every), least_bp
                    )
                    first += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(name, error) from None

    def _rows(
        self, batch: Any, first: int, rows: range, least_bp: int
    ) -> Iterator[tuple[int, CorpusRecord | int]]:
        columns = {name: batch.column(name) for name in self._columns}
        sizes = pc.binary_length(columns[self._columns[0]]).to_pylist()
        for at in rows:
            n_bp = sizes[at - first] or 0
            if n_bp < least_bp:
                yield at, n_bp
            else:
                values = {name: column[at - first].as_py() for name, column in columns.items()}
                yield at, CorpusRecord.of_row(self.config, values)

    def _metadata(self, name: Path) -> Any:
        try:
            with pq.ParquetFile(self._root / name) as parquet:
                schema, metadata = parquet.schema_arrow, parquet.metadata
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(name, error) from None
        lacking = [column for column in self._columns if column not in schema.names]
        if lacking:
            raise unreadable(
                "A file of the corpus lacks columns.",
                f"{self.config}/{name.as_posix()}",
                ", ".join(self._columns),
                ", ".join(schema.names)[:200],
                f"get the file again, or put it in the folder of its own config; {self.config} it is not",
            )
        return metadata

    def _damaged(self, name: Path, error: Exception) -> InputError:
        return unreadable(
            "A file of the corpus cannot be read.",
            f"{self.config}/{name.as_posix()}",
            "a whole Parquet file",
            type(error).__name__,
            "get the file again",
        )
