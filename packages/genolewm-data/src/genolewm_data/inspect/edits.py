"""What the tuples of some windows of training hold: the release's own builder makes them, as epoch 0 gets them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.consequence import CONSEQUENCES
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.variant import EditType, Variant
from genolewm_data.holdouts.held import WHOLE_CONTIG
from genolewm_data.holdouts.keys import WindowBases
from genolewm_data.inspect.assembly import refuse_other_assembly
from genolewm_data.inspect.spread import Spread
from genolewm_data.release.release import SPLITS, Release
from genolewm_data.samplers import EditableWindow, WindowEdit
from genolewm_data.samplers.synthetic import MAX_EVENT_BP
from genolewm_data.tuples import TrainingTuple, WindowRef

if TYPE_CHECKING:
    from genolewm_core.genome.reference import Contig

__all__ = [
    "AROUND_BP",
    "N_GC",
    "N_PLACES",
    "OUTSIDE",
    "SUBSTITUTIONS",
    "EditFacts",
    "gather_edits",
    "geometric_law",
    "substitution",
]

AROUND_BP = 50
"""Bases on either side of a locus that are its surroundings."""

N_GC = 20
"""Parts of 0 to 1 that windows are counted by for their GC content."""

N_PLACES = 24
"""Parts of a window that places of edits are counted by."""

SUBSTITUTIONS = ("C>A", "C>G", "C>T", "T>A", "T>C", "T>G")
"""Either strand: G>T counts as C>A. C>T and T>C are the transitions."""

OUTSIDE = "outside"
"""Consequence of an edit that is farther than the flank from all genes."""

_PURINES = str.maketrans("ACGT", "TGCA")
_TABLES = ("gnomad", "clinvar")


@dataclass(frozen=True)
class EditFacts:
    """Counts over the tuples of some windows. Sources are those of the edits.

    Attributes:
        n_windows, n_tuples, n_edits: how many there are.
        tally: what the builder counted, see `WindowTuples`.
        placed_tally: the same, of windows with a place alone.
        drawn: source to edits.
        types: source to kind of edit (SNV, INS, DEL, MNV, INDEL) to edits.
        lengths: source to bases gained (above 0) or lost (below 0) to insertions and deletions.
        tuples_by_k: number of edits of a tuple to tuples.
        haplotypes_by_k: the same, of the tuples that are a haplotype block.
        span_bp: bases from the first locus of a tuple of several edits to the end of its last.
        places: `synthetic` or `table` to loci of tuples of one edit, by part of the window; `N_PLACES` counts.
        places_expected: of the synthetic ones, if every place where an edit may lie had the same chance.
        margin_bp: bases that an edit keeps from the ends of its window and from bases that are not known.
        nearest_bp: the fewest bases that one kept from an end; None without edits.
        gc_windows: origin to the GC content of windows, a share.
        gc_bins: origin to windows by GC content, `N_GC` counts from 0 to 1.
        gc_around: source to the GC content of the surroundings of edits.
        substitutions: source to one of `SUBSTITUTIONS` to SNVs.
        drawn_variants: `gnomad` or `clinvar` to the variants drawn and how often.
        consequences: source to consequence to placed edits; None without an annotation.
    """

    n_windows: int
    n_tuples: int
    n_edits: int
    tally: Mapping[str, int]
    placed_tally: Mapping[str, int]
    drawn: Mapping[str, int]
    types: Mapping[str, Mapping[str, int]]
    lengths: Mapping[str, Mapping[int, int]]
    tuples_by_k: Mapping[int, int]
    haplotypes_by_k: Mapping[int, int]
    span_bp: Spread | None
    places: Mapping[str, Sequence[int]]
    places_expected: Sequence[float]
    margin_bp: int
    nearest_bp: int | None
    gc_windows: Mapping[str, Spread]
    gc_bins: Mapping[str, Sequence[int]]
    gc_around: Mapping[str, Spread]
    substitutions: Mapping[str, Mapping[str, int]]
    drawn_variants: Mapping[str, Mapping[Variant, int]]
    consequences: Mapping[str, Mapping[str, int]] | None


def gather_edits(
    release: Release, numbers: Sequence[int], *, annotation: Path | None, contigs: Collection[str]
) -> EditFacts:
    """Build the tuples of some windows of training and count.

    Args:
        release: see `Release`.
        numbers: of the windows, ascending; of epoch 0 they are the windows' numbers in the stream too.
        annotation: GFF3 of the release's assembly, to name consequences by.
        contigs: those that windows with a place lie on.

    Raises:
        InputError: `dataset-invalid`, `holdouts-invalid`, `training-data-missing` or `annotation-unreadable`.
        ConfigError: `config-invalid`, when the mix names a table that the release does not have.
    """
    genes = None
    if annotation is not None and contigs:
        # A release does not know where its contigs end, and so not by their lengths which assembly they are of.
        table = ContigTable(dict.fromkeys(contigs, WHOLE_CONTIG[1]))
        table.assembly = release.manifest.assembly
        genes = Annotation.read(annotation, table)
        tables = (release.windows(split) for split in SPLITS)
        refuse_other_assembly(annotation, genes.transcripts, tables, release.manifest.assembly)
    builder = release.builder()
    counts = _Counts(genes)
    windows = release.windows("train")
    for number in numbers:
        stored = windows[number]
        window = EditableWindow.of(stored, builder.margin_bp)
        ref = WindowRef.of(stored)
        counts.gc_windows[getattr(stored, "config", "placed")].append(_gc(window.text))
        built = builder.build_in(window, ref, number)
        counts.tally.update(built.tally)
        if window.contig is not None:
            counts.placed_tally.update(built.tally)
        for sample in built.tuples:
            counts.add(window, sample)
        counts.expect(window, built.tuples)
    return counts.facts(len(numbers), builder.margin_bp, annotated=annotation is not None)


def geometric_law(n: float) -> list[float]:
    """Synthetic insertions or deletions of 1, 2, ... bases that are expected among `n` of them."""
    total = 1 - 0.5**MAX_EVENT_BP
    return [n * 0.5**length / total for length in range(1, MAX_EVENT_BP + 1)]


def substitution(ref: str, alt: str) -> str:
    """One of `SUBSTITUTIONS`, of the strand whose base is a pyrimidine."""
    return f"{ref}>{alt}" if ref in "CT" else f"{ref}>{alt}".translate(_PURINES)


@dataclass(slots=True)
class _Counts:
    genes: Annotation | None
    n_tuples: int = 0
    tally: Counter[str] = field(default_factory=Counter)
    placed_tally: Counter[str] = field(default_factory=Counter)
    types: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lengths: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    by_k: Counter[int] = field(default_factory=Counter)
    haplotypes_by_k: Counter[int] = field(default_factory=Counter)
    spans: list[float] = field(default_factory=list)
    places: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    expected: np.ndarray[tuple[int], np.dtype[np.float64]] = field(default_factory=lambda: np.zeros(N_PLACES))
    nearest: int | None = None
    gc_windows: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    gc_around: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    substitutions: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    variants: defaultdict[str, Counter[Variant]] = field(default_factory=lambda: defaultdict(Counter))
    consequences: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _shares: dict[tuple[int, object], np.ndarray[tuple[int], np.dtype[np.float64]]] = field(
        default_factory=dict
    )

    def add(self, window: EditableWindow, sample: TrainingTuple) -> None:
        self.n_tuples += 1
        k = len(sample.edits)
        self.by_k[k] += 1
        if set(sample.sources) == {"haplotype"}:
            self.haplotypes_by_k[k] += 1
        if k == 1:
            (edit,) = sample.edits
            self.places[_made(edit)][edit.change.start * N_PLACES // window.length] += 1
        else:
            self.spans.append(max(edit.change.end for edit in sample.edits) - sample.edits[0].change.start)
        for edit in sample.edits:
            self._edit(window, edit)

    def expect(self, window: EditableWindow, samples: Sequence[TrainingTuple]) -> None:
        """Spread a window's synthetic single edits evenly over where they may lie."""
        n = sum(len(sample.edits) == 1 and _made(sample.edits[0]) == "synthetic" for sample in samples)
        if n:
            self.expected += n * self._share(window)

    def _share(self, window: EditableWindow) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        key = (window.length, window.rooms)
        if key not in self._shares:
            edges = np.arange(N_PLACES + 1) * window.length / N_PLACES
            inside = np.zeros(N_PLACES)
            for low, high in window.rooms:
                inside += np.maximum(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0)
            self._shares[key] = inside / inside.sum()
        return self._shares[key]

    def _edit(self, window: EditableWindow, edit: WindowEdit) -> None:
        source, rel, change = edit.source, edit.rel, edit.change
        self.types[source][EditType(rel.edit_type).name] += 1
        if change.net:
            self.lengths[source][change.net] += 1
        if rel.edit_type == EditType.SNV:
            self.substitutions[source][substitution(rel.ref_bases, rel.alt_bases)] += 1
        last = max(rel.rel_pos + len(rel.ref_bases), change.end, change.start + 1)
        kept = min(rel.rel_pos, window.length - last)
        self.nearest = kept if self.nearest is None else min(self.nearest, kept)
        around = window.text[max(0, change.start - AROUND_BP) : change.start + AROUND_BP + 1]
        self.gc_around[source].append(_gc(around))
        if window.contig is None:
            return
        variant = Variant(window.contig, window.start + rel.rel_pos + 1, rel.ref_bases, rel.alt_bases)
        if source in _TABLES:
            self.variants[source][variant] += 1
        if self.genes is not None:
            # Only `length` and `fetch` of a contig are used, and these it has.
            stretch = cast("Contig", WindowBases(window.contig, window.start, window.text))
            effect = self.genes.consequence(variant, stretch)
            self.consequences[source][OUTSIDE if effect is None else effect.consequence] += 1

    def facts(self, n_windows: int, margin_bp: int, *, annotated: bool) -> EditFacts:
        order = {name: rank for rank, name in enumerate((*CONSEQUENCES, OUTSIDE))}
        return EditFacts(
            n_windows=n_windows,
            n_tuples=self.n_tuples,
            n_edits=sum(k * n for k, n in self.by_k.items()),
            tally=dict(sorted(self.tally.items())),
            placed_tally=dict(sorted(self.placed_tally.items())),
            drawn={source: kinds.total() for source, kinds in sorted(self.types.items())},
            types=_sorted(self.types),
            lengths=_sorted(self.lengths),
            tuples_by_k=dict(sorted(self.by_k.items())),
            haplotypes_by_k=dict(sorted(self.haplotypes_by_k.items())),
            span_bp=Spread.of(self.spans),
            places={
                made: [held[part] for part in range(N_PLACES)] for made, held in sorted(self.places.items())
            },
            places_expected=self.expected.tolist(),
            margin_bp=margin_bp,
            nearest_bp=self.nearest,
            gc_windows=_spreads(self.gc_windows),
            gc_bins={
                origin: np.histogram(held, bins=N_GC, range=(0, 1))[0].tolist()
                for origin, held in sorted(self.gc_windows.items())
            },
            gc_around=_spreads(self.gc_around),
            substitutions=_sorted(self.substitutions),
            drawn_variants={source: dict(held) for source, held in sorted(self.variants.items())},
            consequences={
                source: dict(sorted(held.items(), key=lambda item: order[item[0]]))
                for source, held in sorted(self.consequences.items())
            }
            if annotated
            else None,
        )


def _made(edit: WindowEdit) -> str:
    return "synthetic" if edit.source.startswith("synthetic") else "table"


def _gc(text: str) -> float:
    """Share of G and C among the known bases."""
    gc, at = text.count("G") + text.count("C"), text.count("A") + text.count("T")
    return gc / (gc + at) if gc + at else 0.0


def _sorted(counts: Mapping[str, Counter[Any]]) -> dict[str, dict[Any, int]]:
    return {source: dict(sorted(held.items())) for source, held in sorted(counts.items())}


def _spreads(values: Mapping[str, list[float]]) -> dict[str, Spread]:
    found = {name: Spread.of(held) for name, held in sorted(values.items())}
    return {name: spread for name, spread in found.items() if spread is not None}
