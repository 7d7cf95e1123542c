"""The published tables of a saturation: Parquet, and compressed, indexed text. docs/formats/saturation.md"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pysam

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import ConfigError, InternalError
from genolewm_runtime.saturate.shards import SCHEMA
from genolewm_runtime.writers.bgzf import BgzfWriter
from genolewm_runtime.writers.parquet import write_tables
from genolewm_runtime.writers.table import as_os_error

__all__ = ["Outputs", "outputs_of", "stage_tables", "write_text"]

PARQUET, TEXT = ".parquet", ".tsv.gz"
INDEXES = (".tbi", ".csi")
ROW_GROUP_ROWS = 131_072

_TBI_END = 1 << 29  # what the older kind of index can address
_MISTAKABLE = (".tsv", ".csv", ".jsonl", ".json", ".gz", ".bed", ".vcf", ".bcf", ".tbi")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files that one run writes.

    Attributes:
        name: what they have in common, a path without an ending.
        endings: `PARQUET`, `TEXT` or both.
    """

    name: Path
    endings: tuple[str, ...]

    def file(self, ending: str) -> Path:
        """The file with an ending."""
        return self.name.with_name(self.name.name + ending)

    @property
    def receipt(self) -> Path:
        """What was computed, by which model, and the account of all bases."""
        return self.file(".json")

    @property
    def tables(self) -> list[Path]:
        """The tables."""
        return [self.file(ending) for ending in self.endings]

    @property
    def all(self) -> list[Path]:
        """Every file that may be written."""
        indexes = [self.file(TEXT + ending) for ending in INDEXES] if TEXT in self.endings else []
        return [*self.tables, *indexes, self.receipt]


def outputs_of(given: Path) -> Outputs:
    """The files that `--output` means: one table by its ending, or both by a name without one.

    Raises:
        ConfigError: `output-format`.
    """
    for ending in (PARQUET, TEXT):
        if given.name.endswith(ending) and given.name != ending:
            return Outputs(given.with_name(given.name.removesuffix(ending)), (ending,))
    if given.name.lower().endswith((*_MISTAKABLE, PARQUET)) or not given.name:
        raise ConfigError(
            "output-format",
            "The output's format cannot be told from its name.",
            where="--output",
            expected=f"a name ending in {PARQUET} or {TEXT}, or one without an ending for both",
            found=f"a name ending in {given.suffix!r}" if given.suffix else "no name",
        )
    return Outputs(given, (PARQUET, TEXT))


def stage_tables(
    shards: Sequence[Path],
    outputs: Outputs,
    staging: Path,
    *,
    n_rows: int,
    metadata: Mapping[str, str],
    longest_bp: int,
) -> list[tuple[Path, Path]]:
    """Write the shards' tables, in order, as the files that are wanted.

    Args:
        shards: files of the shards.
        outputs: what to write.
        staging: folder on the same file system.
        n_rows: rows that each table must hold.
        metadata: goes into the Parquet file.
        longest_bp: length of the longest contig, which decides the kind of index.

    Returns:
        (file, final name), each index after its table.

    Raises:
        ResourceError: `output-unwritable`.
        InternalError: `rows-lost`.
    """

    def tables() -> Iterator[pl.DataFrame]:
        for path in shards:
            yield pl.read_parquet(path, glob=False)

    staged = []
    for ending in outputs.endings:
        target, final = staging / f"table{ending}", outputs.file(ending)
        with writing(final):
            if ending == PARQUET:
                found = write_tables(tables, SCHEMA, metadata, target, row_group_rows=ROW_GROUP_ROWS)
            else:
                with as_os_error(), target.open("wb") as file:
                    found = write_text(tables(), file)
        if found != n_rows:
            raise InternalError(
                "rows-lost",
                "The table would not hold every row; nothing was published.",
                where=str(final),
                expected=f"{n_rows} rows",
                found=f"{found} rows",
            )
        staged.append((target, final))
        if ending == TEXT:
            kind = INDEXES[0] if longest_bp < _TBI_END else INDEXES[1]
            index = staging / "index"
            with writing(final):
                _index(target, index, csi=kind == INDEXES[1])
            staged.append((index, outputs.file(TEXT + kind)))
    return staged


def write_text(tables: Iterator[pl.DataFrame], file: BinaryIO) -> int:
    """Write tables as tab-separated text, compressed in blocks; returns the rows."""
    out = BgzfWriter(file)
    out.write(("#" + "\t".join(SCHEMA) + "\n").encode())
    rows = 0
    for table in tables:
        out.write(table.write_csv(separator="\t", include_header=False).encode())
        rows += len(table)
    out.finish()
    return rows


def _index(table: Path, index: Path, *, csi: bool) -> None:
    pysam.set_verbosity(0)  # htslib writes its own messages to stderr; ours are enough
    with as_os_error():
        pysam.tabix_index(
            str(table),
            force=True,
            seq_col=0,
            start_col=1,
            end_col=1,
            meta_char="#",
            zerobased=False,
            index=str(index),
            csi=csi,
        )
