"""The bases that the embedded model is trained on, and the windows drawn from them.

Axis letters: B rows of a batch, L six-mers of a window.

Bases are held as digits of `genolewm_core.scoring.sixmer.BASE_ORDER` (A, T, C, G = 0..3), in which the
complement of a digit is the digit with its lowest bit turned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import InputError
from genolewm_core.scoring.sixmer import K

__all__ = ["Piece", "Source", "TrainingSequence", "codes_of", "reverse_complement"]

_PLACE = 4 ** np.arange(K - 1, -1, -1)
_TWO_64 = 1 << 64


def reverse_complement(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Digits of the other strand, 5' to 3'."""
    return digits[::-1] ^ np.uint8(1)


def codes_of(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Codes 0..4095 of digits of whole six-mers; int64 (len/6,)."""
    return np.asarray(digits.reshape(-1, K) @ _PLACE)


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
            codes[row] = codes_of(digits)
        return codes
