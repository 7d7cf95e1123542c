"""What is read from a data folder: references, hold-outs, and the sequence to train on."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np

from genolewm_core.errors import EvaluationError
from genolewm_core.genome.bed import Region, read_bed, whole_genome
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.sixmer import base_digits
from genolewm_data.holdouts.chain import Chain
from genolewm_data.holdouts.held import Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.rules import project_holdouts
from genolewm_train.training_sequence import Piece, Source, TrainingSequence

__all__ = [
    "SPECIES",
    "open_reference",
    "read_holdouts",
    "read_pieces",
    "read_table",
    "read_training_sequence",
    "unreadable_table",
]

# Shorter stretches hold no training window of any stage worth the bookkeeping.
MIN_PIECE_BP = 1_600

SPECIES = {"sacCer3": "sacCer3.fa.gz", "Ecoli_W": "Ecoli_W.fa.gz"}


def open_reference(data: Path, assembly: str) -> Reference:
    """The FASTA of an assembly in a data folder.

    Raises:
        InputError: `reference-unreadable`.
    """
    return Reference(data / "reference" / f"{assembly}.shared.fa.gz")


def _chain_path(data: Path) -> Path:
    return data / "reference" / "hg19ToHg38.over.chain.gz"


def read_holdouts(data: Path) -> Holdouts:
    """The project's hold-outs by the chain and the gene models of a data folder.

    Raises:
        InputError: `training-data-missing` or `annotation-unreadable`.
    """
    genes = {name: data / "annotation" / f"LRG_t1.{name}.gff3.gz" for name in ("GRCh37", "GRCh38")}
    return project_holdouts(_chain_path(data), genes)


def read_table(path: Path, column: str) -> list[dict[str, str]]:
    """Rows of a gzipped table with a header, as text.

    Args:
        path: columns are separated by tabs.
        column: one that the table must have.

    Raises:
        EvaluationError: `training-data-missing`, also for a damaged table, another one, or one without rows.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise unreadable_table(path, repr(error)) from error
    if not rows or column not in rows[0]:
        raise unreadable_table(path, f"no rows with the column {column}")
    return rows


def unreadable_table(path: Path, found: str) -> EvaluationError:
    """The error for a file of variants that is missing or damaged."""
    return EvaluationError(
        "training-data-missing",
        "A table of the data folder cannot be read.",
        where=str(path),
        expected="a gzipped file of the data folder",
        found=found,
        next_step="check the folder given with --data",
    )


def read_pieces(reference: Reference, assembly: str, region: Region) -> list[Piece]:
    """Stretches of A, C, G, T in a region, at least `MIN_PIECE_BP` long; every other character ends one.

    Raises:
        InputError: `reference-unreadable`, or `contig-unknown`.
    """
    digits = base_digits(reference.fetch(*region))
    known = np.concatenate(([False], digits >= 0, [False]))
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [
        Piece(assembly, region.contig, region.start + int(first), digits[first:last].astype(np.uint8))
        for first, last in edges.reshape(-1, 2)
        if last - first >= MIN_PIECE_BP
    ]


def _real_bases(reference: Reference) -> Intervals:
    """Listed regions of a FASTA that is N elsewhere; whole contigs where no such list lies beside it."""
    bed = reference.path.with_name(reference.path.name.replace(".fa.gz", ".regions.bed"))
    regions = read_bed(bed, reference.contigs) if bed.exists() else whole_genome(reference.contigs)
    spans: dict[str, list[tuple[int, int]]] = {}
    for region in regions:
        spans.setdefault(region.contig, []).append((region.start, region.end))
    return Intervals.of(spans)


def _human(data: Path, holdouts: Holdouts) -> list[Piece]:
    """Pieces of both assemblies; GRCh37 gives only what has no counterpart in the GRCh38 file."""
    pieces: list[Piece] = []
    seen = Intervals({})
    for assembly in ("GRCh38", "GRCh37"):
        held = holdouts.on(assembly)
        with open_reference(data, assembly) as reference:
            real = _real_bases(reference)
            wanted = real.minus(seen.union(*held.regions.values()))
            for contig in sorted(reference.contigs):
                for start, end in wanted.on(contig):
                    held.check(contig, start, end)
                    pieces.extend(read_pieces(reference, assembly, Region(contig, start, end)))
        if assembly == "GRCh38":
            seen = Chain.read(_chain_path(data)).inverse().lift(real)
    return pieces


def read_training_sequence(data: Path, *, human: float, species: float) -> tuple[TrainingSequence, Holdouts]:
    """Everything to train on: the human sequence of both assemblies, yeast and E. coli, less the hold-outs.

    Of GRCh37 only what GRCh38 does not have here, so that most genes are not seen twice.

    Args:
        data: folder with reference/, annotation/ and species/.
        human: share of the windows drawn from human sequence.
        species: share drawn from each genome of `SPECIES`.

    Raises:
        InputError: a file is missing or damaged.
        InternalError: held-out sequence slipped through.
    """
    holdouts = read_holdouts(data)
    sources = [Source("human", tuple(_human(data, holdouts)))]
    for name, file in SPECIES.items():
        with Reference(data / "species" / file) as reference:
            regions = whole_genome(reference.contigs)
            pieces = [piece for region in regions for piece in read_pieces(reference, name, region)]
        sources.append(Source(name, tuple(pieces)))
    weights = (human, *([species] * len(SPECIES)))
    total = sum(weights)
    return TrainingSequence(tuple(sources), tuple(weight / total for weight in weights)), holdouts
