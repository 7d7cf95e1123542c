"""Which gene a change touches, and what it does there.

An annotation holds one coding transcript for each gene. The contig is cut at every place where the genes
that reach a base change, so that a look-up is one bisection, however many genes there are.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from genolewm_core.genome.alleles import trim
from genolewm_core.genome.consequence import CONSEQUENCES, Change, Effect, consequence_on
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.gff3 import read_transcripts
from genolewm_core.genome.reference import Contig
from genolewm_core.genome.transcripts import Transcript
from genolewm_core.genome.variant import Variant

__all__ = ["FLANK_BP", "Annotation"]

FLANK_BP = 5_000
"""Bases on both sides of a transcript that are its flank; beyond them a change is outside of all genes."""

_SEVERITY = {consequence: rank for rank, consequence in enumerate(CONSEQUENCES)}


class Annotation:
    """The coding genes of an assembly; may be shared by threads and pickled.

    Args:
        transcripts: one for each gene.
    """

    __slots__ = ("_cuts", "_groups", "transcripts")

    def __init__(self, transcripts: Iterable[Transcript]) -> None:
        self.transcripts = tuple(transcripts)
        by_contig: defaultdict[str, list[Transcript]] = defaultdict(list)
        for transcript in self.transcripts:
            by_contig[transcript.contig].append(transcript)
        self._cuts: dict[str, list[int]] = {}
        self._groups: dict[str, list[tuple[Transcript, ...]]] = {}
        for contig, members in by_contig.items():
            self._cuts[contig], self._groups[contig] = _cut(members)

    @classmethod
    def read(cls, path: str | os.PathLike[str], contigs: ContigTable) -> Annotation:
        """Read a GFF3; see `genolewm_core.genome.gff3.read_transcripts`.

        Args:
            path: GFF3, plain, gzip or bgzip; no index is needed.
            contigs: contigs of the reference that variants are on.

        Raises:
            InputError: `annotation-unreadable`.
        """
        return cls(read_transcripts(Path(path), contigs))

    def __repr__(self) -> str:
        return f"Annotation({len(self.transcripts)} genes on {len(self._cuts)} contigs)"

    def __reduce__(self) -> tuple[object, ...]:
        return (Annotation, (self.transcripts,))

    def consequence(self, variant: Variant, contig: Contig) -> Effect | None:
        """The most severe effect of a variant on any gene; of equals, on the nearest, then by name.

        Args:
            variant: of any spelling; REF is taken to be what the reference has. Every spelling of a change
                gives the same answer.
            contig: the variant's contig.

        Returns:
            The effect, or None when the change is farther than `FLANK_BP` from all genes, or none at all.
        """
        cuts = self._cuts.get(variant.chrom)
        if cuts is None:
            return None
        groups = self._groups[variant.chrom]
        start = variant.pos - 1
        ref, alt = variant.ref, variant.alt
        if len(ref) == 1 == len(alt) and not groups[bisect_right(cuts, start)]:
            return None
        replacement = trim(start, ref, alt)
        if replacement is None:
            return None
        change = Change.of(replacement, contig)
        first, last = bisect_right(cuts, change.start), bisect_left(cuts, change.end)
        near = groups[first]
        if last > first:
            near = tuple(dict.fromkeys(t for group in groups[first : last + 1] for t in group))
        if not near:
            return None
        if len(near) == 1:
            return Effect(near[0].gene, consequence_on(near[0], change, contig))
        found = []
        for transcript in near:
            consequence = consequence_on(transcript, change, contig)
            away = max(transcript.start - change.end, change.start - transcript.end, 0)
            found.append((_SEVERITY[consequence], away, transcript.gene, consequence))
        _, _, gene, consequence = min(found)
        return Effect(gene, consequence)


def _cut(transcripts: list[Transcript]) -> tuple[list[int], list[tuple[Transcript, ...]]]:
    """Places where the transcripts that reach a base change, and those before, between and after them."""
    events: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, transcript in enumerate(transcripts):
        events[max(transcript.start - FLANK_BP, 0)].append((1, index))
        events[transcript.end + FLANK_BP].append((0, index))
    cuts: list[int] = []
    groups: list[tuple[Transcript, ...]] = [()]
    active: set[int] = set()
    for place in sorted(events):
        for begins, index in events[place]:
            if begins:
                active.add(index)
            else:
                active.remove(index)
        cuts.append(place)
        groups.append(tuple(transcripts[index] for index in sorted(active)))
    return cuts, groups
