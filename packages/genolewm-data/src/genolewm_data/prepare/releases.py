"""What a reader of one kind of release does, and how it finds a value in INFO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from genolewm_core.errors import InputError

__all__ = ["Allele", "ReleaseReader", "Row", "mismatch", "value_of"]

Allele = tuple[str, tuple[Any, ...]]
"""One ALT as given, and the values of the columns behind `alt`."""

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

    def alleles(self, record: Sequence[str], counts: Counter[str], notes: Counter[str]) -> Sequence[Allele]:
        """The alleles of a record that are wanted; the others are counted by reason.

        Args:
            record: the columns CHROM to INFO.
            counts: reasons, one for each ALT that is not returned.
            notes: other things worth a report.
        """
        ...

    def merge(self, first: Row, second: Row) -> tuple[Row, str]:
        """One row of two with the same pos, ref and alt, and the reason under which the other is counted."""
        ...


def value_of(info: str, key: str) -> str | None:
    """The text of an INFO key; None when the record lacks it or has no value for it."""
    sign = f"{key}="
    if info.startswith(sign):
        start = len(sign)
    else:
        start = info.find(f";{sign}")
        if start < 0:
            return None
        start += len(sign) + 1
    end = info.find(";", start)
    value = info[start:] if end < 0 else info[start:end]
    return None if value in ("", ".") else value


def mismatch(name: str, release: str, what: str, *, expected: str, found: str) -> InputError:
    """The error for a file that does not have the fields of its release."""
    return InputError(
        "release-mismatch",
        f"A file {what}.",
        where=name,
        expected=expected,
        found=found,
        next_step=f"give the release file as it was published, or another --release than {release}",
    )
