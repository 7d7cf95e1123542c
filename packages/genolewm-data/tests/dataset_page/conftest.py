"""A release that can be counted by hand: its windows repeat ACGT, and each placed one holds one variant of gnomAD."""

import hashlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus.windows import CorpusWindow
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import WHOLE_CONTIG, HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.report import IntegrityReport
from genolewm_data.release.integrity import Overlap, SplitIntegrity
from genolewm_data.release.manifest import ReleaseFile, ReleaseManifest, SourceFile
from genolewm_data.release.windows import write_windows

WINDOW_BP = 600
GNOMAD = [
    ("chr1", 121, "A", "G", 0.02),
    ("chr1", 901, "AC", "A", 0.3),
    ("chr1", 1502, "C", "A", 0.005),
    ("chr1", 2103, "G", "GAA", 0.5),
    ("chr2", 50, "A", "G", 0.15),
]
CLINVAR = [
    ("chr1", 130, "C", "T", "P", 2, "missense_variant|intron_variant"),
    ("chr1", 140, "T", "A", "LP", 1, None),
]
GFF3 = """##gff-version 3
chr1\tx\tgene\t1401\t1700\t.\t+\t.\tID=g;Name=G1
chr1\tx\tmRNA\t1401\t1700\t.\t+\t.\tID=t;Parent=g
chr1\tx\texon\t1401\t1700\t.\t+\t.\tParent=t
chr1\tx\tCDS\t1441\t1560\t.\t+\t0\tParent=t
"""


def placed(contig, start):
    return ReferenceWindow(contig, start, start + WINDOW_BP, "ACGT" * (WINDOW_BP // 4))


def block(*places):
    return Block(tuple(Call(*[Variant("chr1", pos, "A", "G")] * 2) for pos in places))


@pytest.fixture
def make(tmp_path):
    """Write the release, with other fields of the manifest if some are given; gives its folder."""

    def write(name="release", **changes):
        folder = tmp_path / name
        for part in ("windows", "variants", "haplotypes"):
            (folder / part).mkdir(parents=True)
        train = [(placed("chr1", start), "") for start in changes.pop("starts", (0, 600, 1_200, 1_800))]
        train += [(CorpusWindow("gtdb", f"r{i}", 0, "A" * WINDOW_BP), "") for i in range(2)]
        validation = [(placed("chr21", 5_000), "chr21"), (placed("chr21", 5_600), "chr21")]
        validation += [(placed("chr17", 12_000), "brca1")]
        write_windows(folder / "windows/train-00000.parquet", train)
        write_windows(folder / "windows/validation-00000.parquet", validation)
        for source, rows, names in (
            ("gnomad", GNOMAD, ("af",)),
            ("clinvar", CLINVAR, ("label", "stars", "consequence")),
        ):
            columns = zip(
                ("chrom", "pos", "ref", "alt", *names), map(list, zip(*rows, strict=True)), strict=True
            )
            pq.write_table(pa.table(dict(columns)), folder / f"variants/train.{source}.parquet")
        table = HaplotypeTable({block(5, 9): 4, block(5, 105, 205): 2, block(7, 8): 6})
        table.write(folder / "haplotypes/validation.parquet")
        regions = {
            "chr21": Intervals.of({"chr21": [WHOLE_CONTIG]}),
            "brca1": Intervals.of({"chr17": [(10_000, 20_000)], "chr9": [(5, 9)]}),
        }
        holdouts = Holdouts({"GRCh38": HeldOut("GRCh38", regions)})
        holdouts.write(folder / "holdouts.json")
        integrity().write(folder / "split_integrity.json")
        manifest = ReleaseManifest(
            name="tiny",
            version="1.0",
            assembly="GRCh38",
            window_bp=WINDOW_BP,
            options={"seed": 1, "edits_per_window": 1, "multi_percent": 0, "mix": {"gnomad": 100}},
            windows={"train": {"placed": 4, "gtdb": 2}, "validation": {"brca1": 1, "chr21": 2}},
            left_out={"windows": {"held_out": 12}},
            config={"name": "tiny"},
            holdouts=holdouts.digest,
            sources=(SourceFile("reference", "hs.fa.gz", "a" * 64, 900_000_000, "GRCh38"),),
            files=tuple(
                ReleaseFile(
                    str(path.relative_to(folder)),
                    hashlib.sha256(path.read_bytes()).hexdigest(),
                    path.stat().st_size,
                )
                for path in sorted(folder.rglob("*.*"))
            ),
            made_with={"genolewm-data": "0.1.0"},
        )
        replace(manifest, **changes).write(folder)
        return folder

    return write


@pytest.fixture
def annotation(tmp_path):
    path = tmp_path / "genes.gff3"
    path.write_text(GFF3)
    return path


def integrity():
    report = IntegrityReport(
        holdouts="sha256:h",
        sequence="sha256:s",
        threshold=0.1,
        placed=4,
        unplaced=2,
        edits=6,
        edits_without_key=0,
        undecided=1,
        flagged=0,
        decoys=1,
        decoys_flagged=0,
        windows_touching={},
        overlap_bp={},
        edits_held={},
        haplotypes_held={},
        windows_similar={},
        containment=(5, *[0] * 19),
        highest=0.01,
        findings=(),
    )
    return SplitIntegrity(
        training=report,
        overlaps={"chr21": Overlap(True, 2, 0, 0), "brca1": Overlap(True, 1, 0, 0)},
        variants={"train.gnomad": 5, "shared": 0},
        variants_held={},
        labels={},
        haplotypes={"validation": 3, "shared": 0},
        haplotypes_held=0,
        tuples={
            "asked.gnomad": 6,
            "fallback.gnomad": 2,
            "drawn.gnomad": 4,
            "drawn.synthetic_snv": 2,
            "edits.1": 6,
        },
    )
