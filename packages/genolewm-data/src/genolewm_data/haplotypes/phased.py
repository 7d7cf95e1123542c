"""Haplotypes of a phased VCF, window by window through its index.

What a genotype says about each copy is taken at its word and nothing is guessed: an allele whose copy is unknown is
left out and counted. A genotype of equal alleles (`1/1`) is as good as phased.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pysam

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import Replacement, trim
from genolewm_core.genome.bed import Region
from genolewm_core.genome.records import VcfRecords
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.genome.variant import V1_MAX_LEN, Variant
from genolewm_core.genome.vcf import row_of
from genolewm_data.haplotypes.calls import BLOCK_SPAN_BP, MAX_VARIANTS, Block, Call, Haplotype, blocks_of

__all__ = ["LEFT_OUT_REASONS", "PhasedVcf", "WindowHaplotypes"]

LEFT_OUT_REASONS: dict[str, str] = {
    "unphased": "The alleles differ and the genotype does not say which copy has which.",
    "missing": "The genotype is missing, in whole.",
    "half_called": "One allele of the genotype is missing.",
    "malformed": "The genotype is no genotype, or names an allele that the record does not have.",
    "other_phase_set": "The genotype is phased in another phase set than the first one of this copy in the window.",
    "overlapping": "The copy carries another allele that changes the same bases.",
    "across_window_edge": "The allele reaches over the edge of the window.",
    "allele_too_long": "An allele has more than 16 bases with its anchor, or more than 50 bases change.",
}
"""Why an allele of a copy is left out; further reasons are those of `genolewm_core.genome.vcf`."""

_TILE_BP = 100_000
_AROUND_BP = 2 * BLOCK_SPAN_BP


@dataclass(frozen=True)
class WindowHaplotypes:
    """The haplotypes of one window.

    Attributes:
        haplotypes: of the copies that carry something there, by sample and copy.
        n_copies: copies that the VCF has genotypes of, these included.
        left_out: alleles of copies that were left out, by reason.
    """

    haplotypes: tuple[Haplotype, ...]
    n_copies: int
    left_out: Mapping[str, int]


class _Genotype(NamedTuple):
    """A GT field: the allele of each copy (0 is REF, -1 is unknown), why it is unknown, and whether it is phased."""

    alleles: tuple[int, ...]
    reason: str | None
    phased_by_set: bool


class _Allele(NamedTuple):
    call: Call | None
    change: Replacement | None
    reason: str | None


class _Copy:
    """One copy while its window is read."""

    __slots__ = ("found", "left_out", "phase_set")

    def __init__(self) -> None:
        self.found: list[tuple[Replacement, Call]] = []
        self.left_out = 0
        self.phase_set: str | None = None

    def calls(self) -> tuple[Call, ...]:
        """The calls by position; of two that change one base or insert at one place the first is kept."""
        kept: list[Call] = []
        last: Replacement | None = None
        # Trimming can put the alleles of neighbouring records into another order; an insertion comes before what
        # begins at the same base, and is in nobody's way there.
        for change, call in sorted(self.found, key=lambda one: (one[0].start, one[0].end > one[0].start)):
            if last is not None:
                both_insert = last.start == last.end == change.start == change.end
                if change.start < last.end or both_insert:
                    continue
            kept.append(call)
            last = change
        return tuple(kept)


class PhasedVcf:
    """An indexed VCF with phased genotypes. Can be pickled; not to be shared by threads.

    Args:
        path: bgzip-compressed VCF with its .tbi or .csi beside it.
        reference: the assembly that it was called on.

    Raises:
        InputError: `vcf-unreadable`, when it is no such file, cut short, or without samples; `release-mismatch`,
            when its header names another assembly than the reference's.
    """

    def __init__(self, path: str | os.PathLike[str], reference: Reference) -> None:
        self.path = Path(path)
        self.reference = reference
        with VcfRecords(self.path) as records:
            lengths = records.contig_lengths
            _check_assembly(self.path, records.stated_assemblies, reference.contigs.assembly)
        try:
            self._tabix = pysam.TabixFile(str(self.path))
            header = list(self._tabix.header)
        except (OSError, ValueError) as error:
            raise self._error(
                "could not be opened with its index", type(error).__name__, "index it with: tabix -p vcf FILE"
            ) from None
        self.samples = tuple(header[-1].split("\t")[9:]) if header else ()
        if not self.samples:
            raise self._error("has no samples", "no column after FORMAT", "name a VCF with phased genotypes")
        self._names = {
            name: given
            for given in self._tabix.contigs
            if (name := reference.contigs.resolve(given, lengths.get(given))) is not None
        }
        self._genotypes: dict[str, _Genotype] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return (PhasedVcf, (self.path, self.reference))

    def __enter__(self) -> PhasedVcf:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._tabix.close()

    @property
    def contigs(self) -> frozenset[str]:
        """Contigs that it has records of, as the reference spells them."""
        return frozenset(self._names)

    def read(self, region: Region) -> WindowHaplotypes:
        """The haplotypes of one window.

        Args:
            region: the window; its contig as the reference spells it. A contig that the VCF lacks has no haplotypes.

        Raises:
            InputError: `vcf-unreadable`, when the file is damaged or a record is malformed; `contig-unknown`.
        """
        contig = self.reference.contig(region.contig)
        copies: dict[tuple[int, int], _Copy] = {}
        left_out: Counter[str] = Counter()
        ploidy = [0] * len(self.samples)
        for line in self._lines(region):
            self._record(line, region, contig, copies, ploidy, left_out)
        found: list[Haplotype] = []
        for (sample, copy), held in sorted(copies.items()):
            calls = held.calls()
            overlapping = len(held.found) - len(calls)
            if overlapping:
                left_out["overlapping"] += overlapping
            if calls:
                name = self.samples[sample]
                found.append(Haplotype(*region, name, copy, calls, held.left_out + overlapping))
        return WindowHaplotypes(tuple(found), sum(ploidy), dict(sorted(left_out.items())))

    def blocks(self, regions: Iterable[Region], *, max_variants: int = MAX_VARIANTS) -> Counter[Block]:
        """Every block of the regions (see `blocks_of`), with the number of copies that carry it.

        Regions are read in overlapping tiles, so that no block is cut. Regions that overlap count twice.
        """
        counts: Counter[Block] = Counter()
        for region in regions:
            if region.contig not in self._names:
                continue
            for start in range(region.start, region.end, _TILE_BP):
                # A block belongs to the tile that its first call starts in; the calls around tell how far it reaches.
                tile = Region(
                    region.contig,
                    max(region.start, start - _AROUND_BP),
                    min(start + _TILE_BP + _AROUND_BP, region.end),
                )
                for haplotype in self.read(tile).haplotypes:
                    counts.update(
                        block
                        for block in blocks_of(haplotype.calls, max_variants=max_variants)
                        if start <= block.calls[0].called.start < start + _TILE_BP
                    )
        return counts

    def _lines(self, region: Region) -> Iterator[str]:
        given = self._names.get(region.contig)
        if given is None:
            return
        try:
            yield from self._tabix.fetch(given, region.start, region.end)
        except (OSError, ValueError) as error:
            raise self._error(
                "is damaged or cut short", type(error).__name__, "copy or download the file again"
            ) from None

    def _record(
        self,
        line: str,
        region: Region,
        contig: Contig,
        copies: dict[tuple[int, int], _Copy],
        ploidy: list[int],
        left_out: Counter[str],
    ) -> None:
        columns = line.split("\t")
        if len(columns) != 9 + len(self.samples) or not columns[1].isdecimal():
            raise self._error(
                "has a malformed record", f"{len(columns)} columns", "check it with: bcftools view"
            )
        fields = columns[8].split(":")
        if fields[0] != "GT":
            left_out["missing"] += len(self.samples)
            return
        phase_set_at = fields.index("PS") if "PS" in fields else None
        pos, ref = int(columns[1]), columns[3]
        alleles = [self._allele(pos, ref, alt, region, contig) for alt in columns[4].split(",")]
        for sample, text in enumerate(columns[9:]):
            # Most copies of most records carry the reference allele.
            if text == "0|0":
                ploidy[sample] = 2
                continue
            gt, _, rest = text.partition(":")
            genotype = self._genotypes.get(gt)
            if genotype is None:
                genotype = self._genotypes[gt] = _parse(gt)
            phase_set = None
            if phase_set_at is not None and genotype.phased_by_set:
                values = rest.split(":")
                phase_set = values[phase_set_at - 1] if phase_set_at <= len(values) else "."
            ploidy[sample] = max(ploidy[sample], len(genotype.alleles))
            for copy, number in enumerate(genotype.alleles):
                if number == 0:
                    continue
                held = copies.get((sample, copy))
                if held is None:
                    held = copies[sample, copy] = _Copy()
                reason = genotype.reason
                if reason is None or number > 0:
                    reason = _carry(held, alleles, number, phase_set)
                if reason is not None:
                    held.left_out += 1
                    left_out[reason] += 1

    def _allele(self, pos: int, ref: str, alt: str, region: Region, contig: Contig) -> _Allele:
        row = row_of(contig.name, pos, ref, alt, self.reference)
        change = None if row.variant is None else trim(pos - 1, ref.upper(), alt.upper())
        if row.variant is None or change is None:
            # An allele equal to REF, or one that changes nothing here, leaves nothing out.
            return _Allele(None, None, row.reason)
        if change.start >= region.end or max(change.start + 1, change.end) <= region.start:
            return _Allele(None, None, None)
        called = _anchored(change, contig)
        if max(len(called.ref), len(called.alt)) > V1_MAX_LEN:
            return _Allele(None, None, "allele_too_long")
        if called.start < region.start or called.end > region.end:
            return _Allele(None, None, "across_window_edge")
        key = row.variant
        return _Allele(Call(called if called == key else key, called), change, None)

    def _error(self, what: str, found: str, next_step: str) -> InputError:
        return InputError(
            "vcf-unreadable", f"The VCF {what}.", where=self.path.name, found=found, next_step=next_step
        )


def _check_assembly(path: Path, stated: frozenset[str], assembly: str | None) -> None:
    if assembly is not None and stated and assembly not in stated:
        raise InputError(
            "release-mismatch",
            "The VCF was called on another assembly than the reference.",
            where=path.name,
            expected=assembly,
            found=" and ".join(sorted(stated)),
            next_step="use the FASTA of the assembly that the VCF names in its header",
        )


def _carry(held: _Copy, alleles: list[_Allele], number: int, phase_set: str | None) -> str | None:
    """Give a copy an allele of a record, or say why not."""
    if number > len(alleles):
        return "malformed"
    call, change, reason = alleles[number - 1]
    if call is None or change is None:
        return reason
    if phase_set is not None:
        if held.phase_set is None:
            held.phase_set = phase_set
        elif held.phase_set != phase_set:
            return "other_phase_set"
    held.found.append((change, call))
    return None


def _parse(text: str) -> _Genotype:
    """A GT field of any ploidy; VCF 4.4's leading phase mark is allowed."""
    marks = [mark for mark in text if mark in "|/"]
    body = text[1:] if text[:1] in ("|", "/") else text
    items = body.replace("/", "|").split("|")
    if not all(item == "." or (item.isascii() and item.isdecimal()) for item in items):
        return _Genotype((-1, -1), "malformed", False)
    alleles = tuple(-1 if item == "." else int(item) for item in items)
    if all(allele < 0 for allele in alleles):
        return _Genotype(alleles, "missing", False)
    known = {allele for allele in alleles if allele >= 0}
    if len(known) == 1 and -1 not in alleles:
        return _Genotype(alleles, None, False)
    if "/" in marks:
        reason = "half_called" if -1 in alleles else "unphased"
        return _Genotype((-1,) * len(alleles), reason, False)
    return _Genotype(alleles, "half_called" if -1 in alleles else None, True)


def _anchored(change: Replacement, contig: Contig) -> Variant:
    """A trimmed change where it was called, with a base before it if one allele would be empty."""
    start, end, alt = change.start, change.end, change.alt
    if start < end and alt:
        return Variant(contig.name, start + 1, contig.fetch(start, end), alt)
    if start > 0:
        ref = contig.fetch(start - 1, end)
        return Variant(contig.name, start, ref, ref[0] + alt)
    ref = contig.fetch(0, end + 1)
    return Variant(contig.name, 1, ref, alt + ref[-1])
