"""Classified variants of a ClinVar release, in the layouts of NCBI's files from 2012 on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from genolewm_data.prepare.header import Header
from genolewm_data.prepare.labels import read_significance, read_stars
from genolewm_data.prepare.releases import Allele, Row, mismatch, value_of

__all__ = ["ClinvarReader", "clinvar_reader"]

_REQUIRED = ("CLNSIG", "CLNREVSTAT")
_OPTIONAL = ("GENEINFO", "MC")

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

    def alleles(self, record: Sequence[str], counts: Counter[str], notes: Counter[str]) -> Sequence[Allele]:
        """Every classified allele; see `ReleaseReader`."""
        alt, info = record[4], record[7]
        significance, review = value_of(info, "CLNSIG"), value_of(info, "CLNREVSTAT")
        shared = (
            _genes(value_of(info, "GENEINFO")),
            _terms(value_of(info, "MC")),
            record[2] if record[2] != "." else None,
        )
        if self.by_allele:
            return _of_alleles(alt.split(","), info, significance, review, shared, counts, notes)
        if "," in alt:
            counts["allele_not_named"] += 1 + alt.count(",")
            return ()
        return ((alt, _values(significance, review, shared, notes)),)

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


def _of_alleles(
    alts: list[str],
    info: str,
    significance: str | None,
    review: str | None,
    shared: tuple[str | None, ...],
    counts: Counter[str],
    notes: Counter[str],
) -> list[Allele]:
    """Rows of a record whose CLN fields have an entry for each allele that CLNALLE names."""
    numbers = (value_of(info, "CLNALLE") or "").split(",")
    entries = (significance or "").split(",")
    reviews = (review or "").split(",")
    if not len(numbers) == len(entries) == len(reviews):
        counts["allele_not_named"] += len(alts)
        return []
    kept = []
    for number, alt in enumerate(alts, 1):
        mine = [i for i, named in enumerate(numbers) if named == str(number)]
        if not mine:
            counts["allele_not_classified"] += 1
            continue
        said, reviewed = "|".join(entries[i] for i in mine), "|".join(reviews[i] for i in mine)
        kept.append((alt, _values(said or None, reviewed or None, shared, notes)))
    return kept


def _values(
    significance: str | None, review: str | None, shared: tuple[str | None, ...], notes: Counter[str]
) -> tuple[Any, ...]:
    meant = read_significance(significance or "")
    for term in meant.unknown:
        notes[f"CLNSIG {term}"] += 1
    stars = read_stars(review) if review is not None else None
    if stars is None and review is not None:
        notes[f"CLNREVSTAT {review}"] += 1
    conflicting = meant.conflicting or (review is not None and "conflicting" in review)
    return (meant.label, significance, conflicting, stars, review, *shared)


@lru_cache(maxsize=65_536)
def _genes(text: str | None) -> str | None:
    """Symbols of `SYMBOL:number|SYMBOL:number`, between bars."""
    return None if text is None else "|".join(one.rsplit(":", 1)[0] for one in text.split("|"))


@lru_cache(maxsize=65_536)
def _terms(text: str | None) -> str | None:
    """Words of `SO:number|term,SO:number|term`, each once, between bars."""
    return None if text is None else "|".join(dict.fromkeys(one.split("|")[-1] for one in text.split(",")))
