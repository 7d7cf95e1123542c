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

__all__ = ["VcfRecords"]

_BUFFER_BYTES = 1 << 18
_LINE_LIMIT_BYTES = 1 << 28
_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"
_BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]

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
                raise self._error(
                    "has a malformed or cut record",
                    expected="at least 8 columns between tabs, POS a whole number",
                )
            self._count += 1
            yield chrom, pos, ref, alt

    def _lines(self) -> Iterator[bytes]:
        readline = functools.partial(self._stream.readline, _LINE_LIMIT_BYTES)
        try:
            for line in iter(readline, b""):
                if len(line) == _LINE_LIMIT_BYTES:
                    raise self._error("has a line that is too long", expected="lines below 256 MiB")
                yield line
        except (OSError, EOFError, zlib.error) as error:
            raise self._error("is damaged or cut short", found=type(error).__name__) from None
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
                    "has no bgzip end marker, so it is cut short", next_step="copy or download the file again"
                )
            return cast(
                BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(self.path)), _BUFFER_BYTES)
            )
        except OSError as error:
            raise self._error("could not be opened", found=type(error).__name__) from None

    def _read_header(self) -> None:
        assemblies: set[str] = set()
        first = True
        try:
            for raw in iter(functools.partial(self._stream.readline, _LINE_LIMIT_BYTES), b""):
                line = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").rstrip("\r\n")
                if first and not line.startswith("##fileformat=VCF"):
                    break
                first = False
                if line.startswith("#CHROM"):
                    if line.split("\t")[:8] != _COLUMNS:
                        raise self._error(
                            "has a malformed column line", expected="#CHROM to INFO between tabs"
                        )
                    self.stated_assemblies = frozenset(assemblies)
                    return
                if not line.startswith("##"):
                    break
                if line.startswith("##contig="):
                    self._add_contig(line)
                if line.startswith(("##contig=", "##reference=")):
                    assemblies.update(a for a, text in _ASSEMBLY_TEXT.items() if text.search(line))
        except (OSError, EOFError, zlib.error) as error:
            raise self._error("is damaged or cut short", found=type(error).__name__) from None
        if first:
            raise self._error(
                "is not a VCF",
                expected="##fileformat=VCF in its first line",
                next_step="convert BCF and other formats first, with: bcftools view",
            )
        raise self._error("has no column line", expected="a line that begins with #CHROM after the header")

    def _add_contig(self, line: str) -> None:
        name = _CONTIG_ID.search(line)
        length = _CONTIG_LENGTH.search(line)
        if name is not None:
            self.contig_lengths[name.group(1)] = (int(length.group(1)) or None) if length else None

    def _error(self, what: str, **fields: str) -> InputError:
        fields.setdefault("next_step", "check the file with: bcftools view")
        return InputError(
            "vcf-unreadable",
            f"The VCF {what}.",
            where=f"{self.path.name}, after record {self._count}" if self._count else self.path.name,
            record=self._count,
            **fields,
        )
