"""A release, opened: its windows, its tables, its hold-outs, and what builds its tuples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.release.asked import options_asked
from genolewm_data.release.manifest import ReleaseManifest
from genolewm_data.release.windows import WindowTable
from genolewm_data.samplers import EditSource, TableSampler, VariantTable
from genolewm_data.tuples import TupleBuilder, TupleOptions

__all__ = ["HELD_KMERS", "HOLDOUTS", "SPLITS", "Release", "Split", "haplotype_file", "variant_file"]

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")

HOLDOUTS = "holdouts.json"
HELD_KMERS = "held_kmers.parquet"


def variant_file(split: Split, source: str) -> str:
    """Path of the variants of one source, `gnomad` or `clinvar`, inside a release."""
    return f"variants/{split}.{source}.parquet"


def haplotype_file(split: Split) -> str:
    """Path of the haplotype blocks of a split inside a release."""
    return f"haplotypes/{split}.parquet"


@dataclass(frozen=True)
class Release:
    """An opened release; make one with `open`. Can be pickled to every worker.

    Attributes:
        folder: where it lies.
        manifest: what it says about itself.
    """

    folder: Path
    manifest: ReleaseManifest

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Release:
        """Open a release; its files' sizes are compared with the manifest, their digests by `geno-lewm dataset verify`.

        Raises:
            InputError: `dataset-invalid`.
        """
        folder = Path(folder)
        manifest = ReleaseManifest.read(folder)
        for file in manifest.files:
            path = folder / file.path
            found = path.stat().st_size if path.is_file() else None
            if found != file.n_bytes:
                raise InputError(
                    "dataset-invalid",
                    "A file of the dataset release is not what the manifest says.",
                    where=str(path),
                    expected=f"{file.n_bytes:,} bytes",
                    found="no file" if found is None else f"{found:,} bytes",
                    next_step="copy the release again, then: geno-lewm dataset verify",
                )
        return cls(folder, manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Release, (self.folder, self.manifest))

    @cached_property
    def holdouts(self) -> Holdouts:
        """All that is held out, on every assembly.

        Raises:
            InputError: `holdouts-invalid`, also when they are not those of the manifest.
        """
        holdouts = Holdouts.read(self.folder / HOLDOUTS)
        if holdouts.digest != self.manifest.holdouts:
            raise InputError(
                "holdouts-invalid",
                "The hold-outs are not those that the release was made with.",
                where=str(self.folder / HOLDOUTS),
                expected=self.manifest.holdouts,
                found=holdouts.digest,
                next_step="copy the release again, then: geno-lewm dataset verify",
            )
        return holdouts

    @property
    def held_out(self) -> HeldOut:
        """What is held out on the release's assembly."""
        return self.holdouts.on(self.manifest.assembly)

    @cached_property
    def options(self) -> TupleOptions:
        """How its tuples are built unless told otherwise.

        Raises:
            InputError: `dataset-invalid`.
        """
        return options_asked(self.manifest)

    def windows(self, split: Split, *, keep_groups: int = 2) -> WindowTable:
        """The windows of a split.

        Raises:
            InputError: `dataset-invalid`.
        """
        paths = [file.path for file in self.manifest.files if file.path.startswith(f"windows/{split}")]
        return WindowTable([self.folder / path for path in sorted(paths)], keep_groups=keep_groups)

    def variants(self, split: Split, source: EditSource) -> VariantTable | None:
        """The variants of one source that a split may use; None where the release has none.

        Raises:
            InputError: `training-data-missing`.
        """
        path = self.folder / variant_file(split, source)
        if not path.is_file():
            return None
        # Who is common, and which labels count, was decided when the release was made.
        if source == "gnomad":
            return VariantTable.read_gnomad(path, min_af=0.0)
        return VariantTable.read_clinvar(path, labels=("P", "LP", "B", "LB"))

    def haplotypes(self, split: Split) -> HaplotypeTable | None:
        """The haplotype blocks that a split may use; None where the release has none.

        Raises:
            InputError: `training-data-missing`.
        """
        path = self.folder / haplotype_file(split)
        return HaplotypeTable.read(path) if path.is_file() else None

    def builder(self, options: TupleOptions | None = None) -> TupleBuilder:
        """What builds the training tuples: it knows the training variants and haplotypes, and refuses what is held out.

        Args:
            options: instead of the release's own.

        Raises:
            ConfigError: `config-invalid`, when the mix names a source that the release has no variants of.
            InputError: see `variants`, `haplotypes` and `holdouts`.
        """
        options = options or self.options
        tables: list[TableSampler] = []
        for source in options.mix.sources:
            if source not in ("gnomad", "clinvar"):
                continue
            table = self.variants("train", source)
            if table is None:
                raise ConfigError(
                    "config-invalid",
                    "The mix names variants that the release does not have.",
                    where=str(self.folder),
                    expected=f"a mix without {source}, or a release built with a shard of it",
                    found=f"mix {', '.join(options.mix.sources)}",
                )
            tables.append(TableSampler(source, table))
        return TupleBuilder(options, tables, haplotypes=self.haplotypes("train"), held_out=self.held_out)
