"""What a file is that was given as a VCF and is none, and what its owner can do about it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Recognised", "recognise"]

_TEXT_IN_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and give the file that is inside"),
    (b"\xfd7zXZ", "a file compressed by xz", "unpack it with: xz --decompress"),
    (b"BZh", "a file compressed by bzip2", "unpack it with: bunzip2"),
    (b"\x28\xb5\x2f\xfd", "a file compressed by zstd", "unpack it with: zstd --decompress"),
    (b"BAM\x01", "alignments (BAM)", "call variants first: reads are no variants"),
    (b"CRAM", "alignments (CRAM)", "call variants first: reads are no variants"),
    (b"TBI\x01", "the index of a VCF", "name the VCF itself, without .tbi"),
    (b"CSI\x01", "the index of a VCF", "name the VCF itself, without .csi"),
    (b">", "a FASTA", "name the VCF with --vcf and the FASTA with --reference"),
    (b"@", "alignments or reads", "call variants first: reads are no variants"),
    (b"\x89PNG", "a picture (PNG)", "name a VCF"),
    (b"%PDF", "a PDF", "ask the laboratory for the VCF that the report was made from"),
)
_ARRAY_MARKS = (b"23andme", b"ancestrydna", b"myheritage", b"familytreedna")
_ARRAY_COLUMNS = (b"rsid\tchromosome\tposition", b"rsid,chromosome,position")
_TSV2VCF = "bcftools convert --tsv2vcf {name} -f GRCh37.fa -s me -o converted.vcf"
"""With the columns of 23andMe: identifier, chromosome, position, genotype."""


class Recognised(NamedTuple):
    """A kind of file.

    Attributes:
        found: what it is, for the sentence "found: ...".
        next_step: what to do with it.
    """

    found: str
    next_step: str


def recognise(head: bytes, name: str) -> Recognised:
    """Tell a file that is no VCF by its first bytes.

    Args:
        head: the first bytes of its content, after decompression; a few hundred are enough.
        name: name of the file, for commands that the next step spells out.
    """
    if not head.strip():
        return Recognised("an empty file", "export or download the file again")
    if head.startswith(b"BCF"):
        return Recognised("a BCF", f"convert it with: bcftools view -Oz -o converted.vcf.gz {name}")
    for magic, found, next_step in _MAGIC:
        if head.startswith(magic):
            return Recognised(found, next_step)
    if head.startswith(_TEXT_IN_UTF16):
        return Recognised("text in UTF-16", f"convert it with: iconv -f UTF-16 -t UTF-8 {name}")
    if _is_array_export(head.lower()):
        return Recognised(
            "genotypes of a SNP array, as 23andMe, AncestryDNA or MyHeritage export them",
            "with the FASTA of the assembly that the file states, mostly GRCh37, and, if it is not 23andMe's, after "
            f"arranging its columns as rsid, chromosome, position, genotype: {_TSV2VCF.format(name=name)}",
        )
    if b"\0" in head:
        return Recognised("binary data", "name a VCF")
    if head.startswith(b"##") or head.startswith(b"#CHROM"):
        return Recognised(
            "a header without its first line", "put ##fileformat=VCFv4.2, or the version it has, in front"
        )
    return Recognised("other text", "name a VCF; bcftools convert makes one of some other formats")


def _is_array_export(lower: bytes) -> bool:
    columns = lower.replace(b'"', b"")
    return any(mark in lower for mark in _ARRAY_MARKS) or any(names in columns for names in _ARRAY_COLUMNS)
