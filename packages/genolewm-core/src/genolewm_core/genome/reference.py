"""Reference bases from an indexed FASTA, plain or bgzip-compressed.

Random access into a bgzip file is some thirty times slower than into a plain one, so bases are read in blocks
and the last blocks are kept: a walk over a sorted VCF reads each block once, in a few megabytes of memory.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

import pysam

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.fasta_index import check_fasta, ensure_index, unreadable

__all__ = ["Contig", "Reference"]

_BLOCK_BP = 65_536
_BLOCKS_KEPT = 64
_BLOCKS_JOINED = 8


class Reference:
    """An open reference FASTA.

    Contigs are named as the FASTA names them; bases are upper-case, whatever soft-masking the file has, and
    IUPAC codes stay what they are. Objects may be shared by threads, pickled, and used after a fork.

    Args:
        path: FASTA file, plain or compressed by bgzip. A missing index is built beside it.

    Raises:
        InputError: `reference-unreadable`, when the file is missing, not a FASTA or compressed by plain gzip,
            or its index is older than the file, damaged, or missing where none can be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fasta: pysam.FastaFile | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int], str] = OrderedDict()
        check_fasta(self.path)
        ensure_index(self.path)
        fasta = self._open()
        lengths = dict(zip(fasta.references, fasta.lengths, strict=True))
        if not lengths or min(lengths.values()) < 0:
            raise unreadable(self.path, "has an index that lists no contigs, or impossible ones")
        self.contigs = ContigTable(lengths)

    def __repr__(self) -> str:
        return f"Reference({self.path.name!r}, {self.contigs!r})"

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return (Reference, (self.path,))

    def close(self) -> None:
        """Close the file and forget its bases; a later fetch opens it again."""
        with self._lock:
            if self._fasta is not None:
                self._fasta.close()
            self._fasta = None
            self._blocks.clear()

    def contig(self, chrom: str) -> Contig:
        """One contig, for many look-ups near each other.

        Raises:
            InputError: `contig-unknown`.
        """
        if chrom not in self.contigs:
            raise InputError(
                "contig-unknown",
                "A contig is not in the reference FASTA.",
                where=self.path.name,
                expected=f"a name in the style {self.contigs.style!r}",
                next_step="resolve the name with Reference.contigs.resolve, or use another FASTA",
            )
        return Contig(self, chrom)

    def fetch(self, chrom: str, start: int, end: int) -> str:
        """Upper-case bases of [start, end), 0-based half-open.

        Raises:
            InputError: `contig-unknown`, or `reference-unreadable` when the file is damaged.
            ValueError: not 0 <= start <= end <= length of the contig; nothing is ever clipped.
        """
        return self.contig(chrom).fetch(start, end)

    def _block(self, chrom: str, index: int) -> str:
        """Bases as the file has them; upper-casing whole blocks would double the cost of reading them."""
        key = (chrom, index)
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
                return block
        start = index * _BLOCK_BP
        block = self._read(chrom, start, min(start + _BLOCK_BP, self.contigs[chrom]))
        with self._lock:
            self._blocks[key] = block
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return block

    def _read(self, chrom: str, start: int, end: int) -> str:
        if self._pid != os.getpid():
            # After a fork both processes would move the same file offset.
            self._pid, self._lock, self._fasta = os.getpid(), threading.Lock(), None
        try:
            with self._lock:
                bases: str = (self._fasta or self._open()).fetch(chrom, start, end)
        except (OSError, ValueError, KeyError) as error:
            raise unreadable(self.path, "could not be read", found=type(error).__name__) from error
        if len(bases) != end - start:
            raise unreadable(self.path, "ends before its index says", found="fewer bases than indexed")
        return bases

    def _open(self) -> pysam.FastaFile:
        # htslib writes its own messages to stderr; ours are enough.
        pysam.set_verbosity(0)
        try:
            self._fasta = pysam.FastaFile(str(self.path))
        except (OSError, ValueError) as error:
            raise unreadable(
                self.path, "could not be opened with its index", found=str(type(error).__name__)
            ) from None
        return self._fasta


class Contig:
    """The bases of one contig; keeps the block it read last.

    Made by `Reference.contig`. Not to be shared by threads (each may have its own).
    """

    __slots__ = ("_block", "_block_end", "_block_start", "length", "name", "reference")

    def __init__(self, reference: Reference, name: str) -> None:
        self.reference = reference
        self.name = name
        self.length = reference.contigs[name]
        self._block = ""
        self._block_start = 0
        self._block_end = -1

    def __reduce__(self) -> tuple[object, ...]:
        return (Contig, (self.reference, self.name))

    def fetch(self, start: int, end: int) -> str:
        """Upper-case bases of [start, end), 0-based half-open.

        Raises:
            InputError: `reference-unreadable`, when the file is damaged.
            ValueError: not 0 <= start <= end <= length; nothing is ever clipped.
        """
        offset = self._block_start
        if offset <= start <= end <= self._block_end:
            return self._block[start - offset : end - offset].upper()
        if not 0 <= start <= end <= self.length:
            raise ValueError("a stretch of reference lies outside its contig")
        if start == end:
            return ""
        first, last = start // _BLOCK_BP, (end - 1) // _BLOCK_BP
        if last - first >= _BLOCKS_JOINED:
            return self.reference._read(self.name, start, end).upper()
        if last > first:
            joined = "".join(self.reference._block(self.name, i) for i in range(first, last + 1))
            return joined[start - first * _BLOCK_BP : end - first * _BLOCK_BP].upper()
        self._block = self.reference._block(self.name, first)
        self._block_start = offset = first * _BLOCK_BP
        self._block_end = offset + len(self._block)
        return self._block[start - offset : end - offset].upper()
