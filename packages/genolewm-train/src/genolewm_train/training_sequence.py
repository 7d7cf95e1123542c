"""The bases that the embedded model is trained on, and the windows drawn from them.

Axis letters: B rows of a batch, L six-mers of a window.

Bases are held as digits of `genolewm_core.scoring.sixmer.BASE_ORDER` (A, T, C, G = 0..3), in which the
complement of a digit is the digit with its lowest bit turned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pysam

from genolewm_core.errors import InputError
from genolewm_core.scoring.sixmer import K, base_digits
from genolewm_train.holdouts import Holdouts, chromosome, read_holdouts
from genolewm_train.intervals import Interval, Intervals, merge, subtract, union

__all__ = [
    "SPECIES",
    "Piece",
    "Source",
    "TrainingSequence",
    "read_pieces",
    "read_training_sequence",
    "reverse_complement",
]

_PLACE = 4 ** np.arange(K - 1, -1, -1)
_TWO_64 = 1 << 64
# Shorter stretches hold no training window of any stage worth the bookkeeping.
MIN_PIECE_BP = 1_600

SPECIES = {"sacCer3": "sacCer3.fa.gz", "Ecoli_W": "Ecoli_W.fa.gz"}


def reverse_complement(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Digits of the other strand, 5' to 3'."""
    return digits[::-1] ^ np.uint8(1)


@dataclass(frozen=True)
class Piece:
    """A stretch of A, C, G, T only: where it is (0-based) and its digits, uint8 (length,)."""

    assembly: str
    contig: str
    start: int
    digits: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """Pieces that are drawn from together, each possible window start equally often."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def n_bases(self) -> int:
        """Bases of all pieces."""
        return sum(len(piece.digits) for piece in self.pieces)


@dataclass(frozen=True)
class TrainingSequence:
    """All sources with their sampling weights (they sum to 1)."""

    sources: tuple[Source, ...]
    weights: tuple[float, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over names, places and bases: two runs that agree in it saw the same sequence."""
        sha = hashlib.sha256()
        for source, weight in zip(self.sources, self.weights, strict=True):
            sha.update(f"{source.name} {weight}\n".encode())
            for piece in source.pieces:
                sha.update(f"{piece.assembly} {piece.contig} {piece.start} {len(piece.digits)}\n".encode())
                sha.update(piece.digits.tobytes())
        return sha.hexdigest()

    def draw(self, seed: int, step: int, row: int, window_bp: int) -> tuple[Piece, int, bool]:
        """Piece, offset in it and strand of one window: a pure function of the arguments.

        A hash stands where a generator would: nothing has to be stored to resume, and no library's
        generator can change the windows.
        """
        raw = hashlib.sha256(f"{seed}:{step}:{row}".encode()).digest()
        which, where, strand = (int.from_bytes(raw[at : at + 8], "big") for at in (0, 8, 16))
        chosen = len(self.sources) - 1
        level = 0.0
        for index, weight in enumerate(self.weights):
            level += weight
            if which / _TWO_64 < level:
                chosen = index
                break
        source = self.sources[chosen]
        n_starts = [max(0, len(piece.digits) - window_bp + 1) for piece in source.pieces]
        total = sum(n_starts)
        if total == 0:
            raise InputError(
                "training-data-missing",
                "No stretch of sequence is long enough for a training window.",
                where=source.name,
                expected=f"a stretch of {window_bp} bp without N",
                found=f"{len(source.pieces)} stretches, all shorter",
                next_step="train with shorter windows or more data",
            )
        # 64 random bits over at most 2**27 starts: the modulo's bias is below 1e-11.
        offset = where % total
        for piece, count in zip(source.pieces, n_starts, strict=True):
            if offset < count:
                return piece, offset, bool(strand & 1)
            offset -= count
        raise AssertionError  # pragma: no cover

    def batch(self, seed: int, step: int, n_rows: int, length_tok: int) -> npt.NDArray[np.int64]:
        """Six-mer codes 0..4095 of the windows of one step; int64 (B, L)."""
        window_bp = length_tok * K
        codes = np.empty((n_rows, length_tok), dtype=np.int64)
        for row in range(n_rows):
            piece, offset, reverse = self.draw(seed, step, row, window_bp)
            digits = piece.digits[offset : offset + window_bp]
            if reverse:
                digits = reverse_complement(digits)
            codes[row] = digits.reshape(-1, K) @ _PLACE
        return codes


