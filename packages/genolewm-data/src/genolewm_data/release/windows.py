"""Windows of a release: Parquet files with their bases, read group by group, each window by its number.

Windows of all files of a split are numbered through, from 0. A group is a row group, and is what is decoded at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus.windows import CorpusWindow

__all__ = ["GROUP_ROWS", "PLACED", "SCHEMA", "StoredWindow", "WindowTable", "write_windows"]

StoredWindow = ReferenceWindow | CorpusWindow

GROUP_ROWS = 256
"""Windows of a row group: 3 MB of bases."""

PLACED = "placed"
"""The `origin` of windows of the reference."""

SCHEMA = pa.schema(
    [
        pa.field("origin", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("holdout", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
    ]
)
"""`origin` is `placed` or a config of the corpus; `name` the contig or the record; `start` 0-based in it; `holdout`
what a window of validation is for, and "" in training; `sequence` upper-case bases."""


def write_windows(path: Path, windows: Iterable[tuple[StoredWindow, str]]) -> int:
    """Write windows, each with the hold-out that it is for or "". Equal windows give equal bytes.

    Returns:
        How many.
    """
    n = 0
    with pq.ParquetWriter(
        path, SCHEMA, compression="zstd", compression_level=3, use_dictionary=["origin", "holdout"]
    ) as file:
        for rows in _batches(windows):
            columns = zip(*(_row(window, holdout) for window, holdout in rows), strict=True)
            arrays = [
                pa.array(column, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
                for column, field in zip(columns, SCHEMA, strict=True)
            ]
            table = pa.table(arrays, names=SCHEMA.names).cast(SCHEMA)
            file.write_table(table, row_group_size=GROUP_ROWS)
            n += len(rows)
    return n


class WindowTable(Sequence[StoredWindow]):
    """The windows of one split. Can be pickled; each process opens the files for itself.

    Args:
        paths: the split's files in order.
        keep_groups: decoded groups that are kept, the most recently used ones.

    Attributes:
        group_first: number of the first window of each group, and behind them the number of all windows.

    Raises:
        InputError: `dataset-invalid`, when a file is missing, damaged or no file of windows.
    """

    def __init__(self, paths: Sequence[Path], *, keep_groups: int = 2) -> None:
        self.paths = tuple(paths)
        self._keep = keep_groups
        self._files = [_opened(path) for path in self.paths]
        sizes = []
        self._groups: list[tuple[int, int]] = []
        for number, file in enumerate(self._files):
            for group in range(file.metadata.num_row_groups):
                sizes.append(file.metadata.row_group(group).num_rows)
                self._groups.append((number, group))
        self.group_first = [0, *accumulate(sizes)]
        self._held: OrderedDict[int, _Group] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.paths, self._keep))

    def __len__(self) -> int:
        return int(self.group_first[-1])

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def __getitem__(self, number: int) -> StoredWindow:  # type: ignore[override]
        """The window of that number; a placed one has no loci."""
        group, row = self._find(number)
        origin, name, start = group.origins[row], group.names[row], group.starts[row]
        sequence = group.sequences[row].as_py()
        if origin == PLACED:
            return ReferenceWindow(name, start, start + len(sequence), sequence)
        return CorpusWindow(origin, name, start, sequence)

    def holdouts(self) -> list[str]:
        """What each window is for, by number; "" for one of training."""
        names: list[str] = []
        for file in self._files:
            names += file.read(columns=["holdout"])["holdout"].cast(pa.string()).to_pylist()
        return names

    def _find(self, number: int) -> tuple[_Group, int]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        group = bisect_right(self.group_first, number) - 1
        held = self._held.get(group)
        if held is None:
            file, at = self._groups[group]
            try:
                held = _Group.of(self._files[file].read_row_group(at))
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(self.paths[file], type(error).__name__) from None
            self._held[group] = held
            while len(self._held) > self._keep:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(group)
        return held, number - self.group_first[group]


class _Group(NamedTuple):
    """A decoded group; bases stay packed until a window is asked for."""

    origins: list[str]
    names: list[str]
    starts: list[int]
    sequences: Any

    @classmethod
    def of(cls, table: pa.Table) -> _Group:
        origins, names, starts = (table[name].to_pylist() for name in ("origin", "name", "start"))
        return cls(origins, names, starts, table["sequence"].combine_chunks())


def _row(window: StoredWindow, holdout: str) -> tuple[str, str, int, str, str]:
    if isinstance(window, ReferenceWindow):
        bases = window.sequence[: window.end - window.start]
        return PLACED, window.contig, window.start, holdout, bases.upper()
    return window.config, window.record_id, window.start, holdout, window.sequence.upper()


def _batches(windows: Iterable[tuple[StoredWindow, str]]) -> Iterator[Sequence[tuple[StoredWindow, str]]]:
    """Python 3.12 has it in itertools."""
    batch: list[tuple[StoredWindow, str]] = []
    for window in windows:
        batch.append(window)
        if len(batch) == GROUP_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _reopened(paths: Sequence[Path], keep_groups: int) -> WindowTable:
    return WindowTable(paths, keep_groups=keep_groups)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, memory_map=True)
        names = file.schema_arrow.names
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, type(error).__name__) from None
    if names != SCHEMA.names:
        raise _unreadable(path, f"columns {', '.join(names)[:80]}")
    return file


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "dataset-invalid",
        "A file of windows cannot be read.",
        where=str(path),
        expected=f"columns {', '.join(SCHEMA.names)}",
        found=found,
        next_step="check the release with: geno-lewm dataset verify",
    )
