"""The hold-outs of this project: chromosome 21, BRCA1, the calibration regions, and one LRG gene in five.

Each is held out on both assemblies: where a table below or the gene models of an assembly say so, and where that
lifts to on the other one.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from genolewm_core.errors import InputError
from genolewm_data.holdouts.chain import Chain
from genolewm_data.holdouts.held import WHOLE_CONTIG, HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals

__all__ = ["FLANK_BP", "NAMED_REGIONS", "gene_regions", "is_held_out_gene", "project_holdouts"]

FLANK_BP = 5_000
"""Bases on both sides that are held out with a gene."""

NAMED_REGIONS: Mapping[str, Mapping[str, Intervals]] = {
    "GRCh37": {
        "chr21": Intervals({"chr21": (WHOLE_CONTIG,)}),
        "brca1": Intervals({"chr17": ((41_000_000, 41_400_000),)}),
        "calibration": Intervals({"chr20": ((1_000_000, 2_000_000),), "chr22": ((16_050_000, 22_000_000),)}),
    },
    "GRCh38": {
        "chr21": Intervals({"chr21": (WHOLE_CONTIG,)}),
        "brca1": Intervals({"chr17": ((42_800_000, 43_300_000),)}),
        "calibration": Intervals({}),
    },
}


def is_held_out_gene(name: str) -> bool:
    """Whether a gene is in the held-out fifth: first 8 bytes of its name's SHA-256, modulo 5, is 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 5 == 0


def gene_regions(path: Path) -> tuple[Intervals, tuple[str, ...]]:
    """Held-out genes of a gzipped GFF3 file, with `FLANK_BP` on both sides, and their names.

    Raises:
        InputError: `annotation-unreadable`, when the file is missing, damaged, or has no gene with a Name.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    names: set[str] = set()
    n_genes = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                fields = line.rstrip("\n").split("\t")
                if line.startswith("#") or len(fields) < 9 or fields[2] != "gene":
                    continue
                attributes = dict(item.split("=", 1) for item in fields[8].split(";") if "=" in item)
                name = unquote(attributes["Name"])
                n_genes += 1
                if is_held_out_gene(name):
                    names.add(name)
                    start = max(0, int(fields[3]) - 1 - FLANK_BP)
                    spans.setdefault(fields[0], []).append((start, int(fields[4]) + FLANK_BP))
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise _unreadable(path, type(error).__name__) from None
    if n_genes == 0:
        raise _unreadable(path, "no gene features")
    return Intervals.of(spans), tuple(sorted(names))


def project_holdouts(chain: Path, annotations: Mapping[str, Path]) -> Holdouts:
    """The regions that are held out on both assemblies; add variants and haplotype blocks to the result.

    Args:
        chain: gzipped UCSC chain file from GRCh37 to GRCh38.
        annotations: for GRCh37 and for GRCh38, a gzipped GFF3 of its LRG genes.

    Raises:
        InputError: `annotation-unreadable` or `training-data-missing`; `release-mismatch`, when the genes of one
            assembly do not lift to those of the other, so that files were swapped.
    """
    forward = Chain.read(chain)
    own: dict[str, dict[str, Intervals]] = {}
    genes: set[str] = set()
    for assembly, named in NAMED_REGIONS.items():
        regions, names = gene_regions(annotations[assembly])
        own[assembly] = {**named, "lrg_genes": regions}
        genes.update(names)
    _check_genes(forward.lift(own["GRCh37"]["lrg_genes"]), own["GRCh38"]["lrg_genes"], annotations)
    lifts = {"GRCh37": ("GRCh38", forward.inverse()), "GRCh38": ("GRCh37", forward)}
    assemblies = {
        assembly: HeldOut(
            assembly,
            {name: bases.union(lift.lift(own[other][name])) for name, bases in own[assembly].items()},
        )
        for assembly, (other, lift) in lifts.items()
    }
    files = (chain, *annotations.values())
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return Holdouts(assemblies, tuple(sorted(genes)), digests)


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "annotation-unreadable",
        "The gene models that decide the held-out genes cannot be read.",
        where=str(path),
        expected="a gzipped GFF3 file with gene features that have a Name",
        found=found,
        next_step="check the path, or fetch the file again",
    )


def _check_genes(lifted: Intervals, own: Intervals, annotations: Mapping[str, Path]) -> None:
    """Refuse files of other assemblies than they were given for: nothing else tells of which one a GFF3 is."""
    shared_bp = sum(own.overlap_bp(contig, start, end) for contig, start, end in lifted)
    least_bp = min(sum(end - start for _, start, end in genes) for genes in (lifted, own))
    if shared_bp < 0.5 * least_bp or not least_bp:
        raise InputError(
            "release-mismatch",
            "The gene models of the two assemblies do not lie at the same places.",
            where=", ".join(f"{assembly}: {path.name}" for assembly, path in annotations.items()),
            expected="genes of GRCh37 that the chain file lifts to those of GRCh38",
            found=f"{shared_bp:,} of {least_bp:,} bases in common",
            next_step="check that neither the two annotations nor the direction of the chain file were swapped",
        )
