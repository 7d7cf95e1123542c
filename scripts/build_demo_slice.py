"""Cut the demo slice of genolewm-mini out of public data: chr21:24,990,001-26,000,000 of GRCh38 and NA12878.

The contig keeps its full length, N outside the slice, so that positions are true ones. Usage:

    python scripts/build_demo_slice.py DATA_DIR packages/genolewm-mini/src/genolewm_mini/demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import pysam

CONTIG, START, END = "chr21", 24_990_000, 26_000_000
LINE_BP = 80


def build(data: Path, out: Path) -> None:
    """Write reference.fa.gz with its indexes, and NA12878.vcf.gz with its index."""
    out.mkdir(parents=True, exist_ok=True)
    with pysam.FastaFile(str(data / "reference/GRCh38.shared.fa.gz")) as fasta:
        length = fasta.get_reference_length(CONTIG)
        bases = "N" * START + fasta.fetch(CONTIG, START, END).upper() + "N" * (length - END)
    target = out / "reference.fa.gz"
    with pysam.BGZFile(str(target), "w") as file:
        file.write(f">{CONTIG}\n".encode())
        for start in range(0, length, LINE_BP):
            file.write(bases[start : start + LINE_BP].encode() + b"\n")
    pysam.faidx(str(target))
    source = data / "personal/NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz"
    plain = out / "NA12878.vcf"
    with pysam.VariantFile(str(source)) as vcf, pysam.VariantFile(str(plain), "w", header=vcf.header) as cut:
        for record in vcf.fetch(CONTIG, START, END):
            cut.write(record)
    pysam.tabix_index(str(plain), preset="vcf", force=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
