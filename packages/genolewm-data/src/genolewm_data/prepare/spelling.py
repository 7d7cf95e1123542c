"""One spelling for each allele of a release: trimmed, and left-aligned where there is a reference."""

from __future__ import annotations

from collections import Counter

import polars as pl

from genolewm_core.genome.alleles import is_plain, to_vcf, trim
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.genome.vcf import SV_MIN_LEN, compare_ref

__all__ = ["HOLD_BP", "Speller"]

HOLD_BP = 100_000
"""How far left of its record an allele may come to lie; rows are held back until no record can move before them."""

_IUPAC = "ACGTNRYSWKMBDHV"
_BASES = frozenset("ACGT")


class Speller:
    """Spells the alleles of one contig.

    Attributes:
        chrom: the contig's name in the shard: the reference's, or the file's where there is none.
        checked: alleles whose REF was compared with called bases of the reference.
        mismatched: those that differ.
    """

    def __init__(self, chrom: str, length_bp: int | None, reference: Reference | None) -> None:
        self.checked = 0
        self.mismatched = 0
        self._contig: Contig | None = None
        self._known = reference is None
        self._length_bp = length_bp
        self.chrom = chrom
        if reference is not None:
            name = reference.contigs.resolve(chrom, length_bp)
            if name is not None:
                self._known = True
                self._contig = reference.contig(name)
                self.chrom = name

    def spell_all(self, rows: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
        """Spell the alleles of a table; those that have no spelling are counted by reason and left out.

        Args:
            rows: columns pos, ref, alt and others.
            counts: reasons.
        """
        if self._contig is not None or not self._known:
            ready, rest = rows.clear(), rows
        else:
            plain = self._spelled_already(rows)
            if plain.all():
                return rows
            ready, rest = rows.filter(plain), rows.filter(~plain)
        spelled: list[tuple[int, str, str] | None] = []
        for pos, ref, alt in rest.select("pos", "ref", "alt").iter_rows():
            outcome = self.spell(pos, ref, alt)
            if not isinstance(outcome, str) and pos - outcome[0] > HOLD_BP:
                outcome = "moved_too_far"
            if isinstance(outcome, str):
                counts[outcome] += 1
            spelled.append(None if isinstance(outcome, str) else outcome)
        rest = rest.filter(pl.Series([one is not None for one in spelled], dtype=pl.Boolean))
        kept = [one for one in spelled if one is not None]
        rest = rest.with_columns(
            pl.Series(name, [one[i] for one in kept], dtype=rest.schema[name])
            for i, name in enumerate(("pos", "ref", "alt"))
        )
        return pl.concat([ready, rest])

    def _spelled_already(self, rows: pl.DataFrame) -> pl.Series:
        """Whether a row only has one spelling without a reference, one of REF and ALT being one base."""
        lengths = pl.col("ref", "alt").str.len_bytes()
        single = (pl.min_horizontal(lengths) == 1) & (pl.max_horizontal(lengths) < SV_MIN_LEN)
        bases = pl.all_horizontal(pl.col("ref", "alt").str.strip_chars("ACGT") == "")
        plain = single & bases & (pl.col("ref") != pl.col("alt")) & (pl.col("pos") > 0)
        if self._length_bp is not None:
            plain &= pl.col("pos") - 1 + pl.col("ref").str.len_bytes() <= self._length_bp
        return rows.select(plain.alias("plain"))["plain"]

    def spell(self, pos: int, ref: str, alt: str) -> tuple[int, str, str] | str:
        """The spelling of an allele as (pos, ref, alt), or the reason why it has none.

        Args:
            pos: 1-based.
            ref: REF as given.
            alt: one ALT as given.
        """
        if not self._known:
            return "contig_not_in_reference"
        ref, alt = ref.upper(), alt.upper()
        if not is_plain(alt):
            return _no_sequence(alt)
        if self._contig is not None:
            outcome = compare_ref(self._contig, pos, ref)
            if outcome is None or outcome == "ref_mismatch":
                self.checked += 1
                self.mismatched += outcome is not None
            if outcome is not None:
                return outcome
        elif pos < 1 or (self._length_bp is not None and pos - 1 + len(ref) > self._length_bp):
            return "position_outside_contig"
        if ref in _BASES and alt in _BASES:
            return (pos, ref, alt) if ref != alt else "identity"
        if not is_plain(ref):
            return "allele_malformed" if not ref or ref.strip(_IUPAC) else "iupac_allele"
        change = trim(pos - 1, ref, alt)
        if change is None:
            return "identity"
        if max(change.ref_len, len(change.alt)) >= SV_MIN_LEN:
            return "allele_too_long"
        if self._contig is None:
            return _trimmed(pos, ref, alt)
        return to_vcf(change, self._contig)


def _trimmed(pos: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Shared bases dropped, at the ends first, but for one that an insertion or a deletion needs."""
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        pos, ref, alt = pos + 1, ref[1:], alt[1:]
    return pos, ref, alt


def _no_sequence(alt: str) -> str:
    if alt in ("", "."):
        return "no_alternate"
    if alt == "*":
        return "spanning_deletion"
    if alt.startswith("<"):
        return "symbolic_allele"
    if "[" in alt or "]" in alt or "." in (alt[0], alt[-1]):
        return "breakend"
    return "allele_malformed" if alt.strip(_IUPAC) else "iupac_allele"
