"""Common variants of a gnomAD release, with their frequencies in every population that its header declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl
import pyarrow as pa

from genolewm_data.prepare.header import Header
from genolewm_data.prepare.releases import Row, mismatch, values_of

__all__ = ["MIN_AF", "RELEASES", "GnomadReader", "Release", "gnomad_reader", "refuse_clinvar"]

MIN_AF = 0.01
"""Smallest frequency over all populations of a common variant (RFC-0006, section 3.4)."""

_AF_CHARACTERS = 256
"""Room for the frequencies of some twenty ALTs; releases have one ALT a record."""

_KNOWN = frozenset(["afr", "ami", "amr", "asj", "eas", "fin", "mid", "nfe", "oth", "remaining", "sas"])
_NO_POPULATION = frozenset(
    [
        "raw",
        "adj",
        "XX",
        "XY",
        "male",
        "female",
        "popmax",
        "grpmax",
        "joint",
        "exomes",
        "genomes",
        "non",
        "controls",
    ]
)
"""Strata, maxima and subsets; what follows one of them is no population of the whole release either."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is known of a release before a file of it is opened.

    Attributes:
        assembly: GRCh37 or GRCh38.
        populations: those that every file of it declares.
        joint: whether it has files of exomes and genomes together, whose keys begin with AF_joint.
    """

    assembly: str
    populations: frozenset[str]
    joint: bool = False


_V4 = frozenset(["afr", "amr", "asj", "eas", "fin", "mid", "nfe", "remaining", "sas"])
RELEASES = {
    "v2.1.1": Release("GRCh37", frozenset(["afr", "amr", "asj", "eas", "fin", "nfe", "oth"])),
    "v4.0": Release("GRCh38", _V4),
    "v4.1": Release("GRCh38", _V4, joint=True),
}


@dataclass(frozen=True, slots=True)
class GnomadReader:
    """Reads records of one layout of gnomAD's files.

    Attributes:
        af_key: INFO key of the frequency over all populations.
        populations: names of populations as the header has them, behind `af_key` and an underscore.
        unknown: those of them that no release known here has.
        min_af: smallest frequency that is kept.
    """

    af_key: str
    populations: tuple[str, ...]
    unknown: tuple[str, ...]
    min_af: float

    kind = "gnomad"

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """See `ReleaseReader`."""
        head = (pa.field("af", pa.float64(), nullable=False),)
        tail = (pa.field("filters", pa.string(), nullable=False),)
        return head + tuple(pa.field(f"af_{name}", pa.float32()) for name in self.populations) + tail

    def about(self) -> dict[str, Any]:
        """See `ReleaseReader`."""
        return {
            "af_key": self.af_key,
            "min_af": self.min_af,
            "populations": list(self.populations),
            "unknown_populations": list(self.unknown),
        }

    def alleles(self, records: pl.DataFrame, counts: Counter[str], notes: Counter[str]) -> pl.DataFrame:
        """PASS alleles that are frequent enough; see `ReleaseReader`."""
        # INFO of gnomAD is long: it is left aside until few rows remain.
        info = records["info"]
        passed, n, af = pl.col("filter") == "PASS", pl.col("n"), pl.col("af")
        records = records.select(
            *("pos", "ref", "alt", "filter"),
            *values_of(records, {self.af_key: "af"}, _AF_CHARACTERS),
            n=pl.col("alt").str.count_matches(",", literal=True) + 1,
            record=pl.int_range(pl.len(), dtype=pl.UInt32),
        )
        _count(
            counts,
            records,
            filter_missing=n.filter(pl.col("filter") == "."),
            not_pass=n.filter(~passed, pl.col("filter") != "."),
            af_missing=n.filter(passed, af.is_null()),
        )
        lists = records.filter(passed, af.is_not_null()).with_columns(pl.col("alt", "af").str.split(","))
        fits = af.list.len() == n
        _count(counts, lists, af_malformed=n.filter(~fits))
        one = lists.filter(fits).with_columns(k=pl.int_ranges(0, n)).explode("alt", "af", "k")
        one = one.with_columns(_frequency(af, pl.Float64), missing=af == ".")
        _count(
            counts,
            one,
            af_missing=pl.col("missing"),
            af_malformed=af.is_null() & ~pl.col("missing"),
            below_min_af=af < self.min_af,
        )
        kept = one.filter(af >= self.min_af)
        afs = self._populations(kept.with_columns(info.gather(kept["record"])), notes)
        return kept.select("pos", "ref", "alt", "af", *afs, pl.col("filter").alias("filters"))

    def _populations(self, kept: pl.DataFrame, notes: Counter[str]) -> list[pl.Series]:
        """Frequencies of alleles in every population."""
        names = [f"af_{name}" for name in self.populations]
        keys = (f"{self.af_key}_{name}" for name in self.populations)
        values = values_of(kept, dict(zip(keys, names, strict=True)), _AF_CHARACTERS)
        lists = values.with_columns(pl.all().str.split(","), kept["n"], kept["k"])
        fits = pl.col(names).list.len() == pl.col("n")
        # A list of another length is no frequency of this allele.
        other = pl.when(pl.col(names).is_not_null()).then(pl.lit(""))
        nth = pl.col(names).list.get(pl.col("k"), null_on_oob=True)
        texts = lists.select(pl.when(fits).then(nth).otherwise(other))
        afs = texts.select(_frequency(pl.all(), pl.Float32))
        said = texts.select((pl.all() != ".").sum()).row(0, named=True)
        for name, column in zip(said, afs, strict=True):
            odd = said[name] - column.count()
            if odd:
                notes[f"{name} malformed"] += odd
        return afs.get_columns()

    def merge(self, first: Row, second: Row) -> tuple[Row, str]:
        """The more frequent stays; see `ReleaseReader`."""
        return max(first, second, key=itemgetter(3)), "duplicate"


def gnomad_reader(headers: Sequence[Header], release: str, min_af: float = MIN_AF) -> GnomadReader:
    """The reader for files of a release, by what their headers declare.

    Args:
        headers: of the files; all must declare the same.
        release: a key of `RELEASES`.
        min_af: smallest frequency that is kept.

    Raises:
        InputError: `release-mismatch`, naming the fields that a file lacks.
    """
    readers = [_reader(header, release, min_af) for header in headers]
    for header, reader in zip(headers, readers, strict=True):
        if reader != readers[0]:
            raise mismatch(
                header.name,
                release,
                "declares other frequencies than the first",
                expected=_said(readers[0]),
                found=_said(reader),
                next_step="prepare the files of exomes and those of genomes apart, each with an --output of its own",
            )
    return readers[0]


def refuse_clinvar(headers: Sequence[Header], release: str) -> None:
    """Refuse files of ClinVar by that name, before they are compared with anything.

    Raises:
        InputError: `release-mismatch`.
    """
    for header in headers:
        if "CLNSIG" in header.info and not {"AF", "AF_joint"} & set(header.info):
            raise mismatch(
                header.name,
                release,
                "is of ClinVar, and not of gnomAD",
                expected=f"a file of gnomAD {release}",
                found="INFO field CLNSIG and no frequency",
                next_step="prepare it with: geno-lewm prepare clinvar",
            )


def _reader(header: Header, release: str, min_af: float) -> GnomadReader:
    wanted = RELEASES[release]
    af_key = "AF"
    if wanted.joint and "AF" not in header.info and "AF_joint" in header.info:
        af_key = "AF_joint"
    required = [af_key, *(f"{af_key}_{name}" for name in sorted(wanted.populations))]
    lacking = [key for key in required if header.info.get(key) != ("A", "Float")]
    if lacking:
        raise mismatch(
            header.name,
            release,
            f"does not declare the frequencies of gnomAD {release}",
            expected=f"INFO fields with Number=A and Type=Float: {', '.join(required)}",
            found=f"none such as {', '.join(lacking)}",
        )
    populations, unknown = _populations(header, f"{af_key}_")
    return GnomadReader(af_key, populations, unknown, min_af)


def _populations(header: Header, prefix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = {
        key.removeprefix(prefix)
        for key, form in header.info.items()
        if key.startswith(prefix) and form == ("A", "Float")
    }
    known = {name for name in names if name in _KNOWN}
    others = {name for name in names - known if name.split("_")[0] not in _KNOWN | _NO_POPULATION}
    # A stratum of an unknown population, such as xyz_XX beside xyz, is no population.
    unknown = {name for name in others if not any(name.startswith(f"{other}_") for other in others)}
    return tuple(sorted(known) + sorted(unknown)), tuple(sorted(unknown))


def _count(counts: Counter[str], rows: pl.DataFrame, **reasons: pl.Expr) -> None:
    """Add sums over rows to counts."""
    for reason, n in (
        rows.select(**{reason: value.sum() for reason, value in reasons.items()}).row(0, named=True).items()
    ):
        counts[reason] += n


def _frequency(text: pl.Expr, dtype: type[pl.DataType]) -> pl.Expr:
    value = text.cast(dtype, strict=False)
    return pl.when(value.is_between(0.0, 1.0)).then(value)


def _said(reader: GnomadReader) -> str:
    return f"{reader.af_key} with {', '.join(reader.populations)}"
