"""Rows of a finished shard. What is wrong with its file is one kind of error, wherever it is read.

A shard's footer may be whole while its pages are damaged, and a file made by hand may lack columns; so an error may
come with any batch. It comes as an `InputError`, which code around that writes does not take for its own trouble.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError

__all__ = ["VARIANT", "reading_shard", "shard_batches", "shard_contigs", "shard_schema"]

VARIANT = ("chrom", "pos", "ref", "alt")
"""Columns of every shard; no row is without one of them."""

_TYPES = {
    **dict.fromkeys(("chrom", "ref", "alt", "label"), pa.string()),
    "pos": pa.int64(),
    "af": pa.float64(),
}
_BATCH = 65_536


@contextmanager
def reading_shard(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Report what cannot be read of a shard.

    Args:
        path: the shard.
        errors: further ones to report, beside those of the system and of Arrow.

    Raises:
        InputError: `training-data-missing`.
    """
    try:
        yield
    except (OSError, pa.ArrowException, *errors) as error:
        raise _unreadable(path, type(error).__name__) from None


def shard_schema(path: Path, columns: Iterable[str], optional: Iterable[str] = ()) -> pa.Schema:
    """Columns of a shard with the types that its rows are read as.

    Args:
        path: the shard.
        columns: names that must be there.
        optional: names that need not.

    Raises:
        InputError: `training-data-missing`.
    """
    with reading_shard(path):
        found = pq.read_schema(path)
    columns = tuple(columns)
    missing = [name for name in columns if name not in found.names]
    if missing:
        raise _unreadable(path, f"no column {', '.join(missing)}")
    names = (*columns, *(name for name in optional if name in found.names))
    return pa.schema([pa.field(name, _TYPES.get(name, found.field(name).type)) for name in names])


def shard_batches(path: Path, schema: pa.Schema, rows: int = _BATCH) -> Iterator[pa.RecordBatch]:
    """Rows of a shard in order.

    Args:
        path: the shard.
        schema: what to read; see `shard_schema`.
        rows: most rows of a batch.

    Raises:
        InputError: `training-data-missing`.
    """
    with reading_shard(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=schema.names):
            read = pa.record_batch([batch[field.name].cast(field.type) for field in schema], schema=schema)
            read.validate(full=True)
            if any(read[name].null_count for name in VARIANT if name in schema.names):
                raise _unreadable(path, "rows without a place or an allele")
            yield read


def shard_contigs(path: Path) -> list[str]:
    """Names of a shard's contigs in order.

    Raises:
        InputError: `training-data-missing`.
    """
    names: dict[str, None] = {}
    for batch in shard_batches(path, shard_schema(path, ("chrom",))):
        names.update(dict.fromkeys(pc.unique(batch["chrom"]).to_pylist()))
    return list(names)


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "training-data-missing",
        "The rows of a shard of variants cannot be read.",
        where=str(path),
        expected="a variants.parquet that geno-lewm prepare wrote, undamaged",
        found=found,
        next_step="copy it again, or prepare it again with: geno-lewm prepare",
    )
