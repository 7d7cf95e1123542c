"""Common variants of a gnomAD release, with their frequencies in every population that its header declares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from genolewm_data.prepare.header import Header
from genolewm_data.prepare.releases import Allele, Row, mismatch, value_of

__all__ = ["MIN_AF", "RELEASES", "GnomadReader", "Release", "gnomad_reader"]

MIN_AF = 0.01
"""Smallest frequency over all populations of a common variant (RFC-0006, section 3.4)."""

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

    def alleles(self, record: Sequence[str], counts: Counter[str], notes: Counter[str]) -> Sequence[Allele]:
        """PASS alleles that are frequent enough; see `ReleaseReader`."""
        alt, filters, info = record[4], record[6], record[7]
        if filters != "PASS":
            counts["filter_missing" if filters == "." else "not_pass"] += 1 + alt.count(",")
            return ()
        text = value_of(info, self.af_key)
        if text is None:
            counts["af_missing"] += 1 + alt.count(",")
            return ()
        if "," not in alt:
            af = _frequency(text)
            if af is not None and af < self.min_af:
                counts["below_min_af"] += 1
                return ()
        alts, texts = alt.split(","), text.split(",")
        if len(texts) != len(alts):
            counts["af_malformed"] += len(alts)
            return ()
        columns = [self._population(info, name, len(alts), notes) for name in self.populations]
        kept = []
        for number, (allele, one) in enumerate(zip(alts, texts, strict=True)):
            af = _frequency(one)
            if af is None:
                counts["af_missing" if one == "." else "af_malformed"] += 1
            elif af < self.min_af:
                counts["below_min_af"] += 1
            else:
                kept.append((allele, (af, *(column[number] for column in columns), filters)))
        return kept

    def _population(self, info: str, name: str, alts: int, notes: Counter[str]) -> list[float | None]:
        text = value_of(info, f"{self.af_key}_{name}")
        if text is None:
            return [None] * alts
        values = [_frequency(one) for one in text.split(",")]
        if len(values) != alts or (None in values and "." not in text):
            notes["population_af_malformed"] += 1
            return [None] * alts
        return values

    def merge(self, first: Row, second: Row) -> tuple[Row, str]:
        """The first stays; see `ReleaseReader`."""
        return first, "duplicate"


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
            )
    return readers[0]


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


def _frequency(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0.0 <= value <= 1.0 else None


def _said(reader: GnomadReader) -> str:
    return f"{reader.af_key} with {', '.join(reader.populations)}"
