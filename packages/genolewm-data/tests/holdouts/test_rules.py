"""The project's hold-outs, by hand and on real files."""

import csv
import gzip
import hashlib

import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import row_of
from genolewm_data.holdouts.chain import Chain
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.keys import keys_of, lift_keys
from genolewm_data.holdouts.rules import (
    FLANK_BP,
    NAMED_REGIONS,
    gene_regions,
    is_held_out_gene,
    project_holdouts,
)


@pytest.fixture(scope="module")
def holdouts(shared_data):
    return project_holdouts(
        shared_data / "reference" / "hg19ToHg38.over.chain.gz",
        {a: shared_data / "annotation" / f"LRG_t1.{a}.gff3.gz" for a in ("GRCh37", "GRCh38")},
    )


def test_gene_hash_by_hand():
    for name in ("AGRN", "MTHFR", "BRCA1"):
        number = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
        assert is_held_out_gene(name) == (number % 5 == 0)
    assert is_held_out_gene("AGRN")
    assert not is_held_out_gene("MTHFR")


def gff(path, *lines):
    path.write_bytes(gzip.compress("\n".join(("##gff-version 3", *lines, "")).encode()))
    return path


def test_genes_get_their_flanks(tmp_path):
    lines = [
        "1\tLRG\tgene\t20001\t26000\t.\t+\t.\tID=a;Name=AGRN",
        "1\tLRG\tmRNA\t20001\t90000\t.\t+\t.\tID=b;Parent=a;Name=AGRN",
        "1\tLRG\tgene\t50001\t56000\t.\t+\t.\tID=c;Name=MTHFR",
        "chr2\tLRG\tgene\t101\t200\t.\t+\t.\tID=d;Name=AGRN",
    ]
    regions, names = gene_regions(gff(tmp_path / "a.gff3.gz", *lines))
    assert names == ("AGRN",)
    assert regions == Intervals.of(
        {"chr1": [(20_000 - FLANK_BP, 26_000 + FLANK_BP)], "chr2": [(0, 200 + FLANK_BP)]}
    )


@pytest.mark.parametrize(
    "lines", [(), ("1\tLRG\tgene\t1\t2\t.\t+\t.\tID=a",), ("1\tL\tmRNA\t1\t2\t.\t+\t.\tName=a",)]
)
def test_an_annotation_without_named_genes_is_refused(tmp_path, lines):
    with pytest.raises(InputError) as caught:
        gene_regions(gff(tmp_path / "a.gff3.gz", *lines))
    assert caught.value.code == "annotation-unreadable"
    with pytest.raises(InputError):
        gene_regions(tmp_path / "none.gff3.gz")


def test_a_lift_is_joined_with_what_the_other_assembly_says(tmp_path):
    # Chromosome 1 and the start of chromosome 17 lie 500 bases further on in GRCh37 than in GRCh38.
    blocks = "".join(
        f"chain 1 {name} {bp + 500} + 500 {bp + 500} {name} {bp} + 0 {bp} 1\n{bp}\n\n"
        for name, bp in (("chr1", 60_000), ("chr17", 45_000_000))
    )
    chain = tmp_path / "a.chain.gz"
    chain.write_bytes(gzip.compress(blocks.encode()))
    genes = {
        assembly: gff(
            tmp_path / f"{assembly}.gff3.gz", f"{contig}\tLRG\tgene\t{start}\t26500\t.\t+\t.\tName=AGRN"
        )
        for assembly, contig, start in (("GRCh37", "1", 20_501), ("GRCh38", "chr1", 19_001))
    }
    holdouts = project_holdouts(chain, genes)
    assert holdouts.genes == ("AGRN",)
    on_37, on_38 = (holdouts.on(assembly).regions for assembly in ("GRCh37", "GRCh38"))
    assert on_37["lrg_genes"] == Intervals.of({"1": [(14_500, 32_000)]})
    assert on_38["lrg_genes"] == Intervals.of({"1": [(14_000, 31_500)]})
    assert on_37["brca1"] == Intervals.of({"17": [(41_000_000, 41_400_000), (42_800_500, 43_300_500)]})
    assert on_38["brca1"] == Intervals.of({"17": [(40_999_500, 41_399_500), (42_800_000, 43_300_000)]})

    far = gff(tmp_path / "far.gff3.gz", "chr1\tLRG\tgene\t40000\t50000\t.\t+\t.\tName=AGRN")
    with pytest.raises(InputError, match="release-mismatch"):
        project_holdouts(chain, {**genes, "GRCh38": far})


