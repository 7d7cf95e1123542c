"""Annotated VCF: the input's own lines with the scores in INFO. docs/formats/scores-vcf.md."""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
import pysam

from genolewm_core.errors import InputError
from genolewm_runtime.writers.bgzf import BgzfWriter
from genolewm_runtime.writers.table import SCHEMA, FinishedShards, as_os_error

__all__ = ["INDEX_ENDINGS", "PREFIX", "write_vcf"]

PREFIX = "GLWM_"
"""Begins the name of every INFO field of ours."""

INDEX_ENDINGS = (".tbi", ".csi")

_TBI_END = 1 << 29  # what the older kind of index can address

# In a VCF these stand in columns of their own, or follow from them.
_LEFT_OUT = {"row", "allele", "source_chrom", "source_pos", "source_ref", "source_alt"}
_LEFT_OUT |= {"chrom", "pos", "ref", "alt"}
_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "String",
    pl.Int32: "Integer",
    pl.Int64: "Integer",
    pl.Float32: "Float",
    pl.Boolean: "Integer",  # a flag cannot be given for each allele
}
_ABOUT = {
    "locus": "First base at which the sequences differ, 1-based",
    "edit_class": "Class of the edit; scores of different classes must not be compared raw",
    "status": "scored, skipped or failed",
    "reason": "Why the allele was not scored",
    "flags": "What to know about the score: n_in_span, span_truncated",
    "marginal_llr": "Log-likelihood ratio of the alleles at the locus",
    "delta_ll": "Difference in log-likelihood of the sequence",
    "displacement": "How far the state of the model moves",
    "sigma_raw": "Value of the model's default score for this class of edit",
    "head": "Name of that score",
    "gene": "Gene that the variant lies in",
    "consequence": "Consequence for that gene",
    "sigma_calibrated": "Percentile of the default score among common variants of its bucket, 0 to 1",
    "bucket_id": "Bucket of common variants that the percentile is taken in",
    "confidence": "How well the bucket is known, 0 to 1",
    "low_confidence": "1 when the bucket is poorly known, else 0",
    "ensemble": "Calibrated combination of displacement and delta_ll, 0 to 1",
}
_ESCAPES = {"%": "%25", ";": "%3B", "=": "%3D", ",": "%2C", " ": "%20", "\t": "%09", "\r": "%0D", "\n": "%0A"}
_OURS_BEFORE = (b"##INFO=<ID=" + PREFIX.encode(), b"##genolewm=")
_END_FIELD = re.compile(rb"(?:^|;)END=([0-9]{1,18})(?:;|$)")


def write_vcf(shards: FinishedShards, target: Path, index: Path) -> tuple[int, str]:
    """Write the input again, with the scores of each record in its INFO column, and the file's index.

    Args:
        shards: what was scored; the records of `shards.vcf` must be in order.
        target: the compressed VCF.
        index: its index.

    Returns:
        The rows written, and the ending of the index's kind, one of `INDEX_ENDINGS`.

    Raises:
        InputError: `vcf-unreadable`, when the input is no longer what was scored.
    """
    lines = _lines(shards.vcf)
    rows = 0
    last_end = 0
    with as_os_error(), target.open("wb") as file:
        out = BgzfWriter(file)
        for line in _header(lines, shards):
            out.write(line + b"\n")
        for table in shards.tables():
            for record in _info(table).iter_rows():
                line, end = _annotated(next(lines, b""), record, shards.vcf)
                out.write(line)
                last_end = max(last_end, end)
            rows += len(table)
        if next(lines, None) is not None:
            raise _changed(shards.vcf)
        out.finish()
    # The older kind is what every tool reads, and it cannot address more.
    kind = ".tbi" if last_end < _TBI_END else ".csi"
    pysam.set_verbosity(0)  # htslib writes its own messages to stderr; ours are enough
    with as_os_error():
        pysam.tabix_index(str(target), preset="vcf", force=True, index=str(index), csi=kind == ".csi")
    return rows, kind


def _header(lines: Iterator[bytes], shards: FinishedShards) -> Iterator[bytes]:
    """The header's lines, ours before the column line; those of an earlier run are replaced."""
    for line in lines:
        if line.startswith(b"#CHROM"):
            for name, kind in SCHEMA.items():
                if name not in _LEFT_OUT:
                    about = _ABOUT.get(name, name)
                    text = f'##INFO=<ID={PREFIX}{name},Number=A,Type={_TYPES[kind]},Description="{about}">'
                    yield text.encode()
            for name, value in shards.metadata.items():
                yield f"##{name}={value}".encode()
            yield line
            return
        if not line.startswith(_OURS_BEFORE):
            yield line


def _info(table: pl.DataFrame) -> pl.DataFrame:
    """One row a record: source_chrom, source_pos, source_ref, number of alleles, and its fields of INFO."""
    names = [name for name in SCHEMA if name not in _LEFT_OUT]
    columns = []
    for name in names:
        column = pl.col(name)
        if SCHEMA[name] == pl.String:
            column = column.str.replace_many(_ESCAPES)
            column = pl.when(column == ".").then(pl.lit("%2E")).when(column != "").then(column)
        elif SCHEMA[name] == pl.Boolean:
            column = column.cast(pl.Int8).cast(pl.String)
        else:
            column = column.cast(pl.String)
        columns.append(column.alias(name))
    fields = [
        pl.when(pl.col(name).is_not_null().any())
        .then(pl.format(f"{PREFIX}{name}={{}}", pl.col(name).fill_null(".").str.join(",")))
        .alias(name)
        for name in names
    ]
    kept = ("source_chrom", "source_pos", "source_ref")
    return (
        table.select("row", *kept, *columns)
        .group_by("row", maintain_order=True)
        .agg(*(pl.col(name).first() for name in kept), pl.len(), *fields)
        .select(*kept, "len", pl.concat_str(names, separator=";", ignore_nulls=True).alias("info"))
    )


def _annotated(line: bytes, record: tuple[str, int, str, int, str], vcf: Path) -> tuple[bytes, int]:
    """A record's line with our fields, and its last base as an index counts it."""
    chrom, pos, ref, n_alleles, ours = record
    fields = line.split(b"\t", 8)
    if len(fields) < 8 or (_text(fields[0]), _text(fields[3])) != (chrom, ref) or int(fields[1]) != pos:
        raise _changed(vcf)
    if 1 + fields[4].count(b",") != n_alleles:
        raise _changed(vcf)
    info = fields[7]
    if PREFIX.encode() in info:
        info = b";".join(field for field in info.split(b";") if not field.startswith(PREFIX.encode()))
    if info in (b"", b"."):
        fields[7] = ours.encode()
    else:
        fields[7] = info + (b"" if info.endswith(b";") else b";") + ours.encode()
    stated = _END_FIELD.search(info)
    return b"\t".join(fields) + b"\n", max(pos + len(ref), int(stated.group(1)) if stated else 0)


def _lines(vcf: Path) -> Iterator[bytes]:
    """Lines without their ends, blank ones left out, as they are when records are counted."""
    try:
        with vcf.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            first = stream.readline().removeprefix(b"\xef\xbb\xbf")
            for line in itertools.chain([first], stream):
                if line.strip():
                    yield line.removesuffix(b"\n").removesuffix(b"\r")
    except (OSError, EOFError, zlib.error):
        raise _changed(vcf) from None


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace")


def _changed(vcf: Path) -> InputError:
    return InputError(
        "vcf-unreadable",
        "The VCF is no longer what it was when it was scored; nothing was published.",
        where=vcf.name,
        next_step="run the same command again",
    )
