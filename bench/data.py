"""Rates of preparing training data.

    python bench/data.py --data DIR [--pairs N]

Preparation of gnomAD and ClinVar shards is compared with pysam's bare iteration over the same file. The files in
DIR, real but small, are repeated at rising positions until they are worth timing.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysam
from harness import paired, publish

from genolewm_data.prepare.make import clinvar_shard, gnomad_shard
from genolewm_data.prepare.shard import ShardInfo

GNOMAD = "population/gnomAD_v2.1.1_exomes.PCSK9.GRCh37.vcf.gz"
CLINVAR = "clinvar/clinvar_2016-09.GRCh37.shared.vcf.gz"


def repeated(source: Path, copies: int, contigs: int, target: Path) -> Path:
    """A file with the records of another many times over, bgzip-compressed and indexed.

    Args:
        source: VCF.
        copies: how often each record comes in a contig, one stretch behind the other.
        contigs: on how many of GRCh37's first chromosomes; no contig lengths are declared for them.
        target: where to write it.
    """
    with gzip.open(source, "rt") as file:
        lines = list(file)
    header = [line for line in lines if line.startswith("#") and not line.startswith("##contig=")]
    records = [line.split("\t", 2)[1:] for line in lines if not line.startswith("#")]
    records.sort(key=lambda record: int(record[0]))
    first, last = int(records[0][0]), int(records[-1][0])
    with pysam.BGZFile(str(target), "w") as file:
        names = [str(number) for number in range(1, contigs + 1)]
        declared = ["##reference=GRCh37\n", *(f"##contig=<ID={name}>\n" for name in names)]
        file.write("".join([*header[:-1], *declared, header[-1]]).encode())
        for name in names:
            for copy in range(copies):
                moved = copy * (last - first + 1) - first + 1
                for pos, rest in records:
                    file.write(f"{name}\t{int(pos) + moved}\t{rest}".encode())
    pysam.tabix_index(str(target), preset="vcf", force=True)
    return target


def prepare_ratio(make: Callable[[Path], tuple[Path, ShardInfo]], vcf: Path, pairs: int) -> dict[str, Any]:
    """Time of pysam's bare iteration over a file, over the time of preparing its shard."""

    def bare() -> float:
        with pysam.VariantFile(str(vcf)) as file:
            return sum(1 for _ in file)

    def shard() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return make(Path(folder))[1].records

    def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            info = make(Path(folder))[1]
        assert info.records == bare(), "records were lost"
        assert sum(info.rows.values()) >= info.records, "rows were lost"
        assert info.rows["kept"] > 0, "nothing was kept"

    return paired(bare, shard, check=check, pairs=pairs).summary()


def prepare_figures(data: Path, pairs: int) -> dict[str, Any]:
    """`prepare.gnomad_ratio` and `prepare.clinvar_ratio`, in one process and in two."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        gnomad = repeated(data / GNOMAD, 10, 2, Path(folder) / "gnomad.vcf.gz")
        clinvar = repeated(data / CLINVAR, 1, 4, Path(folder) / "clinvar.vcf.gz")
        for jobs, suffix in ((1, ""), (2, "_2_jobs")):
            figures[f"prepare.gnomad_ratio{suffix}"] = prepare_ratio(
                lambda output, jobs=jobs: gnomad_shard([gnomad], "v2.1.1", output, jobs=jobs), gnomad, pairs
            )
            figures[f"prepare.clinvar_ratio{suffix}"] = prepare_ratio(
                lambda output, jobs=jobs: clinvar_shard([clinvar], "2016-09-10", output, jobs=jobs),
                clinvar,
                pairs,
            )
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the real files")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    publish("data", prepare_figures(arguments.data, arguments.pairs))


if __name__ == "__main__":
    main()