@pytest.mark.parametrize(
    ("assembly", "contig", "start", "end", "name"),
    [
        ("GRCh37", "17", 41_399_999, 41_500_000, "brca1"),
        ("GRCh38", "chr17", 43_044_294, 43_044_295, "brca1"),
        ("GRCh37", "20", 1_999_999, 2_000_001, "calibration"),
        ("GRCh37", "22", 0, 16_050_001, "calibration"),
        ("GRCh38", "chr20", 1_019_500, 1_019_501, "calibration"),
        ("GRCh38", "chr21", 0, 1, "chr21"),
        ("GRCh37", "NC_000021.8", 0, 1, "chr21"),
        ("GRCh37", "1", 955_502, 955_503, "lrg_genes"),  # AGRN
        ("GRCh38", "chr1", 1_020_122, 1_020_123, "lrg_genes"),  # AGRN
    ],
)
def test_places_by_hand(holdouts, assembly, contig, start, end, name):
    assert name in holdouts.on(assembly).touched(contig, start, end)


def test_each_region_is_held_out_on_both_assemblies(holdouts, shared_data):
    chain = Chain.read(shared_data / "reference" / "hg19ToHg38.over.chain.gz")
    for source, target, lift in (("GRCh37", "GRCh38", chain), ("GRCh38", "GRCh37", chain.inverse())):
        genes, _ = gene_regions(shared_data / "annotation" / f"LRG_t1.{source}.gff3.gz")
        for name, bases in {**NAMED_REGIONS[source], "lrg_genes": genes}.items():
            assert bases.minus(holdouts.on(source).regions[name]).n_bp == 0
            assert lift.lift(bases).minus(holdouts.on(target).regions[name]).n_bp == 0
    assert 40 < len(holdouts.genes) < 90
    assert holdouts.on("GRCh38").regions["calibration"].n_bp > 6_500_000
    assert set(holdouts.sources) == {
        "hg19ToHg38.over.chain.gz", "LRG_t1.GRCh37.gff3.gz", "LRG_t1.GRCh38.gff3.gz"
    }  # fmt: skip


def test_evaluation_variants_are_held_out_on_both_assemblies(holdouts, shared_data):
    references = {a: Reference(shared_data / "reference" / f"{a}.shared.fa.gz") for a in ("GRCh37", "GRCh38")}
    chain = Chain.read(shared_data / "reference" / "hg19ToHg38.over.chain.gz")
    with gzip.open(shared_data / "clinvar" / "clinvar_labelled.covered.shared.tsv.gz", "rt") as lines:
        table = [row for row in csv.DictReader(lines, delimiter="\t") if row["chrom"] == "2"][:600]
    keys = keys_of(
        row_of(r["chrom"], int(r["pos37"]), r["ref"], r["alt"], references["GRCh37"]) for r in table
    )
    lifted = lift_keys(keys.variants, chain, references["GRCh38"])
    assert len(keys.variants) > 590
    assert len(lifted.variants) + sum(lifted.left_out.values()) == len(keys.variants)
    assert len(lifted.variants) > 0.98 * sum(r["ref_ok38"] == "1" for r in table)
    both = holdouts.with_variants("clinvar", {"GRCh37": keys.variants, "GRCh38": lifted.variants})
    snvs = [r for r in table if r["ref_ok38"] == "1" and len(r["ref"]) == len(r["alt"]) == 1]
    assert len(snvs) > 300
    for row in snvs:
        on38 = row_of("chr2", int(row["pos38"]), row["ref"], row["alt"], references["GRCh38"])
        assert "clinvar" in both.on("GRCh38").holding(on38.variant)
    assert both.digest != holdouts.digest
