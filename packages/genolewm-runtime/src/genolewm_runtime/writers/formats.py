"""The published formats by the ending of the output's name, and the table of a run in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import ConfigError, InternalError
from genolewm_runtime.writers.jsonl import write_jsonl
from genolewm_runtime.writers.parquet import write_parquet
from genolewm_runtime.writers.table import FinishedShards
from genolewm_runtime.writers.tsv import write_tsv
from genolewm_runtime.writers.vcf import INDEX_ENDINGS, write_vcf

__all__ = ["Format", "format_of", "stage_table"]


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of output is written.

    Attributes:
        ending: of the output's name.
        write: (shards, file, path for an index) -> rows written, ending of the index or "" for none.
        indexes: endings that an index of such a file may have.
        needs_order: whether the input's records must be in order.
    """

    ending: str
    write: Callable[[FinishedShards, Path, Path], tuple[int, str]]
    indexes: tuple[str, ...] = ()
    needs_order: bool = False

    def indexes_of(self, output: Path) -> list[Path]:
        """Where an index of the output may lie."""
        return [output.with_name(output.name + ending) for ending in self.indexes]


def _alone(
    write: Callable[[FinishedShards, Path], int],
) -> Callable[[FinishedShards, Path, Path], tuple[int, str]]:
    return lambda shards, file, _index: (write(shards, file), "")


_FORMATS = (
    Format(".parquet", _alone(write_parquet)),
    Format(".tsv", _alone(write_tsv)),
    Format(".jsonl", _alone(write_jsonl)),
    Format(".vcf.gz", write_vcf, INDEX_ENDINGS, needs_order=True),
)


def format_of(output: Path) -> Format:
    """The format of an output, by its ending.

    Raises:
        ConfigError: `output-format`.
    """
    for known in _FORMATS:
        if output.name.lower().endswith(known.ending):
            return known
    raise ConfigError(
        "output-format",
        "The output's format cannot be told from its name.",
        where="--output",
        expected=" or ".join(f"a name ending in {known.ending}" for known in _FORMATS),
        found=f"a name ending in {output.suffix!r}" if output.suffix else "a name without an ending",
    )


def stage_table(shards: FinishedShards, output: Path, staging: Path, n_rows: int) -> list[tuple[Path, Path]]:
    """Write finished shards, in order, as one table in the format of the output's name.

    Args:
        shards: what to write.
        output: the final name.
        staging: folder on the same file system for the files.
        n_rows: rows that the table must hold.

    Returns:
        (file, final name) of the table and, where the format has one, its index.

    Raises:
        ConfigError: `output-format`.
        InputError: `vcf-unreadable`, when the input has changed since it was scored.
        ResourceError: `output-unwritable`.
        InternalError: `rows-lost`.
    """
    table, index = staging / "table", staging / "index"
    with writing(output):
        found, index_ending = format_of(output).write(shards, table, index)
    if found != n_rows:
        raise InternalError(
            "rows-lost",
            "The table would not hold every row; nothing was published.",
            where=str(output),
            expected=f"{n_rows} rows",
            found=f"{found} rows",
        )
    staged = [(table, output)]
    if index_ending:
        staged.append((index, output.with_name(output.name + index_ending)))
    return staged