def _regions(path: Path, fasta: pysam.FastaFile) -> Intervals:
    """Real regions of a FASTA that is N elsewhere; whole contigs where no list of regions lies beside it."""
    if not path.exists():
        return {name: [(0, fasta.get_reference_length(name))] for name in fasta.references}
    found: Intervals = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            contig, start, end = line.split("\t")[:3]
            found.setdefault(contig, []).append((int(start), int(end)))
    return union(found)


def _pieces(fasta: pysam.FastaFile, assembly: str, contig: str, spans: list[Interval]) -> list[Piece]:
    """The stretches of A, C, G, T within `spans`; every other character ends one."""
    found = []
    for start, end in spans:
        digits = base_digits(fasta.fetch(contig, start, end))
        known = np.concatenate(([False], digits >= 0, [False]))
        edges = np.flatnonzero(known[1:] != known[:-1])
        for first, last in edges.reshape(-1, 2):
            if last - first >= MIN_PIECE_BP:
                found.append(Piece(assembly, contig, start + int(first), digits[first:last].astype(np.uint8)))
    return found


def _open(path: Path) -> pysam.FastaFile:
    try:
        return pysam.FastaFile(str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            "training-data-missing",
            "A FASTA of the training data cannot be opened.",
            where=str(path),
            expected="a FASTA with its .fai (and .gzi when compressed)",
            found=repr(error),
            next_step="check the folder given with --data",
        ) from error


def read_pieces(path: Path, assembly: str, contig: str, spans: list[Interval]) -> list[Piece]:
    """Stretches of A, C, G, T of one contig of a FASTA, at least `MIN_PIECE_BP` long.

    Raises:
        InputError: the file is missing.
    """
    with _open(path) as fasta:
        return _pieces(fasta, assembly, contig, spans)


def _human(data: Path, holdouts: Holdouts, seen38_on_37: Intervals) -> list[Piece]:
    pieces: list[Piece] = []
    for assembly in ("GRCh38", "GRCh37"):
        path = data / "reference" / f"{assembly}.shared.fa.gz"
        with _open(path) as fasta:
            regions = _regions(path.with_name(f"{assembly}.shared.regions.bed"), fasta)
            for contig in sorted(regions):
                spans = subtract(regions[contig], holdouts.on(assembly, contig))
                if assembly == "GRCh37":
                    spans = subtract(spans, seen38_on_37.get(chromosome(contig), []))
                holdouts.check(assembly, contig, spans)
                pieces.extend(_pieces(fasta, assembly, contig, spans))
    return pieces


def read_training_sequence(data: Path, *, human: float, species: float) -> tuple[TrainingSequence, Holdouts]:
    """Everything to train on: the human sequence of both assemblies, yeast and E. coli, less the hold-outs.

    GRCh37 gives only what has no counterpart in the GRCh38 file, so that most genes are not seen twice.

    Args:
        data: folder with reference/, annotation/ and species/.
        human: share of the windows drawn from human sequence.
        species: share drawn from each genome of `SPECIES`.

    Raises:
        InputError: a file is missing.
        InternalError: held-out sequence slipped through.
    """
    holdouts, chain = read_holdouts(data)
    path38 = data / "reference" / "GRCh38.shared.fa.gz"
    with _open(path38) as fasta:
        regions38 = _regions(path38.with_name("GRCh38.shared.regions.bed"), fasta)
    seen = chain.inverse().lift({chromosome(name): merge(spans) for name, spans in regions38.items()})
    sources = [Source("human", tuple(_human(data, holdouts, seen)))]
    for name, file in SPECIES.items():
        with _open(data / "species" / file) as fasta:
            pieces = [
                piece
                for contig in fasta.references
                for piece in _pieces(fasta, name, contig, [(0, fasta.get_reference_length(contig))])
            ]
        sources.append(Source(name, tuple(pieces)))
    weights = (human, *([species] * len(SPECIES)))
    total = sum(weights)
    return TrainingSequence(tuple(sources), tuple(weight / total for weight in weights)), holdouts
