"""A small world: a reference of three contigs, hold-outs, shards of variants, a phased VCF and a corpus."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pytest

from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.variant import Variant
from genolewm_data.config import read_config
from genolewm_data.dataset.build import build_release
from genolewm_data.dataset.config import DatasetConfig
from genolewm_data.dataset.tables import HeldRows
from genolewm_data.holdouts.held import WHOLE_CONTIG, HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.prepare.shard import KEY, ShardInfo

WINDOW_BP, STRIDE_BP = 1_200, 900
HELD_REGION = (30_000, 33_000)
LENGTHS = {"chr1": 60_000, "chr20": 20_000, "chr21": 9_000}

CONFIG = f"""
name: small
version: "1"
seed: 5
assembly: GRCh38
reference: {{path: reference.fa, release: made up, licence: CC0}}
windows:
  window_bp: {WINDOW_BP}
  shards: 3
  placed: {{stride_bp: {STRIDE_BP}}}
  corpus: {{folder: corpus, mix: {{mrna_evo2: 1, prokaryote_evo2: 1}}, at_end: continue, stride_bp: {STRIDE_BP}}}
variants:
  gnomad: {{path: gnomad.parquet}}
  clinvar: {{path: clinvar-new.parquet}}
haplotypes: phased.vcf.gz
holdouts:
  file: holdouts.json
  clinvar: {{path: clinvar-old.parquet}}
  haplotypes: {{path: phased.vcf.gz, regions: evaluated.bed}}
