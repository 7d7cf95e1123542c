"""Classified variants of a ClinVar release, in the layouts of NCBI's files from 2012 on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from genolewm_data.prepare.header import Header
from genolewm_data.prepare.labels import read_significance, read_stars
from genolewm_data.prepare.releases import Row, mismatch, values_of

__all__ = ["ClinvarReader", "clinvar_reader"]

_REQUIRED = {"CLNSIG": "significance", "CLNREVSTAT": "review_status"}
_OPTIONAL = {"GENEINFO": "gene", "MC": "consequence"}

_LABEL, _SIGNIFICANCE, _CONFLICTING, _STARS = 3, 4, 5, 6
"""Places in a row; pos, ref and alt come first."""


@dataclass(frozen=True, slots=True)
class ClinvarReader:
    """Reads records of one layout of ClinVar's files.

    Attributes:
        by_allele: whether CLNALLE says which ALT each entry of the CLN fields is of (files up to 2017).
        lacking: optional fields that the header does not declare; their columns are empty.
    """

    by_allele: bool
    lacking: tuple[str, ...]

    kind = "clinvar"

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """See `ReleaseReader`."""
        return (
            pa.field("label", pa.string(), nullable=False),
            pa.field("significance", pa.string()),
            pa.field("conflicting", pa.bool_(), nullable=False),
            pa.field("stars", pa.int8()),
            pa.field("review_status", pa.string()),
            pa.field("gene", pa.string()),
            pa.field("consequence", pa.string()),
            pa.field("id", pa.string()),
        )

    def about(self) -> dict[str, Any]:
        """See `ReleaseReader`."""
        return {"by_allele": self.by_allele, "lacking_fields": list(self.lacking)}

    def alleles(self, records: pl.DataFrame, counts: Counter[str], notes: Counter[str]) -> pl.DataFrame:
        """Every classified allele; see `ReleaseReader`."""
        present = {key: name for key, name in _OPTIONAL.items() if key not in self.lacking}
        numbers = {"CLNALLE": "numbers"} if self.by_allele else {}
        rows = records.select(
            *("pos", "ref", "alt"),
            *values_of(records, {**_REQUIRED, **present, **numbers}),
            pl.when(pl.col("id") != ".").then("id").alias("id"),
        )
        if self.by_allele:
            rows = _of_alleles(rows, counts)
        else:
            several = rows.filter(pl.col("alt").str.contains(",", literal=True))
            if several.height:
                commas = several["alt"].str.count_matches(",", literal=True).sum()
                counts["allele_not_named"] += several.height + int(commas)
                rows = rows.filter(~pl.col("alt").str.contains(",", literal=True))
        for name, function in (("gene", _genes), ("consequence", _terms)):
            if name in rows.columns:
                rows = _mapped(rows, name, {name: pl.String}, function)
            else:
                rows = rows.with_columns(pl.lit(None, pl.String).alias(name))
        rows = _labelled(rows, notes)
        return rows.select("pos", "ref", "alt", *(field.name for field in self.fields))

    def merge(self, first: Row, second: Row) -> tuple[Row, str]:
        """Equal labels: the better reviewed stays; others: a conflict. See `ReleaseReader`."""
        if first[_LABEL] == second[_LABEL]:
            better = max(first, second, key=lambda row: -1 if row[_STARS] is None else row[_STARS])
            return better, "duplicate"
        joined = list(first)
        joined[_LABEL], joined[_CONFLICTING] = "OTHER", True
        joined[_SIGNIFICANCE] = "|".join(row[_SIGNIFICANCE] or "." for row in (first, second))
        return tuple(joined), "duplicate_conflicting"


def clinvar_reader(headers: Sequence[Header], release: str) -> ClinvarReader:
    """The reader for files of a release, by what their headers declare.

    Raises:
        InputError: `release-mismatch`, when a file declares no CLNSIG or no CLNREVSTAT, or other fields than the
            first.
    """
    readers = []
    for header in headers:
        lacking = [key for key in _REQUIRED if key not in header.info]
        if lacking:
            raise mismatch(
                header.name,
                release,
                "does not declare the fields of ClinVar",
                expected=f"INFO fields {' and '.join(_REQUIRED)}",
                found=f"no {' and no '.join(lacking)}",
                next_step="prepare a file of gnomAD with: geno-lewm prepare gnomad"
                if {"AF", "AF_joint"} & set(header.info)
                else None,
            )
        readers.append(
            ClinvarReader("CLNALLE" in header.info, tuple(k for k in _OPTIONAL if k not in header.info))
        )
        if readers[-1] != readers[0]:
            raise mismatch(
                header.name,
                release,
                "has another layout than the first",
                expected="files of one release",
                found="files with and without CLNALLE, GENEINFO or MC",
            )
    return readers[0]


def _of_alleles(rows: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """One row an ALT, of records whose CLN fields have an entry for each allele that CLNALLE names."""
    kept = []
    for row in rows.iter_rows(named=True):
        alts = row["alt"].split(",")
        numbers, entries, reviews = (
            (row[name] or "").split(",") for name in ("numbers", "significance", "review_status")
        )
        if not len(numbers) == len(entries) == len(reviews):
            counts["allele_not_named"] += len(alts)
            continue
        for number, alt in enumerate(alts, 1):
            mine = [i for i, named in enumerate(numbers) if named == str(number)]
            if not mine:
                counts["allele_not_classified"] += 1
                continue
            said, reviewed = "|".join(entries[i] for i in mine), "|".join(reviews[i] for i in mine)
            kept.append({**row, "alt": alt, "significance": said or None, "review_status": reviewed or None})
    return pl.DataFrame(kept, rows.schema)


def _labelled(rows: pl.DataFrame, notes: Counter[str]) -> pl.DataFrame:
    def significance(text: str | None) -> tuple[str, bool]:
        meant = read_significance(text or "")
        for term in meant.unknown:
            notes[f"CLNSIG {term}"] += rows.filter(pl.col("significance") == text).height
        return meant.label, meant.conflicting

    def review(text: str | None) -> tuple[int | None, bool]:
        if text is None:
            return None, False
        stars = read_stars(text)
        if stars is None:
            notes[f"CLNREVSTAT {text}"] += rows.filter(pl.col("review_status") == text).height
        return stars, "conf" in text and "no_conf" not in text

    rows = _mapped(rows, "significance", {"label": pl.String, "differ": pl.Boolean}, significance)
    rows = _mapped(rows, "review_status", {"stars": pl.Int8, "disputed": pl.Boolean}, review)
    return rows.with_columns(conflicting=pl.col("differ") | pl.col("disputed"))


def _mapped(
    rows: pl.DataFrame,
    column: str,
    columns: dict[str, type[pl.DataType]],
    function: Callable[[str | None], tuple[Any, ...]],
) -> pl.DataFrame:
    """Columns made of the texts of another by a function, which is called once for each text that there is."""
    encoded = pc.dictionary_encode(rows[column].to_arrow(), null_encoding="encode")
    made = [function(text) for text in encoded.dictionary.to_pylist()]
    places = pl.Series(
        pl.from_arrow(encoded.indices)
    )  # not through NumPy: pyarrow would import pandas for it
    return rows.with_columns(
        pl.Series(name, [values[i] for values in made], dtype=dtype).gather(places)
        for i, (name, dtype) in enumerate(columns.items())
    )


def _genes(text: str | None) -> tuple[str | None]:
    """Symbols of `SYMBOL:number|SYMBOL:number`, between bars."""
    return (None if text is None else "|".join(one.rsplit(":", 1)[0] for one in text.split("|")),)


def _terms(text: str | None) -> tuple[str | None]:
    """Words of `SO:number|term,SO:number|term`, each once, between bars."""
    return (None if text is None else "|".join(dict.fromkeys(one.split("|")[-1] for one in text.split(","))),)
