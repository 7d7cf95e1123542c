"""The text of a VCF, record by record: plain, bgzip or gzip.

Only what scoring needs is read and checked: the header's contigs and the columns CHROM, POS, REF and ALT.
INFO, FORMAT and the samples are neither parsed nor kept, so their defects do not matter. Reading text
ourselves keeps record numbers exact, accepts plain gzip (pysam's VCF reader refuses it), byte order marks and
Windows line ends, and lets no library print a line of a personal file to stderr.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from genolewm_core.errors import InputError
from genolewm_core.genome.recognise import recognise

__all__ = ["VcfRecords"]

_BUFFER_BYTES = 1 << 18
_LINE_LIMIT_BYTES = 1 << 28
_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"
_BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_HEAD_BYTES = 512
_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
_COLUMN_LINE = "a line that begins with #CHROM after the header"
_AGAIN = "copy or download the file again"
_VERSION = re.compile(r"##fileformat=VCF ?v4\.[0-9]+\s*")

_CONTIG_ID = re.compile(r"[<,]\s*ID=([^,>]+)")
_CONTIG_LENGTH = re.compile(r"[<,]\s*length=([0-9]{1,18})\s*[,>]")
_ASSEMBLY_TEXT = {
    "GRCh37": re.compile(r"GRCh37|hg19|hs37d5|\bb37\b|assembly19", re.IGNORECASE),
    "GRCh38": re.compile(r"GRCh38|hg38|hs38d", re.IGNORECASE),
}


class VcfRecords:
    """An open VCF; iterating yields (chrom, pos, ref, alt) of each record, as given.

    `alt` is the whole ALT column; `pos` is 1-based. Iterating once exhausts it.

    Args:
        path: VCF file, plain, bgzip or gzip.

    Raises:
        InputError: `vcf-unreadable`; on opening, when the file is missing, cut short or has no VCF header;
            while iterating, when it is damaged or a record is malformed. The error names the last good record
            (`details["record"]`).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.contig_lengths: dict[str, int | None] = {}
        """Contigs that the header declares, with their lengths in bp where it states them."""
        self.stated_assemblies: frozenset[str] = frozenset()
        """GRCh37 and GRCh38 as far as the header's `##reference` and `##contig` lines name them."""
        self._count = 0
        self._columns = len(_COLUMNS)
        self._stream = self._open()
        try:
            self._read_header()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> VcfRecords:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __iter__(self) -> Iterator[tuple[str, int, str, str]]:
        for line in self._lines():
            try:
                chrom, pos_text, _, ref, alt, _, _, _ = line.decode("utf-8", "replace").split("\t", 7)
                pos = int(pos_text) if pos_text.isdecimal() and len(pos_text) < 19 else None
            except ValueError:
                pos = None
            if pos is None:
                if not line.strip():
                    continue
                columns = line.count(b"\t") + 1
                raise self._error(
                    "has a malformed or cut record",
                    expected="at least 8 columns between tabs, POS a whole number",
                    found="POS is no whole number" if columns >= 8 else f"{columns} columns between tabs",
                )
            self._count += 1
            yield chrom, pos, ref, alt

    def _lines(self) -> Iterator[bytes]:
        readline = functools.partial(self._stream.readline, _LINE_LIMIT_BYTES)
        line = b"\n"
        try:
            for line in iter(readline, b""):
                if len(line) == _LINE_LIMIT_BYTES:
                    raise self._error("has a line that is too long", expected="lines below 256 MiB")
                yield line
            # Plain text has no end marker: a last line without an end and with too few columns was cut.
            columns = line.count(b"\t") + 1
            if line[-1:] != b"\n" and columns < self._columns:
                raise self._error(
                    "ends within a record",
                    expected=f"{self._columns} columns between tabs, as in the column line",
                    found=f"{columns} columns and no end of line",
                    next_step=_AGAIN,
                )
        except (OSError, EOFError, zlib.error) as error:
            raise self._error(
                "is damaged or cut short", found=type(error).__name__, next_step=_AGAIN
            ) from None
        finally:
            self._stream.close()

    def _open(self) -> BinaryIO:
        try:
            with self.path.open("rb") as file:
                head = file.read(18)
                file.seek(-min(len(_BGZF_EOF), os.fstat(file.fileno()).st_size), os.SEEK_END)
                tail = file.read()
            if head[:2] != _GZIP_MAGIC:
                return self.path.open("rb")
            if head[:4] == _BGZF_MAGIC and head[12:14] == b"BC" and tail != _BGZF_EOF:
                raise self._error(
                    "has no bgzip end marker, so it is cut short",
                    expected="the 28 bytes that end every bgzip file",
                    next_step=_AGAIN,
                )
            return cast(
                BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(self.path)), _BUFFER_BYTES)
            )
        except OSError as error:
            if isinstance(error, IsADirectoryError):
                next_step = "name the file inside the folder"
            else:
                next_step = "check the path and its permissions"
            raise self._error(
                "could not be opened",
                expected="a VCF file, plain, bgzip or gzip",
                found=(error.strerror or type(error).__name__).lower(),
                next_step=next_step,
            ) from None

    def _read_header(self) -> None:
        assemblies: set[str] = set()
        try:
            head = self._stream.readline(_LINE_LIMIT_BYTES)
            self._check_version(head)
            for number, raw in enumerate(
                iter(functools.partial(self._stream.readline, _LINE_LIMIT_BYTES), b""), 2
            ):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                if line.startswith("#CHROM"):
                    self._check_columns(line, number)
                    self.stated_assemblies = frozenset(assemblies)
                    return
                if not line.startswith("##"):
                    self._refuse_header_line(line, number)
                if line.startswith("##contig="):
                    self._add_contig(line)
                if line.startswith(("##contig=", "##reference=")):
                    assemblies.update(a for a, text in _ASSEMBLY_TEXT.items() if text.search(line))
        except (OSError, EOFError, zlib.error) as error:
            raise self._error(
                "is damaged or cut short", found=type(error).__name__, next_step=_AGAIN
            ) from None
        raise self._error(
            "has no column line", expected=_COLUMN_LINE, found="the file's end", next_step=_AGAIN
        )

    def _check_version(self, first: bytes) -> None:
        line = first.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        if _VERSION.fullmatch(line):
            return
        if line.startswith("##fileformat=VCF"):
            raise self._error(
                "is of a version that cannot be read",
                where=f"{self.path.name}, line 1",
                expected="##fileformat=VCFv4.1 to VCFv4.5",
                next_step="write the file anew as VCF 4 with the program that made it",
            )
        # More than the first line: array exports show what they are a few lines further down.
        kind = recognise(first[:_HEAD_BYTES] + self._stream.read(_HEAD_BYTES), self.path.name)
        raise self._error(
            "is not a VCF",
            expected="##fileformat=VCF in its first line",
            found=kind.found,
            next_step=kind.next_step,
        )

    def _check_columns(self, line: str, number: int) -> None:
        names = line.split("\t")
        if names[:8] == _COLUMNS:
            self._columns = len(names)
            return
        pairs = enumerate(zip(_COLUMNS, names, strict=False), 1)
        wrong = next((f"column {at} is not {name}" for at, (name, given) in pairs if given != name), "")
        raise self._error(
            "has a malformed column line",
            where=f"{self.path.name}, line {number}",
            expected=f"{', '.join(_COLUMNS)} between tabs",
            found="no tabs" if len(names) == 1 else wrong or f"{len(names)} columns",
        )

    def _refuse_header_line(self, line: str, number: int) -> None:
        columns = line.split("\t")
        where = f"{self.path.name}, line {number}"
        if len(columns) >= 8 and columns[1].isdecimal():
            raise self._error("has no column line", where=where, expected=_COLUMN_LINE, found="a record")
        raise self._error(
            "has a line in its header that does not begin with ##",
            where=where,
            expected="lines that begin with ##, then the one that begins with #CHROM",
            found="another beginning",
            next_step="delete the line, or join it to the one before it",
        )

    def _add_contig(self, line: str) -> None:
        name = _CONTIG_ID.search(line)
        length = _CONTIG_LENGTH.search(line)
        if name is not None:
            self.contig_lengths[name.group(1)] = (int(length.group(1)) or None) if length else None

    def _error(self, what: str, **fields: str) -> InputError:
        place = f"{self.path.name}, after record {self._count}" if self._count else self.path.name
        fields.setdefault("where", place)
        fields.setdefault("next_step", "check the file with: bcftools view")
        return InputError(
            "vcf-unreadable",
            f"The VCF {what}.",
            record=self._count,
            **fields,
        )
