"""The hold-outs of a release: regions, variants of an evaluation, haplotype blocks, and their sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_data.dataset.config import ClinvarShard, DatasetConfig, HeldHaplotypes
from genolewm_data.dataset.regions import regions_of
from genolewm_data.dataset.sources import COLUMNS, open_reference
from genolewm_data.haplotypes.phased import PhasedVcf
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import Holdouts
from genolewm_data.holdouts.keys import key_of
from genolewm_data.holdouts.kmers import MOST_HOLDOUTS, HeldSequence
from genolewm_data.holdouts.rules import project_holdouts
from genolewm_data.holdouts.sequence_file import write_held_sequence
from genolewm_data.prepare.rows import shard_batches, shard_schema
from genolewm_data.release.release import HELD_KMERS, HOLDOUTS

__all__ = ["CLINVAR", "EVALUATION", "HAPLOTYPES", "hold_out", "labelled"]

CLINVAR = "clinvar"
"""The hold-out of an evaluation's variants."""

HAPLOTYPES = "haplotypes"
"""The hold-out of an evaluation's haplotype blocks."""

EVALUATION = ("P", "LP", "B", "LB")
"""Labels of an evaluation's variants, unless told otherwise."""


def hold_out(config: DatasetConfig, reference: Reference, folder: Path, blocks: Path) -> dict[str, Any]:
    """Write the hold-outs and their k-mers into a release's folder, and the blocks of the evaluation's haplotypes.

    Returns:
        `digest` of the hold-outs, and how much is held out on the release's assembly by hold-out.

    Raises:
        InputError: of the files that decide; ConfigError: `config-invalid`, when nothing is said about the assembly.
    """
    held = config.holdouts
    holdouts = _regions(config)
    _check_number(config, holdouts)
    if held.clinvar is not None:
        keys = {key_of(v) for v in labelled(held.clinvar, EVALUATION, reference.contigs)}
        old = holdouts.on(config.assembly).variants.get(CLINVAR, frozenset())
        holdouts = holdouts.with_variants(CLINVAR, {config.assembly: keys | old})
    if held.haplotypes is not None:
        table = _blocks(held.haplotypes, reference)
        table.write(blocks)
        new = {tuple(key_of(key) for key in block.keys) for block in table.counts}
        old_blocks = holdouts.on(config.assembly).blocks.get(HAPLOTYPES, frozenset())
        holdouts = holdouts.with_blocks(HAPLOTYPES, {config.assembly: new | old_blocks})
    holdouts.write(folder / HOLDOUTS)
    sequence = HeldSequence.of(holdouts.on(config.assembly).regions, reference)
    for assembly, other in sorted(held.references.items()):
        opened = open_reference(other.path, assembly)
        sequence = sequence.join(HeldSequence.of(holdouts.on(assembly).regions, opened))
    write_held_sequence(folder / HELD_KMERS, sequence)
    here = holdouts.on(config.assembly)
    return {
        "digest": holdouts.digest,
        "regions": sorted(here.regions),
        "variants": {name: len(keys) for name, keys in sorted(here.variants.items())},
        "blocks": {name: len(keys) for name, keys in sorted(here.blocks.items())},
    }


def labelled(shard: ClinvarShard, labels: Iterable[str], contigs: ContigTable) -> Iterator[Variant]:
    """Variants of a ClinVar shard with some labels, those of the configuration if it has some."""
    wanted = pa.array(sorted(shard.labels or labels))
    for batch in shard_batches(shard.path, shard_schema(shard.path, COLUMNS["clinvar"])):
        for row in batch.filter(pc.is_in(batch["label"], value_set=wanted)).to_pylist():
            yield Variant(contigs.resolve(row["chrom"]) or row["chrom"], row["pos"], row["ref"], row["alt"])


def _regions(config: DatasetConfig) -> Holdouts:
    held = config.holdouts
    if held.file is not None:
        holdouts = Holdouts.read(held.file.path)
        holdouts.on(config.assembly)
        return holdouts
    if held.chain is None or held.annotations is None:
        raise ValueError("a configuration that was not checked")
    return project_holdouts(held.chain.path, {name: one.path for name, one in held.annotations.items()})


def _check_number(config: DatasetConfig, holdouts: Holdouts) -> None:
    assemblies = (config.assembly, *config.holdouts.references)
    names = {name for assembly in assemblies for name in holdouts.on(assembly).regions}
    if len(names) > MOST_HOLDOUTS:
        raise InputError(
            "holdouts-invalid",
            "There are more hold-outs of regions than k-mers can be labelled with.",
            where="holdouts.file",
            expected=f"at most {MOST_HOLDOUTS}",
            found=f"{len(names)}",
            next_step="put regions together under fewer names",
        )


def _blocks(held: HeldHaplotypes, reference: Reference) -> HaplotypeTable:
    with PhasedVcf(held.path, reference) as phased:
        return HaplotypeTable(phased.blocks(regions_of(held.regions, reference)))
