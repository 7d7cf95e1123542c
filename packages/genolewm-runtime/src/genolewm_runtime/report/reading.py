"""A score table and its receipt, read from disk and checked, for the report.

Text from files is untrusted: characters that a terminal or a browser would act on (control characters, marks
that turn the direction of text) become visible escapes here, once, before anything else sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genolewm_core.errors import InputError
from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.receipt import receipt_path
from genolewm_runtime.writers.table import CALIBRATED, POLARS_ERRORS, SCHEMA

__all__ = ["ENDINGS", "Scores", "read_scores"]

_LATER = ("gene", "consequence", *CALIBRATED)
_WIDER: dict[type[pl.DataType], type[pl.DataType]] = {pl.Int32: pl.Int64, pl.Float32: pl.Float64}
_KINDS = {name: _WIDER.get(kind, kind) for name, kind in SCHEMA.items()}

COLUMNS = {name: kind for name, kind in _KINDS.items() if name not in _LATER}
LATER_COLUMNS = {name: _KINDS[name] for name in _LATER}
"""Columns that tables of earlier versions do not have."""

_STATUSES = ("scored", "skipped", "failed")
_SHARES = ("sigma_calibrated", "confidence", "ensemble")
# C0 and C1 control characters, line separators, zero-width characters and bidirectional controls.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Scores:
    """A score table.

    Attributes:
        name: of the file, without its folder.
        table: the columns of `COLUMNS` and `LATER_COLUMNS`; what the file does not have is null.
        receipt: the receipt beside the file; None when there is none.
    """

    name: str
    table: pl.DataFrame
    receipt: Mapping[str, Any] | None

    def has(self, column: str) -> bool:
        """Whether any row has a value there."""
        return self.table[column].null_count() < len(self.table)


def read_scores(path: Path) -> Scores:
    """Read a score table of `geno-lewm score`, and its receipt.

    Args:
        path: a file whose name has one of `ENDINGS`.

    Raises:
        InputError: `scores-unreadable`, `receipt-unreadable`.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise _unreadable(
            path,
            expected=f"a name ending in {', '.join(ENDINGS)}",
            found=f"a name ending in {path.suffix!r}" if path.suffix else "a name without an ending",
        )
    try:
        if not path.is_file():
            raise _unreadable(path, found="no such file" if not path.exists() else "not a file")
        found = read(path)
        missing = [name for name in COLUMNS if name not in found.columns]
        if missing:
            raise _unreadable(path, found=f"no column {', '.join(missing[:3])}")
        wanted = {**COLUMNS, **LATER_COLUMNS}
        table = found.select(
            pl.col(name).cast(kind) if name in found.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in wanted.items()
        )
    except OSError as error:
        raise _unreadable(path, found=error.strerror or type(error).__name__) from error
    except POLARS_ERRORS as error:
        # Its text may quote a line of the file.
        raise _unreadable(path, found=f"damaged or of another format ({type(error).__name__})") from None
    table = table.with_columns(
        pl.col(name).fill_nan(None) for name, kind in wanted.items() if kind is pl.Float64
    )
    _check(path, table)
    receipt = _read_receipt(path, table)
    return Scores(visible(path.name), _made_visible(table), receipt)


def visible(text: str) -> str:
    """The text with hidden characters written out, such as `\\x1b`."""
    return _HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def _made_visible(table: pl.DataFrame) -> pl.DataFrame:
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    changed = [
        pl.col(name).map_elements(visible, return_dtype=pl.String)
        for name in names
        if any(_HIDDEN.search(value) for value in table[name].drop_nulls().unique())
    ]
    return table.with_columns(changed) if changed else table


def _check(path: Path, table: pl.DataFrame) -> None:
    if not table["status"].is_in(_STATUSES).fill_null(False).all():
        raise _unreadable(path, found="a row whose status is not scored, skipped or failed")
    scored = table.filter(pl.col("status") == "scored")
    for name in ("chrom", "pos", "ref", "alt", "edit_class", "row", "allele"):
        if scored[name].null_count():
            raise _unreadable(path, found=f"a scored row without {name}")
    for name in _SHARES:
        if not table[name].drop_nulls().is_between(0, 1).all():
            raise _unreadable(path, found=f"a value of {name} that is not between 0 and 1")
    infinite = pl.any_horizontal(pl.col(name).is_infinite() for name in (*HEADS, "sigma_raw"))
    if scored.filter((pl.col("pos") < 0) | infinite).height:
        raise _unreadable(path, found="a position below 0 or an infinite score")


def _read_receipt(path: Path, table: pl.DataFrame) -> Mapping[str, Any] | None:
    source = receipt_path(path)
    try:
        receipt = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _bad_receipt(source, f"unreadable ({type(error).__name__})") from error
    if (
        not isinstance(receipt, dict)
        or not isinstance(receipt.get("rows"), dict)
        or not isinstance(receipt.get("demonstration"), bool)
    ):
        raise _bad_receipt(source, "no receipt of this program")
    counted = dict(table["status"].value_counts().iter_rows())
    if receipt["rows"] != counted:
        raise _bad_receipt(source, "other numbers of scored, skipped and failed rows than the table's")
    return receipt


def _unreadable(
    path: Path, *, found: str, expected: str = "a table written by geno-lewm score"
) -> InputError:
    return InputError(
        "scores-unreadable",
        "The score table cannot be read.",
        where=str(path),
        expected=expected,
        found=found,
        next_step="give the OUTPUT of geno-lewm score",
    )


def _bad_receipt(path: Path, found: str) -> InputError:
    return InputError(
        "receipt-unreadable",
        "The receipt beside the score table is damaged or belongs to another table.",
        where=str(path),
        expected="the receipt that was written with the table",
        found=found,
        next_step="score again; or move the receipt away, and the report says that there was none",
    )


def _parquet(path: Path) -> pl.DataFrame:
    present = pl.read_parquet_schema(path)
    wanted = [name for name in (*COLUMNS, *LATER_COLUMNS) if name in present]
    return pl.read_parquet(path, columns=wanted, glob=False)


def _require_last_line(path: Path) -> None:
    # A text table cut off in the middle of a line reads like one with missing values.
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1, 0))
        if file.read(1) != b"\n":
            raise _unreadable(path, found="a file whose last line does not end: it was cut off, or is empty")


def _tsv(path: Path) -> pl.DataFrame:
    _require_last_line(path)
    found = pl.read_csv(path, separator="\t", infer_schema=False, glob=False)
    return found.with_columns(
        # CSV readers give text; "true" casts to no Boolean.
        pl.col("low_confidence").replace_strict({"true": True, "false": False}, return_dtype=pl.Boolean)
        for name in found.columns
        if name == "low_confidence"
    )


def _jsonl(path: Path) -> pl.DataFrame:
    _require_last_line(path)
    wanted = {**COLUMNS, **LATER_COLUMNS}
    found = pl.read_ndjson(path, infer_schema_length=None)
    return found.select(name for name in wanted if name in found.columns)


_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": _parquet,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
}
ENDINGS = tuple(_READERS)
