"""Coding transcripts out of a GFF3 file, one for each gene.

Read are GENCODE's, Ensembl's, RefSeq's and LRG's layouts: features that have an ID and are called a gene, an
RNA or a transcript, and the `exon` and `CDS` lines that name them as Parent. Everything else is passed over.
The file is read as a stream and needs no index.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import ContigTable, detect_assembly
from genolewm_core.genome.transcripts import Transcript

__all__ = ["read_transcripts"]

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_BYTES = 1 << 18
_HEADER = re.compile(rb"##gff-version\s+3\b")
_PARENT = re.compile(rb"(?:^|;)\s*Parent=([^;\s]+)")
_NO_PHASE = -1

_GENE = re.compile(rb"gene$")
_TRANSCRIPT = re.compile(rb"(?:RNA|transcript|gene_segment)$", re.IGNORECASE)

_PREFERENCE = {"mane select": 3, "mane_select": 3, "ensembl_canonical": 2, "refseq select": 2}
"""Tags by which a source says which transcript speaks for a gene; the larger number first."""


@dataclass(slots=True)
class _Feature:
    """A gene or a transcript while the file is read; exons and coding stretches follow each other flatly."""

    contig: str
    reverse: bool
    is_gene: bool
    name: str = ""
    parent: str | None = None
    preference: int = 0
    exons: array[int] = field(default_factory=lambda: array("i"))
    cds: array[int] = field(default_factory=lambda: array("i"))


class _Reader:
    def __init__(self, path: Path, contigs: ContigTable) -> None:
        self.path = path
        self.contigs = contigs
        self.line_number = 0
        self.features: dict[tuple[str, str], _Feature] = {}
        self.resolved: dict[bytes, str | None] = {}
        self.lengths: dict[str, int] = {}

    def error(self, what: str, **fields: str) -> InputError:
        where = f"{self.path.name}, line {self.line_number}" if self.line_number else self.path.name
        fields.setdefault("next_step", "give a GFF3 of genes such as GENCODE's, Ensembl's or RefSeq's")
        return InputError("annotation-unreadable", f"The annotation {what}.", where=where, **fields)

    def lines(self) -> Iterator[bytes]:
        try:
            with _open(self.path) as stream:
                for line in stream:
                    self.line_number += 1
                    yield line
        except (OSError, EOFError, zlib.error) as error:
            raise self.error("could not be read", found=type(error).__name__) from None

    def read(self) -> None:
        lines = self.lines()
        if not _HEADER.match(next(lines, b"").removeprefix(b"\xef\xbb\xbf")):
            raise self.error("is not a GFF3", expected="##gff-version 3 in its first line")
        for line in lines:
            if line[:1] == b"#":
                if line.startswith(b"##FASTA"):
                    break
                if line.startswith(b"##sequence-region"):
                    self.add_length(line)
                continue
            if line.strip():
                self.add(line)
        self.line_number = 0
        self.check_assembly()

    def add_length(self, line: bytes) -> None:
        parts = line.decode("utf-8", "replace").split()
        if len(parts) == 4 and parts[3].isdecimal():
            self.lengths[parts[1]] = int(parts[3])

    def check_assembly(self) -> None:
        stated = detect_assembly(self.lengths)
        if stated is not None and self.contigs.assembly not in (None, stated):
            raise self.error(
                "belongs to another assembly than the reference",
                expected=str(self.contigs.assembly),
                found=stated,
                next_step="give the annotation of the reference's assembly",
            )

    def add(self, line: bytes) -> None:
        columns = line.rstrip(b"\r\n").split(b"\t")
        if len(columns) != 9:
            raise self.error(
                "has a malformed line", expected="9 columns between tabs", found=f"{len(columns)}"
            )
        seqid, _, kind, first, last, _, strand, phase, attributes = columns
        if seqid not in self.resolved:
            self.resolved[seqid] = self.contigs.resolve(unquote(seqid.decode("utf-8", "replace")))
        contig = self.resolved[seqid]
        if contig is None:
            return
        if kind in (b"exon", b"CDS"):
            parents = _PARENT.search(attributes)
            if parents is None:
                return
            start, end = self.stretch(first, last, contig)
            for parent in parents.group(1).decode("utf-8", "replace").split(","):
                feature = self.features.get((contig, parent))
                if feature is None:
                    # A parent may come later in the file; what it is called and where it lies follows then.
                    feature = self.features[contig, parent] = _Feature(contig, strand == b"-", False)
                if kind == b"exon":
                    feature.exons.extend((start, end))
                else:
                    known = int(phase) if phase in (b"0", b"1", b"2") else _NO_PHASE
                    feature.cds.extend((start, end, known))
        elif _GENE.search(kind) or _TRANSCRIPT.search(kind):
            self.add_feature(contig, kind, strand, attributes)

    def stretch(self, first: bytes, last: bytes, contig: str) -> tuple[int, int]:
        try:
            start, end = int(first) - 1, int(last)
        except ValueError:
            start, end = -1, -1
        if not 0 <= start < end:
            raise self.error("has a malformed line", expected="a start from 1 up, and an end not before it")
        if end > self.contigs[contig]:
            raise self.error(
                "belongs to another assembly than the reference",
                expected="features inside the reference's contigs",
                found="a feature beyond a contig's end",
                next_step="give the annotation of the reference's assembly",
            )
        return start, end

    def add_feature(self, contig: str, kind: bytes, strand: bytes, attributes: bytes) -> None:
        text = attributes.decode("utf-8", "replace")
        values = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
        identifier = values.get("ID")
        if identifier is None:
            return
        is_gene = _GENE.search(kind) is not None
        names: tuple[str, ...] = (
            ("Name", "gene_name", "gene", "gene_id") if is_gene else ("Name", "transcript_id")
        )
        if is_gene and "gene_name" in values:
            # GENCODE has no Name; its gene_name is the symbol.
            names = ("gene_name",)
        name = unquote(next((values[key] for key in names if values.get(key)), identifier))
        feature = self.features.get((contig, identifier))
        if feature is None:
            feature = self.features[contig, identifier] = _Feature(contig, strand == b"-", is_gene)
        feature.is_gene, feature.name = is_gene, name
        feature.parent = values.get("Parent", "").split(",")[0] or None
        tags = unquote(values.get("tag", "")).lower().split(",")
        feature.preference = max(_PREFERENCE.get(tag.strip(), 0) for tag in tags)


def read_transcripts(path: Path, contigs: ContigTable) -> list[Transcript]:
    """The transcript that speaks for each coding gene, ordered by contig, start, gene and name.

    Of several it is the one tagged MANE Select; else Ensembl canonical or RefSeq Select; else the one with
    most coding bases, then with most exon bases, then with the first identifier.

    Args:
        path: GFF3, plain, gzip or bgzip.
        contigs: contigs of the reference; features on others are passed over.

    Raises:
        InputError: `annotation-unreadable`, when the file cannot be read, is no GFF3, has no coding
            transcript, shares no contig with the reference, or belongs to another assembly.
    """
    reader = _Reader(path, contigs)
    reader.read()
    if reader.resolved and not any(reader.resolved.values()):
        raise reader.error(
            "names none of the reference's contigs", expected=f"names in the style {contigs.style!r}"
        )
    best: dict[tuple[str, str], tuple[tuple[int, int, int, str], str, _Feature]] = {}
    features = reader.features
    for (contig, identifier), feature in features.items():
        if not feature.cds:
            continue
        gene = identifier if feature.is_gene or feature.parent is None else feature.parent
        key = (-feature.preference, -_bases(feature.cds, 3), -_bases(feature.exons, 2), identifier)
        if (contig, gene) not in best or key < best[contig, gene][0]:
            best[contig, gene] = (key, identifier, feature)
    transcripts = []
    for (contig, gene_id), (_, identifier, feature) in best.items():
        parent = features.get((contig, gene_id))
        gene_name = (parent.name if parent is not None else "") or gene_id
        transcripts.append(_transcript(gene_name, feature.name or identifier, feature))
    if not transcripts:
        raise reader.error("has no coding transcript", expected="exon and CDS lines with a Parent")
    order = {name: index for index, name in enumerate(contigs)}
    return sorted(transcripts, key=lambda t: (order[t.contig], t.start, t.gene, t.name))


def _transcript(gene: str, name: str, feature: _Feature) -> Transcript:
    flat = feature.cds
    cds = sorted({(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)})
    pieces = feature.exons
    stretches = {(pieces[i], pieces[i + 1]) for i in range(0, len(pieces), 2)}
    exons = _joined(sorted(stretches | {(start, end) for start, end, _ in cds}))
    phased, before = [], 0
    for start, end, phase in reversed(cds) if feature.reverse else cds:
        # Where a file states no phase, the frame runs on from the first coding base.
        phased.append((start, end, -before % 3 if phase == _NO_PHASE else phase))
        before += end - start
    return Transcript(gene, name, feature.contig, feature.reverse, tuple(exons), tuple(sorted(phased)))


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in ascending order, those that overlap made one."""
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _bases(flat: array[int], width: int) -> int:
    return sum(flat[i + 1] - flat[i] for i in range(0, len(flat), width))


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(2)
    if head != _GZIP_MAGIC:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path)), _BUFFER_BYTES))
