"""Headers of releases, as short as can be."""

from __future__ import annotations

from collections.abc import Sequence

V4 = ("afr", "amr", "asj", "eas", "fin", "mid", "nfe", "remaining", "sas")
V2 = ("afr", "amr", "asj", "eas", "fin", "nfe", "oth")
_CHR1 = {"GRCh37": 249250621, "GRCh38": 248956422}
_CHR2 = {"GRCh37": 243199373, "GRCh38": 242193529}


def gnomad_header(
    populations: Sequence[str] = V4, prefix: str = "AF", assembly: str = "GRCh38", more: Sequence[str] = ()
) -> list[str]:
    chrom = "chr" if assembly == "GRCh38" else ""
    keys = [prefix, *(f"{prefix}_{name}" for name in populations), *more]
    return [
        "##fileformat=VCFv4.2",
        *(f'##INFO=<ID={key},Number=A,Type=Float,Description="a, b = c">' for key in keys),
        '##INFO=<ID=AN,Number=1,Type=Integer,Description="n">',
        f"##contig=<ID={chrom}1,length={_CHR1[assembly]},assembly=gnomAD_{assembly}>",
        f"##contig=<ID={chrom}2,length={_CHR2[assembly]},assembly=gnomAD_{assembly}>",
    ]


def clinvar_header(*, more: Sequence[str] = (), lacking: Sequence[str] = ()) -> list[str]:
    keys = ["CLNSIG", "CLNREVSTAT", "GENEINFO", "MC", *more]
    return [
        "##fileformat=VCFv4.1",
        "##fileDate=2024-05-01",
        "##reference=GRCh38",
        *(f'##INFO=<ID={key},Number=.,Type=String,Description="x">' for key in keys if key not in lacking),
    ]


def text_of(header: Sequence[str], records: Sequence[str]) -> str:
    lines = [*header, "#CHROM POS ID REF ALT QUAL FILTER INFO".replace(" ", "\t")]
    return "".join(f"{line}\n" for line in [*lines, *("\t".join(r.split(" ")) for r in records)])
