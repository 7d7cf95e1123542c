"""One transcript of a protein-coding gene, and which kind of sequence each of its bases is.

Coordinates are 0-based half-open on the contig's forward strand, whatever strand the gene is on. An `offset`
counts coding bases from the first one of the transcript, in its own direction.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from genolewm_core.genome.alleles import ContigSequence, reverse_complement

__all__ = ["SPLICE_REGION_BP", "SPLICE_SITE_BP", "Kind", "Transcript"]

SPLICE_SITE_BP = 2
"""Bases at each end of an intron that are its splice site (GT..AG in most introns)."""

SPLICE_REGION_BP = 8
"""Bases at each end of an intron that are its splice region, the splice site left out."""


class Kind(IntEnum):
    """What a base is to a transcript, from the mildest to touch to the most severe."""

    FLANK = 0
    INTRON = 1
    UTR3 = 2
    UTR5 = 3
    SPLICE_REGION = 4
    CDS = 5
    SPLICE_SITE = 6


@dataclass(frozen=True, slots=True)
class Transcript:
    """A coding transcript.

    Attributes:
        gene: name of its gene.
        name: identifier of the transcript.
        contig: the reference's name of the contig.
        reverse: whether the gene is on the reverse strand.
        exons: (start, end) in ascending order, disjoint.
        cds: (start, end, phase) in ascending order, disjoint, inside the exons; the phase is the number of
            bases, in the transcript's direction, before the first codon that begins in the stretch.
        start: first base of the first exon.
        end: one past the last base of the last exon.
        coding_bp: number of coding bases.

    Raises:
        ValueError: no exon or no coding stretch.
    """

    gene: str
    name: str
    contig: str
    reverse: bool
    exons: tuple[tuple[int, int], ...]
    cds: tuple[tuple[int, int, int], ...]
    start: int = field(init=False)
    end: int = field(init=False)
    coding_bp: int = field(init=False)
    _bounds: array[int] = field(init=False, repr=False, compare=False)
    _kinds: bytes = field(init=False, repr=False, compare=False)
    _cds_starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _before: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.exons or not self.cds:
            raise ValueError("a coding transcript has an exon and a coding stretch")
        assign = object.__setattr__
        assign(self, "start", self.exons[0][0])
        assign(self, "end", self.exons[-1][1])
        assign(self, "coding_bp", sum(end - start for start, end, _ in self.cds))
        bounds, kinds = self._map()
        assign(self, "_bounds", bounds)
        assign(self, "_kinds", kinds)
        assign(self, "_cds_starts", tuple(start for start, _, _ in self.cds))
        before, total = [], 0
        for start, end, _ in reversed(self.cds) if self.reverse else self.cds:
            before.append(total)
            total += end - start
        assign(self, "_before", tuple(reversed(before)) if self.reverse else tuple(before))

    def _map(self) -> tuple[array[int], bytes]:
        """Where the kind changes, and the kind before, between and after these places."""
        bounds: array[int] = array("i")
        kinds = bytearray([Kind.FLANK])
        at_end = None
        coding = iter((*self.cds, (self.end, self.end, 0)))
        cds_start, cds_end, _ = next(coding)
        first = self.cds[0][0]
        left, right = (Kind.UTR3, Kind.UTR5) if self.reverse else (Kind.UTR5, Kind.UTR3)

        def add(start: int, end: int, kind: Kind) -> None:
            if start < end:
                bounds.append(start)
                kinds.append(kind)

        for start, end in self.exons:
            if at_end is not None:
                for piece_start, piece_end, kind in _intron(at_end, start):
                    add(piece_start, piece_end, kind)
            place = start
            while cds_end <= end and cds_start < self.end:
                add(place, cds_start, left if cds_start <= first else right)
                add(cds_start, cds_end, Kind.CDS)
                place = cds_end
                cds_start, cds_end, _ = next(coding)
            add(place, end, left if end <= first else right)
            at_end = end
        bounds.append(self.end)
        kinds.append(Kind.FLANK)
        return bounds, bytes(kinds)

    def kind(self, place: int) -> int:
        """`Kind` of one base, 0-based."""
        return self._kinds[bisect_right(self._bounds, place)]

    def kinds(self, start: int, end: int) -> bytes:
        """The `Kind`s of the bases of [start, end), in order, repeats left out; not for an empty stretch."""
        return self._kinds[bisect_right(self._bounds, start) : bisect_left(self._bounds, end) + 1]

    def offset(self, place: int) -> int:
        """Number of coding bases before a coding base, in the transcript's direction."""
        index = bisect_right(self._cds_starts, place) - 1
        start, end, _ = self.cds[index]
        return self._before[index] + (end - 1 - place if self.reverse else place - start)

    def codon_start(self, place: int) -> int:
        """Offset at which the codon of a coding base begins; below 0 in a codon cut by the first one."""
        index = bisect_right(self._cds_starts, place) - 1
        start, end, phase = self.cds[index]
        inside = end - 1 - place if self.reverse else place - start
        return self._before[index] + inside - (inside - phase) % 3

    def codon(self, place: int) -> tuple[int, int] | None:
        """Start on the contig of the codon of a coding base, and the base's place (0 to 2) in the codon.

        None when an intron parts the codon, or when it is the last one or not whole.
        """
        index = bisect_right(self._cds_starts, place) - 1
        start, end, phase = self.cds[index]
        inside = end - 1 - place if self.reverse else place - start
        at = (inside - phase) % 3
        low = place - (2 - at if self.reverse else at)
        if low < start or low + 3 > end or self._before[index] + inside - at + 3 >= self.coding_bp:
            return None
        return low, at

    def coding_bases(self, start: int, end: int, contig: ContigSequence) -> str | None:
        """Bases of whole codons, as the transcript reads them.

        Args:
            start: offset of the first base, the beginning of a codon.
            end: one past the offset of the last base, the end of a codon.
            contig: bases of the transcript's contig.

        Returns:
            Upper-case bases, or None when the codons are not whole, or when the stretches that they lie in
            contradict each other about the frame, which happens where a gene and a reference differ.
        """
        if start < 0 or end > self.coding_bp:
            return None
        pieces = []
        for piece_start, piece_end, place in self._pieces(start, end):
            first = self.codon_start(place)
            if (first - start) % 3:
                return None
            bases = contig.fetch(piece_start, piece_end)
            pieces.append(reverse_complement(bases) if self.reverse else bases)
        return "".join(pieces)

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Stretches of the contig that make up coding offsets [start, end), each with its first base."""
        order: Sequence[int] = range(len(self.cds))
        for index in reversed(order) if self.reverse else order:
            before = self._before[index]
            cds_start, cds_end, _ = self.cds[index]
            low, high = max(start - before, 0), min(end - before, cds_end - cds_start)
            if low >= high:
                continue
            if self.reverse:
                yield cds_end - high, cds_end - low, cds_end - low - 1
            else:
                yield cds_start + low, cds_start + high, cds_start + low


def _intron(start: int, end: int) -> Iterator[tuple[int, int, Kind]]:
    """The intron [start, end) in pieces: site, region, middle, region, site; short ones lack the inner ones."""
    site_end = min(start + SPLICE_SITE_BP, end)
    site_start = max(end - SPLICE_SITE_BP, site_end)
    region_end = max(site_end, min(start + SPLICE_REGION_BP, site_start))
    region_start = max(region_end, min(end - SPLICE_REGION_BP, site_start))
    yield start, site_end, Kind.SPLICE_SITE
    yield site_end, region_end, Kind.SPLICE_REGION
    yield region_end, region_start, Kind.INTRON
    yield region_start, site_start, Kind.SPLICE_REGION
    yield site_start, end, Kind.SPLICE_SITE