validation: {{windows_per_holdout: 6}}
"""


@dataclass(frozen=True)
class World:
    folder: Path
    bases: dict[str, str]
    held_variants: tuple[Variant, ...]
    records: dict[str, list[str]]

    def config(self, *overrides: str) -> DatasetConfig:
        return read_config(DatasetConfig, self.folder / "config.yaml", overrides)


def other_base(base: str) -> str:
    return {"A": "C", "C": "G", "G": "T", "T": "A"}[base]


def write_shard(
    path: Path, kind: str, release: str, rows: list[tuple], assembly="GRCh38", spelling="left-aligned"
) -> None:
    """A shard as `geno-lewm prepare` writes it, as far as a release looks at it; rows are variant and label or af."""
    value = "af" if kind == "gnomad" else "label"
    rows = sorted(rows, key=lambda row: row[0])
    columns = {
        name: [getattr(variant, name) for variant, _ in rows] for name in ("chrom", "pos", "ref", "alt")
    }
    columns[value] = [held for _, held in rows]
    if kind == "clinvar":
        columns["stars"] = pa.array([1] * len(rows), pa.int8())
    info = ShardInfo(
        kind,
        "1.0.0",
        release,
        assembly,
        (),
        "reference.fa",
        spelling,
        len(rows),
        {"kept": len(rows)},
        {},
        {},
        {},
    )
    pq.write_table(pa.table(columns).replace_schema_metadata({KEY: info.to_json()}), path)


def snv(bases: dict[str, str], chrom: str, start: int) -> Variant:
    ref = bases[chrom][start]
    return Variant(chrom, start + 1, ref, other_base(ref))


def write_vcf(path: Path, bases: dict[str, str], sites: list[tuple[str, int, str]]) -> None:
    lines = [
        "##fileformat=VCFv4.2",
        *(f"##contig=<ID={name},length={len(text)}>" for name, text in bases.items()),
    ]
    lines.append(
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", "S1", "S2"])
    )
    for chrom, start, genotypes in sites:
        variant = snv(bases, chrom, start)
        row = [chrom, variant.pos, ".", variant.ref, variant.alt, ".", "PASS", ".", "GT", *genotypes.split()]
        lines.append("\t".join(map(str, row)))
    plain = path.with_suffix("")
    plain.write_text("\n".join(lines) + "\n")
    pysam.tabix_index(str(plain), preset="vcf", force=True)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("world")
    rng = random.Random(11)
    bases = {name: "".join(rng.choices("ACGT", k=n)) for name, n in LENGTHS.items()}
    bases["chr20"] = bases["chr20"][:5_000] + "N" * 1_000 + bases["chr20"][6_000:]
    (folder / "reference.fa").write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))

    regions = {
        "chr21": Intervals.of({"chr21": [WHOLE_CONTIG]}),
        "secret": Intervals.of({"chr1": [HELD_REGION]}),
    }
    Holdouts({"GRCh38": HeldOut("GRCh38", regions)}, sources={"made": "up"}).write(folder / "holdouts.json")

    common = [
        snv(bases, chrom, at)
        for chrom in LENGTHS
        for at in range(150, LENGTHS[chrom], 331)
        if bases[chrom][at] != "N"
    ]
    write_shard(
        folder / "gnomad.parquet",
        "gnomad",
        "v4.1",
        [(v, 0.001 if i % 10 == 0 else 0.2) for i, v in enumerate(common)],
    )
    labels = ["P", "LP", "B", "LB", "VUS"]
    old = [
        (snv(bases, chrom, at), labels[i % 5])
        for chrom in ("chr1", "chr20")
        for i, at in enumerate(range(400, 4_800, 97))
    ]
    # The first gnomAD variants are evaluated as well, so they must leave the training table.
    old += [(common[3], "B"), (common[4], "VUS")]
    write_shard(folder / "clinvar-old.parquet", "clinvar", "2020-01-01", old)
    new = [(v, "P" if label == "VUS" and i % 2 else label) for i, (v, label) in enumerate(old)]
    new += [(snv(bases, "chr1", at), "P") for at in range(40_000, 50_000, 173)]
    write_shard(folder / "clinvar-new.parquet", "clinvar", "2024-01-01", new)

    sites = [
        ("chr1", at, g)
        for at, g in [(2_000, "0|1 1|0"), (2_100, "0|1 0|0"), (9_400, "1|1 0|0"), (9_600, "1|0 0|0")]
    ]
    sites += [("chr1", at, "0|1 0|1") for at in (45_100, 45_300, 45_900)]
    write_vcf(folder / "phased.vcf.gz", bases, sites)
    (folder / "evaluated.bed").write_text("chr1\t0\t10000\n")

    records = {
        "mrna_evo2": ["".join(rng.choices("ACGT", k=rng.randrange(1_000, 6_000))) for _ in range(12)],
        "prokaryote_evo2": ["".join(rng.choices("ACGT", k=rng.randrange(1_000, 6_000))) for _ in range(12)],
    }
    # A copy of held-out sequence, on the other strand.
    start, end = HELD_REGION
    records["mrna_evo2"].append(reverse_complement(bases["chr1"][start:end]))
    for config, texts in records.items():
        (folder / "corpus" / config).mkdir(parents=True)
        table = pa.table({"text": texts, "metadata": ["made up"] * len(texts)})
        pq.write_table(table, folder / "corpus" / config / "0.parquet", row_group_size=4)
    (folder / "config.yaml").write_text(CONFIG)
    held = tuple(v for v, label in old if label != "VUS")
    return World(folder, bases, held, records)


@pytest.fixture(scope="session")
def built(world, tmp_path_factory):
    """The release of the small world; do not change it, copy it."""
    return build_release(world.config(), tmp_path_factory.mktemp("out") / "release")


@pytest.fixture
def documents(built):
    return {
        name: json.loads((built.folder / name).read_text())
        for name in ("dataset_manifest.json", "split_integrity.json")
    }


def candidates(held, variants):
    """Which variants of one contig are held out, as the tables find them."""
    columns = {name: [getattr(v, name) for v in variants] for name in ("chrom", "pos", "ref", "alt")}
    table = pa.table(
        columns,
        schema=pa.schema(
            [("chrom", pa.string()), ("pos", pa.int64()), ("ref", pa.string()), ("alt", pa.string())]
        ),
    )
    return HeldRows(held).of(table).tolist()
