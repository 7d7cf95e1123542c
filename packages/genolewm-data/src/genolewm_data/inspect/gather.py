"""All that the page says about a release, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genolewm_data.inspect.edits import EditFacts, gather_edits
from genolewm_data.inspect.tables import (
    ClinvarFacts,
    Frequencies,
    HaplotypeFacts,
    clinvar,
    frequencies,
    haplotypes,
)
from genolewm_data.inspect.windows import WindowFacts, gather_windows, sample_of
from genolewm_data.release.integrity import INTEGRITY, SplitIntegrity
from genolewm_data.release.manifest import ReleaseManifest
from genolewm_data.release.release import Release, Split
from genolewm_data.tuples import TupleOptions

__all__ = ["SAMPLE", "Inspection", "inspect_release"]

SAMPLE = 2_000
"""Windows of training whose tuples are built, unless told otherwise."""


@dataclass(frozen=True)
class Inspection:
    """A release in numbers.

    Attributes:
        manifest: what it says about itself.
        options: how its tuples are built.
        windows: every window, without its bases.
        edits: tuples of some windows of training.
        frequencies: of gnomAD's variants; None where it has none.
        clinvar, haplotypes: by split, only those that have some.
        integrity: None where it has no report.
    """

    manifest: ReleaseManifest
    options: TupleOptions
    windows: WindowFacts
    edits: EditFacts
    frequencies: Frequencies | None
    clinvar: Mapping[Split, ClinvarFacts]
    haplotypes: Mapping[Split, HaplotypeFacts]
    integrity: SplitIntegrity | None


def inspect_release(
    release: Release, *, n_windows: int | None = SAMPLE, annotation: Path | None = None
) -> Inspection:
    """Look at a release; the same one gives the same values.

    Args:
        release: see `Release.open`.
        n_windows: windows of training whose tuples are built, spread over all of them; None for every one.
        annotation: GFF3 of the release's assembly, to name consequences by.

    Raises:
        InputError: `dataset-invalid`, `holdouts-invalid`, `training-data-missing` or `annotation-unreadable`.
        ConfigError: `config-invalid`, when the mix names a table that the release does not have.
    """
    windows = gather_windows(release)
    n = windows.n("train")
    report = release.folder / INTEGRITY
    edits = gather_edits(
        release,
        sample_of(n, n if n_windows is None else n_windows),
        annotation=annotation,
        contigs=[track.contig for track in windows.tracks],
    )
    return Inspection(
        manifest=release.manifest,
        options=release.options,
        windows=windows,
        edits=edits,
        frequencies=frequencies(release, edits.drawn_variants.get("gnomad", {})),
        clinvar=clinvar(release),
        haplotypes=haplotypes(release),
        integrity=SplitIntegrity.read(report) if report.is_file() else None,
    )
