"""A tiny data folder of the real layout, and a tiny recipe: seconds instead of an hour."""

import gzip
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysam
import pytest

from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.scoring.sixmer import base_digits
from genolewm_train.recipe import Recipe, Stage
from genolewm_train.training_sequence import Piece, Source, TrainingSequence

TINY = Recipe(
    network=Architecture(
        n_layers=2,
        d_model=32,
        n_heads=2,
        n_kv_heads=1,
        head_dim=16,
        d_ffn=48,
        rms_norm_eps=1e-6,
        rope_theta=1e4,
    ),
    stages=(Stage(0.5, 3, 2, 24), Stage(0.5, 1, 1, 60)),
    n_steps=6,
    warmup_steps=2,
    threads=1,
)


def _tiny(**changes: object) -> Recipe:
    return replace(TINY, **changes)


def _random_bases(n: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=n))


def _sequence_of(*texts: str) -> TrainingSequence:
    """One source of the given stretches, at arbitrary places."""
    pieces = tuple(
        Piece("GRCh38", "chr1", 10_000 * index, base_digits(text).astype(np.uint8))
        for index, text in enumerate(texts)
    )
    return TrainingSequence((Source("human", pieces),), (1.0,))


def write_fasta(path: Path, contigs: dict[str, str]) -> None:
    plain = path.with_suffix("")
    with plain.open("w") as out:
        for name, bases in contigs.items():
            out.write(f">{name}\n")
            # Lines of 60 bases would take long for the stretches of N before chromosome 21's real bases.
            out.writelines(bases[at : at + 100_000] + "\n" for at in range(0, len(bases), 100_000))
    pysam.tabix_compress(str(plain), str(path), force=True)
    plain.unlink()
    pysam.faidx(str(path))


def write_gz(path: Path, text: str) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write(text)


CHR21_START = 24_985_000
BRCA1_SITES = ((30_001, "0"), (30_010, "1"), (30_020, "0"), (30_033, "1"))


def write_data(folder: Path) -> Path:
    """GRCh38: chr1, chr2, chr21. GRCh37: 1 (the same bases as chr1, 500 further on), 17, 21.

    AGRN (held out by its name) lies at chr1:20,001-26,000; MTHFR (not held out) at 40,001-42,000.
    """
    for name in ("reference", "annotation", "species", "benchmark"):
        (folder / name).mkdir(parents=True)
    chr1, chr2, seventeen = _random_bases(60_000, 1), _random_bases(30_000, 2), _random_bases(60_000, 3)
    chr21 = _random_bases(12_000, 4)
    before = "N" * CHR21_START
    reference = folder / "reference"
    chr2_with_n = chr2[:9_000].lower() + "N" * 100 + chr2[9_100:]
    write_fasta(
        reference / "GRCh38.shared.fa.gz", {"chr1": chr1, "chr2": chr2_with_n, "chr21": before + chr21}
    )
    write_fasta(
        reference / "GRCh37.shared.fa.gz",
        {"1": "N" * 500 + chr1, "17": seventeen, "21": _random_bases(9_000, 5)},
    )
    (reference / "GRCh38.shared.regions.bed").write_text(
        f"#chrom\tstart0\tend\nchr1\t0\t60000\nchr2\t0\t30000\nchr21\t{CHR21_START}\t{CHR21_START + 12_000}\n"
    )
    (reference / "GRCh37.shared.regions.bed").write_text(
        "#chrom\tstart0\tend\n1\t500\t60500\n17\t0\t60000\n21\t0\t9000\n"
    )
    write_gz(
        reference / "hg19ToHg38.over.chain.gz",
        "chain 1 chr1 60500 + 500 60500 chr1 60000 + 0 60000 1\n60000\n\n",
    )
    for assembly, contig, shift in (("GRCh38", "chr1", 0), ("GRCh37", "1", 500)):
        genes = "".join(
            f"{contig}\tLRG\tgene\t{start + shift}\t{end + shift}\t.\t+\t.\tID=gene:{name};Name={name}\n"
            for name, start, end in (("AGRN", 20_001, 26_000), ("MTHFR", 40_001, 42_000))
        )
        write_gz(folder / "annotation" / f"LRG_t1.{assembly}.gff3.gz", "##gff-version 3\n" + genes)
    write_fasta(folder / "species" / "sacCer3.fa.gz", {"chrI": _random_bases(10_000, 6)})
    write_fasta(folder / "species" / "Ecoli_W.fa.gz", {"chr": _random_bases(10_000, 7)})
    columns = (
        "chrom pos37 ref alt consequence label_lof "
        "delta_carbon3b delta_gener3b cadd phylop_mammalian delta_evo2_1b"
    )
    rows = "".join(
        "\t".join(
            (
                *("17", str(pos), seventeen[pos - 1], "ACGT"["CGTA".index(seventeen[pos - 1])]),
                *("Missense", label, "-1.0", "-2.0", "3.0", "0.5", "-0.1"),
            )
        )
        + "\n"
        for pos, label in BRCA1_SITES
    )
    write_gz(
        folder / "benchmark" / "BRCA1_SGE_Findlay2018.GRCh37.tsv.gz", "\t".join(columns.split()) + "\n" + rows
    )
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("train") / "data")


@pytest.fixture(scope="session")
def tiny():
    """Call it with changed fields for a tiny recipe."""
    return _tiny


@pytest.fixture
def random_bases():
    return _random_bases


@pytest.fixture
def sequence_of():
    return _sequence_of


@pytest.fixture
def fasta_of():
    return write_fasta
