"""Sequence that nothing is ever trained or calibrated on.

Held out: chromosome 21; BRCA1 and its surroundings; the two regions whose variants make the calibration
nulls; and one LRG disease gene in five, drawn by a hash of its name, with flanks. Each is held out on both
assemblies: the named intervals, the gene models of each assembly, and what either set lifts to on the
other one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.errors import InputError, InternalError
from genolewm_train.intervals import Interval, Intervals, intersect, union
from genolewm_train.liftover import Chain, read_chain

__all__ = [
    "FLANK_BP",
    "HELD_OUT_CHROMOSOME",
    "NAMED_INTERVALS",
    "Holdouts",
    "chromosome",
    "gene_intervals",
    "is_held_out_gene",
    "read_holdouts",
]

HELD_OUT_CHROMOSOME = "21"
FLANK_BP = 5_000
# Longer than any chromosome, so that the whole of one is an ordinary interval.
_WHOLE = (0, 1 << 30)

NAMED_INTERVALS: dict[str, Intervals] = {
    "GRCh37": {
        "chr17": [(41_000_000, 41_400_000)],
        "chr20": [(1_000_000, 2_000_000)],
        "chr21": [_WHOLE],
        "chr22": [(16_050_000, 22_000_000)],
    },
    "GRCh38": {"chr17": [(42_800_000, 43_300_000)], "chr21": [_WHOLE]},
}


def chromosome(contig: str) -> str:
    """The `chr`-prefixed name of a contig, so that `17` and `chr17` are one."""
    return contig if contig.startswith("chr") else f"chr{contig}"


def is_held_out_gene(name: str) -> bool:
    """Whether a gene is in the held-out fifth: first 8 bytes of its name's SHA-256, modulo 5, is 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 5 == 0


@dataclass(frozen=True)
class Holdouts:
    """Held-out intervals of each assembly, 0-based half-open, with `chr`-prefixed contig names.

    Attributes:
        intervals: assembly -> contig -> merged intervals.
        genes: names of the held-out genes, sorted.
    """

    intervals: dict[str, Intervals]
    genes: tuple[str, ...]

    def on(self, assembly: str, contig: str) -> list[Interval]:
        """Held-out intervals of one contig; either naming style."""
        return self.intervals[assembly].get(chromosome(contig), [])

    def check(self, assembly: str, contig: str, intervals: Iterable[Interval]) -> None:
        """Refuses intervals that touch held-out sequence.

        Raises:
            InternalError: some base is held out.
        """
        overlap = intersect(intervals, self.on(assembly, contig))
        if overlap:
            raise InternalError(
                "holdout-leak",
                "Held-out sequence was about to be trained on.",
                where=f"{assembly} {contig}:{overlap[0][0]}-{overlap[0][1]}",
                expected="no held-out base among the training intervals",
                found=f"{sum(end - start for start, end in overlap)} held-out bases",
                next_step="cut the held-out intervals out before the sequence is loaded",
            )


def gene_intervals(path: Path, *, only_held_out: bool = True) -> tuple[Intervals, tuple[str, ...]]:
    """Intervals of LRG genes with `FLANK_BP` on both sides, and their names, from a gzipped GFF3 file.

    Raises:
        InputError: the file is missing or has no gene features.
    """
    found: Intervals = {}
    names = set()
    n_genes = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("#"):
                    continue
                fields = line.rstrip("\n").split("\t")
                if fields[2] != "gene":
                    continue
                n_genes += 1
                attributes = dict(item.split("=", 1) for item in fields[8].split(";"))
                if only_held_out and not is_held_out_gene(attributes["Name"]):
                    continue
                names.add(attributes["Name"])
                span = (max(0, int(fields[3]) - 1 - FLANK_BP), int(fields[4]) + FLANK_BP)
                found.setdefault(chromosome(fields[0]), []).append(span)
    except (OSError, ValueError, IndexError, KeyError) as error:
        n_genes, problem = 0, repr(error)
    else:
        problem = "no gene features"
    if n_genes == 0:
        raise InputError(
            "training-data-missing",
            "The gene models that decide the held-out genes cannot be read.",
            where=str(path),
            expected="a gzipped GFF3 file with gene features that have a Name",
            found=problem,
            next_step="check the folder given with --data",
        )
    return union(found), tuple(sorted(names))


def read_holdouts(data: Path) -> tuple[Holdouts, Chain]:
    """Hold-outs of both assemblies, and the chain GRCh37 -> GRCh38, from a data folder.

    Raises:
        InputError: the annotation or the chain file is missing.
    """
    chain = read_chain(data / "reference" / "hg19ToHg38.over.chain.gz")
    own: dict[str, Intervals] = {}
    genes: set[str] = set()
    for assembly, named in NAMED_INTERVALS.items():
        intervals, names = gene_intervals(data / "annotation" / f"LRG_t1.{assembly}.gff3.gz")
        own[assembly] = union(named, intervals)
        genes.update(names)
    both = {
        "GRCh37": union(own["GRCh37"], chain.inverse().lift(own["GRCh38"])),
        "GRCh38": union(own["GRCh38"], chain.lift(own["GRCh37"])),
    }
    return Holdouts(both, tuple(sorted(genes))), chain
