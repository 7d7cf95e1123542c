"""What a release is made of and how: the configuration of `geno-lewm dataset build`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.dataclasses import dataclass

from genolewm_core.errors import ConfigError
from genolewm_core.scoring.sixmer import K
from genolewm_data.config import STRICT, ConfigPath
from genolewm_data.corpus.hub import CARBON_CORPUS, CARBON_CORPUS_REVISION
from genolewm_data.corpus.records import CARBON_MIX
from genolewm_data.samplers import EditSource, SourceMix, edge_margin
from genolewm_data.tuples import TupleOptions

__all__ = [
    "ClinvarShard",
    "Corpus",
    "DatasetConfig",
    "Edits",
    "GnomadShard",
    "HeldHaplotypes",
    "HeldOptions",
    "Hub",
    "Placed",
    "Shard",
    "Source",
    "Validation",
    "Variants",
    "Windows",
    "named",
]

Assembly = Literal["GRCh37", "GRCh38"]
Label = Literal["P", "LP", "VUS", "LB", "B", "OTHER"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, config=STRICT)
class Source:
    """A file or folder that a release is made of; a path alone will do.

    Attributes:
        path: where it lies.
        release: of what was published, for the card.
        licence: for the card.
    """

    path: ConfigPath
    release: str = ""
    licence: str = ""


def _or_path(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    return handler({"path": value} if isinstance(value, str) else value)


Given = Annotated[Source, WrapValidator(_or_path)]


@dataclass(frozen=True, config=STRICT)
class Placed:
    """Windows of the reference.

    Attributes:
        regions: BED that windows lie in; the whole reference without it.
        layout: `strides`, or `cells`, the windows that scoring looks at.
        stride_bp: from one window's start to the next one's, or the length of a cell.
        max_n_share: windows with a larger share of letters other than A, C, G and T are left out.
        n_windows: at most so many, the first ones of the shuffled order; all without it.
    """

    regions: ConfigPath | None = None
    layout: Literal["strides", "cells"] = "strides"
    stride_bp: Count = 8_192
    max_n_share: Share = 0.0
    n_windows: Count | None = None


@dataclass(frozen=True, config=STRICT)
class Hub:
    """A copy of the corpus on the Hub; the revision is a full commit."""

    repo: str = CARBON_CORPUS
    revision: str = CARBON_CORPUS_REVISION
    licence: str = ""


@dataclass(frozen=True, config=STRICT)
class Corpus:
    """Windows of a corpus without coordinates; see `genolewm_data.corpus`.

    Attributes:
        folder: has a folder of Parquet files for each config of the mix.
        hub: instead of a folder.
        mix: config to its share.
        slice: share of the records that are taken, by a hash.
        stride_bp, margin_bp, max_ambiguous_share: see `WindowRule`.
        n_windows: at most so many; all without it.
        at_end: `stop` when a config has no more windows, so that the mix holds, or `continue` with the others.
    """

    folder: Given | None = None
    hub: Hub | None = None
    mix: Mapping[str, Count] = field(default_factory=lambda: dict(CARBON_MIX))
    slice: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    stride_bp: Count = 8_192
    margin_bp: Annotated[int, Field(ge=0)] = 256
    max_ambiguous_share: Share = 0.0
    n_windows: Count | None = None
    at_end: Literal["stop", "continue"] = "stop"


@dataclass(frozen=True, config=STRICT)
class Windows:
    """The windows of training.

    Attributes:
        window_bp: bases of each.
        shards: files that they are divided among; about one for every 20,000 windows is a good size.
        placed, corpus: where they are from; at least one of the two.
    """

    window_bp: Count = 12_288
    shards: Annotated[int, Field(ge=1, le=10_000)] = 16
    placed: Placed | None = None
    corpus: Corpus | None = None


@dataclass(frozen=True, config=STRICT)
class Edits:
    """How the tuples of a window are drawn; see `TupleOptions`. Without a mix it is the standard one."""

    edits_per_window: Count = 8
    mix: Mapping[EditSource, Annotated[int, Field(ge=0)]] | None = None
    multi_percent: Annotated[int, Field(ge=0, le=100)] = 10
    spread_bp: Count = 1_000
    radius_tok: Annotated[int, Field(ge=0)] = 8
    haplotype_percent: Annotated[int, Field(ge=0, le=100)] = 50


@dataclass(frozen=True, config=STRICT)
class Shard:
    """A shard of variants that `geno-lewm prepare` made.

    Attributes:
        path: its variants.parquet.
        licence: for the card.
    """

    path: ConfigPath
    licence: str = ""


@dataclass(frozen=True, config=STRICT)
class GnomadShard(Shard):
    """Of gnomAD.

    Attributes:
        min_af: smallest frequency that is taken.
    """

    min_af: Share = 0.01


@dataclass(frozen=True, config=STRICT)
class ClinvarShard(Shard):
    """Of ClinVar.

    Attributes:
        labels: the ones that are taken; without it, those that its use needs.
    """

    labels: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None


@dataclass(frozen=True, config=STRICT)
class Variants:
    """Variants that training may use."""

    gnomad: GnomadShard | None = None
    clinvar: ClinvarShard | None = None


@dataclass(frozen=True, config=STRICT)
class HeldHaplotypes:
    """A phased VCF whose blocks are held out, all of them or those inside the regions of a BED."""

    path: ConfigPath
    regions: ConfigPath | None = None
    release: str = ""
    licence: str = ""


@dataclass(frozen=True, config=STRICT)
class HeldOptions:
    """What is kept away from training.

    Attributes:
        file: hold-outs that were written before; or else `chain` and `annotations` make those of this project.
        chain: UCSC chain file from GRCh37 to GRCh38.
        annotations: assembly to the GFF3 of its LRG genes.
        references: FASTAs of the other assembly, whose held-out sequence is then compared as well.
        clinvar: shard of the variants of an evaluation.
        haplotypes: the haplotypes of an evaluation.
    """

    file: Given | None = None
    chain: Given | None = None
    annotations: Mapping[Assembly, Given] | None = None
    references: Mapping[Assembly, Given] = field(default_factory=dict)
    clinvar: ClinvarShard | None = None
    haplotypes: HeldHaplotypes | None = None


@dataclass(frozen=True, config=STRICT)
class Validation:
    """Windows of what is held out.

    Attributes:
        windows_per_holdout: at most so many for each.
        holdouts: their names; `chr21`, `clinvar` and `haplotypes` where there are such, without it.
        regions: BED that the windows lie in; the whole reference without it.
    """

    windows_per_holdout: Annotated[int, Field(ge=0)] = 500
    holdouts: tuple[str, ...] | None = None
    regions: ConfigPath | None = None


@dataclass(frozen=True, config=STRICT)
class DatasetConfig:
    """A release that is wanted.

    Attributes:
        name, version: of the release.
        assembly: of the reference, and of every variant.
        reference: FASTA.
        windows, edits, variants, holdouts, validation: see their classes.
        haplotypes: phased VCF of the haplotypes that training may use.
        seed: of every order and every draw.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
    assembly: Assembly
    reference: Given
    windows: Windows
    holdouts: HeldOptions
    edits: Edits = field(default_factory=Edits)
    variants: Variants = field(default_factory=Variants)
    haplotypes: Given | None = None
    validation: Validation = field(default_factory=Validation)
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] = 0

    def check(self) -> None:
        """Refuse what no single key shows to be wrong.

        Raises:
            ConfigError: `config-invalid`.
        """
        windows, corpus, held = self.windows, self.windows.corpus, self.holdouts
        if windows.placed is None and corpus is None:
            raise _refused("windows", "placed or corpus, or both", "neither")
        if corpus is not None and (corpus.folder is None) == (corpus.hub is None):
            raise _refused("windows.corpus", "folder or hub", "neither" if corpus.hub is None else "both")
        project = held.chain is not None and held.annotations is not None
        if (held.file is None) != project or (held.file is not None and held.chain is not None):
            raise _refused("holdouts", "file, or chain and annotations", "another combination")
        if project and set(held.annotations or ()) != {"GRCh37", "GRCh38"}:
            raise _refused("holdouts.annotations", "GRCh37 and GRCh38", ", ".join(held.annotations or ()))
        if self.assembly in held.references:
            raise _refused("holdouts.references", "the other assembly", self.assembly)
        for source in ("gnomad", "clinvar"):
            given = getattr(self.variants, source) is not None
            if given and windows.placed is None:
                raise _refused(f"variants.{source}", "windows.placed, since a corpus has no variants", "none")
            if source in self.mix.sources and not given:
                raise _refused("edits.mix", f"variants.{source}, or a mix without {source}", "no such shard")
        if "haplotype" in self.mix.sources:
            raise _refused("edits.mix", "haplotype_percent, which says how many there are", "haplotype")
        # Its own checks speak of the same keys.
        least = 2 * edge_margin(self.tuple_options().radius_tok) + K
        if windows.window_bp < least or windows.window_bp % K:
            raise _refused(
                "windows.window_bp",
                f"{least - least % -K} or more, in steps of {K}, so that edits fit between the margins",
                str(windows.window_bp),
            )

    @property
    def mix(self) -> SourceMix:
        """The mix of sources of edits."""
        if self.edits.mix is None:
            return SourceMix.standard(clinvar=self.variants.clinvar is not None)
        return SourceMix(tuple(self.edits.mix.items()))

    def tuple_options(self) -> TupleOptions:
        """How tuples are built."""
        edits = self.edits
        return TupleOptions(
            seed=self.seed,
            edits_per_window=edits.edits_per_window,
            mix=self.mix,
            multi_percent=edits.multi_percent,
            spread_bp=edits.spread_bp,
            radius_tok=edits.radius_tok,
            haplotype_percent=edits.haplotype_percent,
        )


def named(value: Any) -> Any:
    """A configuration as plain values, with the names of files instead of paths; what was not given is left out."""
    if is_dataclass(value):
        pairs = ((item.name, getattr(value, item.name)) for item in fields(value))
        return {name: named(held) for name, held in pairs if held is not None}
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {str(name): named(held) for name, held in value.items()}
    if isinstance(value, tuple | list):
        return [named(held) for held in value]
    return value


def _refused(where: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        "config-invalid",
        "The configuration cannot be carried out.",
        where=where,
        expected=expected,
        found=found,
        next_step="correct the configuration",
    )
