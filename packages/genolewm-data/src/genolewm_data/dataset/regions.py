"""Regions that a configuration names."""

from __future__ import annotations

from pathlib import Path

from genolewm_core.genome.bed import Region, read_bed, whole_genome
from genolewm_core.genome.reference import Reference

__all__ = ["regions_of"]


def regions_of(bed: Path | None, reference: Reference) -> tuple[Region, ...]:
    """Regions of a BED, or the whole reference.

    Raises:
        InputError: `bed-invalid`.
    """
    return whole_genome(reference.contigs) if bed is None else read_bed(bed, reference.contigs)
