"""What a ClinVar release says otherwise than an earlier one: variants added, withdrawn, and of another label.

Variants are the same by chrom, pos, ref and alt, so both shards must spell alleles in one way, on one assembly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import InputError
from genolewm_data.holdouts.intervals import chromosome
from genolewm_data.prepare.rows import VARIANT, reading_shard, shard_contigs, shard_schema
from genolewm_data.prepare.shard import KEY, ShardInfo, read_shard_info

__all__ = ["CHANGES_VERSION", "Changes", "label_changes", "refuse_incomparable", "write_changes"]

CHANGES_VERSION = "1.0.0"
_SPELLING = ["pos", "ref", "alt"]
_COLUMNS = [*VARIANT, "label", "stars"]
_SCHEMA = pa.schema(
    [
        pa.field("chrom", pa.string(), nullable=False),
        pa.field("pos", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("ref", "alt", "previous", "now")),
        pa.field("previous_stars", pa.int8()),
        pa.field("stars", pa.int8()),
    ]
)


@dataclass(frozen=True, eq=False, slots=True)
class Changes:
    """An earlier and a later shard, compared.

    Attributes:
        previous: the earlier shard.
        now: the later one.
        added: variants of the later one alone.
        withdrawn: variants of the earlier one alone; ClinVar withdraws some, and others lose their spelling.
        unchanged: variants of both with one label.
        labels: earlier and later label -> how many variants of both; the most frequent first.
        rows: those variants: chrom, pos, ref, alt (as the later shard has them), previous, now (labels),
            previous_stars and stars, in the later shard's order.
    """

    previous: ShardInfo
    now: ShardInfo
    added: int
    withdrawn: int
    unchanged: int
    labels: Mapping[tuple[str, str], int]
    rows: pl.DataFrame


def label_changes(previous: Path, now: Path) -> Changes:
    """Compare a ClinVar shard with an earlier one.

    Args:
        previous: `variants.parquet` of the earlier release.
        now: that of the later one.

    Raises:
        InputError: `training-data-missing`, when a shard cannot be read; `release-mismatch`, see
            `refuse_incomparable`.
    """
    earlier, later = read_shard_info(previous), read_shard_info(now)
    refuse_incomparable(previous, earlier, later.release, later.assembly, later.spelling)
    for shard in (previous, now):
        shard_schema(shard, _COLUMNS)
    names = {_contig(name): name for name in shard_contigs(previous)}
    shared = 0
    changed = []
    for name in shard_contigs(now):  # one at a time: a whole release may be millions of rows
        old = _variants(previous, names.get(_contig(name), name)).drop("chrom")
        both = _variants(now, name).join(
            old.rename({"label": "previous", "stars": "previous_stars"}),
            on=_SPELLING,
            how="inner",
            maintain_order="left",
        )
        shared += both.height
        both = both.rename({"label": "now"}).filter(pl.col("previous") != pl.col("now"))
        changed.append(both.select(_SCHEMA.names))
    rows = pl.concat(changed) if changed else pl.DataFrame(pl.from_arrow(_SCHEMA.empty_table()))
    pairs = Counter(rows.select("previous", "now").iter_rows())
    return Changes(
        previous=earlier,
        now=later,
        added=later.rows.get("kept", 0) - shared,
        withdrawn=earlier.rows.get("kept", 0) - shared,
        unchanged=shared - rows.height,
        labels=dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0]))),
        rows=rows,
    )


def refuse_incomparable(path: Path, earlier: ShardInfo, release: str, assembly: str, spelling: str) -> None:
    """See that a shard can be compared with one of a later release.

    Args:
        path: of the earlier shard.
        earlier: what it says about itself.
        release: the later one's date.
        assembly: its assembly.
        spelling: its spelling, `left-aligned` or `trimmed`.

    Raises:
        InputError: `release-mismatch`.
    """
    if earlier.kind != "clinvar":
        raise _incomparable(path, "is no ClinVar shard", "clinvar", earlier.kind)
    if earlier.assembly != assembly:
        raise _incomparable(path, "is of another assembly", assembly, earlier.assembly)
    if earlier.spelling != spelling:
        raise _incomparable(
            path,
            "spells its alleles in another way",
            f"{spelling} alleles",
            f"{earlier.spelling} alleles",
            "prepare both releases with --reference, or both without it",
        )
    if earlier.release >= release:  # dates, year first
        raise _incomparable(
            path, "is not of an earlier release", f"a release before {release}", earlier.release
        )


def write_changes(changes: Changes, target: Path) -> None:
    """Write `Changes.rows` as Parquet, with what was compared and the counts in the file's metadata.

    Raises:
        ResourceError: `output-unwritable`.
    """
    said = {
        "kind": "clinvar-label-changes",
        "schema_version": CHANGES_VERSION,
        "assembly": changes.now.assembly,
        "spelling": changes.now.spelling,
        "previous": _said(changes.previous),
        "now": _said(changes.now),
        "added": changes.added,
        "withdrawn": changes.withdrawn,
        "unchanged": changes.unchanged,
        "labels": {f"{old} -> {new}": count for (old, new), count in changes.labels.items()},
    }
    metadata = {KEY: json.dumps(said, sort_keys=True, separators=(",", ":")).encode()}
    table = changes.rows.to_arrow().cast(_SCHEMA).replace_schema_metadata(metadata)
    with publishing(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _said(info: ShardInfo) -> dict[str, object]:
    return {"release": info.release, "sources": [asdict(source) for source in info.sources]}


def _contig(name: str) -> str:
    """One name for a contig that two references may name in two ways."""
    spelled = chromosome(name)
    return "chrM" if spelled == "chrMT" else spelled


def _variants(shard: Path, name: str) -> pl.DataFrame:
    with reading_shard(shard, pl.exceptions.PolarsError):
        return pl.scan_parquet(shard).filter(pl.col("chrom") == name).select(_COLUMNS).collect()


def _incomparable(
    path: Path, what: str, expected: str, found: str, next_step: str | None = None
) -> InputError:
    return InputError(
        "release-mismatch",
        f"A shard to compare with {what}.",
        where=str(path),
        expected=expected,
        found=found,
        next_step=next_step
        or "give --previous the variants.parquet of an earlier release, prepared in the same way",
    )
