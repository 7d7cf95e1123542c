"""What a reader of one kind of release does, and how it finds values in INFO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from genolewm_core.errors import InputError

__all__ = ["ReleaseReader", "Row", "mismatch", "values_of"]

Row = tuple[Any, ...]
"""pos, ref, alt, and the values of the columns behind."""


class ReleaseReader(Protocol):
    """How records of one release become rows. Objects are sent to workers, so they must be picklable."""

    @property
    def kind(self) -> str:
        """The folder of the release's shards: gnomad or clinvar."""
        ...

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns behind chrom, pos, ref and alt."""
        ...

    def about(self) -> dict[str, Any]:
        """What decides rows, for the shard's description."""
        ...

    def alleles(self, records: pl.DataFrame, counts: Counter[str], notes: Counter[str]) -> pl.DataFrame:
        """The alleles of records that are wanted, one a row, in order; the others are counted by reason.

        Args:
            records: columns pos (a number), id, ref, alt, filter and info (text, as given).
            counts: reasons, one for each ALT that is not returned.
            notes: other things worth a report.

        Returns:
            Columns pos, ref and alt as given, one ALT a row, and `fields`.
        """
        ...

    def merge(self, first: Row, second: Row) -> tuple[Row, str]:
        """One row of two with the same pos, ref and alt, and the reason under which the other is counted."""
        ...


def values_of(records: pl.DataFrame, keys: Mapping[str, str], longest: int = 1_024) -> pl.DataFrame:
    """The texts of INFO keys; null where a record lacks the key or has no value for it.

    Args:
        records: with the column info.
        keys: INFO key to the name of its column.
        longest: characters of a value; a longer one counts as none. Time rises with it.
    """
    # In two steps: to plan one large expression takes polars longer than to compute it for few rows.
    texts = records.select(_text_of(key, longest).alias(name) for key, name in keys.items())
    given = (pl.all() != "") & (pl.all() != ".") & (pl.all().str.len_bytes() <= longest)
    return texts.select(pl.when(given).then(pl.all()))


def _text_of(key: str, longest: int) -> pl.Expr:
    info, sign = pl.col("info"), f"{key}="
    first = pl.when(info.str.starts_with(sign)).then(pl.lit(len(sign), pl.UInt32))
    start = first.otherwise(info.str.find(f";{sign}", literal=True) + len(sign) + 1)
    # Searching for text and cutting a short piece there is several times faster than a regular expression, or
    # than cutting at the next semicolon: what lies behind a value may be many thousand characters.
    return info.str.slice(start, longest + 1).str.splitn(";", 2).struct[0]


def mismatch(
    name: str, release: str, what: str, *, expected: str, found: str, next_step: str | None = None
) -> InputError:
    """The error for a file that does not have the fields of its release."""
    return InputError(
        "release-mismatch",
        f"A file {what}.",
        where=name,
        expected=expected,
        found=found,
        next_step=next_step
        or f"give the release file as it was published, or another --release than {release}",
    )
