"""Cells and windows: which stretch of a contig the trunk of a variant covers.

A contig is cut into cells of `cell_bp`. Every variant whose locus falls in a cell shares the cell's window,
so one trunk serves them all. The cell is part of the state contract: another cell size is another score.

Coordinates are *oriented*: 0-based along the strand that is read. On the reverse strand base x of a contig
of length L is base L - 1 - x, and cells mirror with it, so a cell holds the same bases on both strands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement, reverse_complement, shift_right
from genolewm_core.scoring.sixmer import K

__all__ = ["Contig", "Geometry", "Strand", "StrandView", "Window"]

Strand = Literal["+", "-"]


class Contig(Protocol):
    """One contig of a reference."""

    @property
    def length(self) -> int:
        """Bases in the contig."""
        ...

    def fetch(self, start: int, end: int) -> str:
        """Upper-case bases of the 0-based half-open stretch [start, end)."""
        ...


@dataclass(frozen=True, slots=True)
class StrandView:
    """A contig read along one strand, in oriented coordinates."""

    contig: Contig
    strand: Strand = "+"

    @property
    def length(self) -> int:
        """Bases in the contig."""
        return self.contig.length

    def fetch(self, start: int, end: int) -> str:
        """Upper-case bases of the oriented stretch [start, end)."""
        if self.strand == "+":
            return self.contig.fetch(start, end)
        return reverse_complement(self.contig.fetch(self.length - end, self.length - start))

    def orient(self, replacement: Replacement) -> Replacement:
        """A right-shifted forward replacement in oriented coordinates, right-shifted along this strand.

        Its `start` is the locus on this strand: the first base at which the sequences differ when they are
        read in this direction, which in a repeat is another base than on the forward strand.
        """
        if self.strand == "+":
            return replacement
        mirrored = Replacement(
            self.length - replacement.end,
            self.length - replacement.start,
            reverse_complement(replacement.alt),
        )
        return shift_right(mirrored, self)


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch a trunk may cover, oriented, 0-based half-open. `start` fixes the six-mer phase."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of windows and cells, in bases.

    Attributes:
        window_bp: 6,144, 12,288 or 24,576.
        cell_bp: a multiple of 12, at most `window_bp`.
    """

    window_bp: int = 12_288
    cell_bp: int = 6_144

    def __post_init__(self) -> None:
        if self.window_bp not in (6_144, 12_288, 24_576):
            raise ConfigError(
                "config-invalid",
                "This window size is not offered.",
                where="window_bp",
                expected="6144, 12288 or 24576",
                found=str(self.window_bp),
            )
        if self.cell_bp <= 0 or self.cell_bp % 12 or self.cell_bp > self.window_bp:
            raise ConfigError(
                "config-invalid",
                "This cell size cannot be used.",
                where="cell_bp",
                expected=f"a multiple of 12 between 12 and {self.window_bp}",
                found=str(self.cell_bp),
            )

    @property
    def left_bp(self) -> int:
        """Bases of context to the left of a cell; a multiple of 6, so that it does not move the phase."""
        return K * ((self.window_bp - self.cell_bp) // (2 * K))

    def cell(self, locus_start: int) -> int:
        """Index of the cell that holds a forward locus (0-based base)."""
        return locus_start // self.cell_bp

    def window(self, cell: int, view: StrandView, shift: int = 0) -> Window:
        """The window of a cell on one strand.

        Starts at the contig's start where there is less context than `left_bp`, and is cut off, never
        shifted, at its end. Whole six-mers of leading N are left out: they carry nothing, and leaving out
        parts of a six-mer would move the phase.

        Args:
            cell: index from `cell`.
            view: the contig and strand.
            shift: 0..5, moves the six-mer phase to the right.
        """
        cell_start = cell * self.cell_bp
        if view.strand == "-":
            cell_start = view.length - (cell_start + self.cell_bp)
        end = min(view.length, cell_start - self.left_bp + self.window_bp)
        start = min(max(0, cell_start - self.left_bp) + shift, end)
        text = view.fetch(start, end)
        leading_n = len(text) - len(text.lstrip("N"))
        return Window(start + K * (leading_n // K), end)
