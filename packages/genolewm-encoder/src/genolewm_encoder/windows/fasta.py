"""The windows of a reference: those that scoring looks at, one for each cell of the model's contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from genolewm_core.errors import ConfigError
from genolewm_core.genome.bed import Region, whole_genome
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.sixmer import K
from genolewm_core.scoring.states import ReferenceWindow, WindowBlock

__all__ = ["CENTRE", "WHOLE", "FastaWindows", "Loci", "reference_window"]


@dataclass(frozen=True, slots=True)
class Loci:
    """Which bases of a cell get a state.

    Attributes:
        every_bp: the bases whose 0-based place in the contig is a multiple of it; 0 for the cell's centre; None
            for none, which gives one untargeted state of the whole window.
    """

    every_bp: int | None = 0

    @classmethod
    def parse(cls, text: str) -> Loci:
        """Read "centre", "every:BP" or "untargeted".

        Raises:
            ConfigError: `config-invalid`.
        """
        named = {"centre": CENTRE, "untargeted": WHOLE}
        if text in named:
            return named[text]
        kind, _, step = text.partition(":")
        if kind == "every" and step.isdecimal() and 0 < int(step) < 10**9:
            return cls(int(step))
        raise ConfigError(
            "config-invalid",
            "These places in a cell cannot be used.",
            where="--at",
            expected="centre, untargeted, or every:BP with BP from 1 up, such as every:600",
            found=text[:40],
        )

    def of_cell(self, start: int, end: int) -> Sequence[int]:
        """Places in the contig, 0-based, of a cell [start, end)."""
        if self.every_bp is None:
            return ()
        if self.every_bp == 0:
            return ((start + end) // 2,)
        return range(start + -start % self.every_bp, end, self.every_bp)


CENTRE = Loci(0)
WHOLE = Loci(None)


def reference_window(contig: Contig, geometry: Geometry, cell: int, loci: Loci) -> ReferenceWindow | None:
    """The window of a cell on the forward strand, in whole six-mers, with the loci that can be read in it.

    Returns:
        None where there is nothing to read: all N, or less than a six-mer. A locus whose six-mer has another
        letter than A, C, G or T is left out; a window that has lost all its loci is None too.
    """
    place = geometry.window(cell, StrandView(contig))
    start, end = place.start, place.end - (place.end - place.start) % K
    bases = contig.fetch(start, end)
    if not bases.strip("N"):
        return None
    cell_start = cell * geometry.cell_bp
    wanted = loci.of_cell(cell_start, min(cell_start + geometry.cell_bp, contig.length))
    offsets = tuple(at - start for at in wanted if start <= at < end and _readable(bases, at - start))
    if loci != WHOLE and not offsets:
        return None
    return ReferenceWindow(contig.name, start, end, bases, offsets)


def _readable(bases: str, offset: int) -> bool:
    first = offset - offset % K
    return not bases[first : first + K].strip("ACGT")


class FastaWindows:
    """Windows of a FASTA's cells; a `WindowSource`. May be sent to other processes, each of which opens the FASTA.

    Args:
        fasta: indexed FASTA.
        geometry: windows and cells.
        loci: which bases get a state.
        regions: only cells that hold a base of one of them; None for all cells.
        block_cells: consecutive cells of a block.

    Raises:
        ConfigError: `config-invalid`, for a block without cells.
        InputError: `reference-unreadable`.
    """

    def __init__(
        self,
        fasta: Path,
        geometry: Geometry,
        loci: Loci = CENTRE,
        regions: Sequence[Region] | None = None,
        block_cells: int = 256,
    ) -> None:
        if block_cells < 1:
            raise ConfigError(
                "config-invalid",
                "A block needs cells.",
                where="--block-cells",
                expected="1 or more",
                found=str(block_cells),
            )
        self.reference = Reference(fasta)
        self.geometry = geometry
        self.loci = loci
        self._block_cells = block_cells
        self._regions = tuple(whole_genome(self.reference.contigs) if regions is None else regions)
        self._cells: dict[WindowBlock, list[int]] = {}
        for contig, group in groupby(self._regions, key=lambda region: region.contig):
            for cell in _cells_of(group, geometry):
                self._cells.setdefault(WindowBlock(contig, cell // block_cells), []).append(cell)

    def __reduce__(self) -> tuple[object, ...]:
        arguments = (self.reference.path, self.geometry, self.loci, self._regions, self._block_cells)
        return (FastaWindows, arguments)

    def blocks(self) -> Sequence[WindowBlock]:
        """Every block that has a cell, in the order of the regions."""
        return tuple(self._cells)

    def n_cells(self, block: WindowBlock) -> int:
        """Cells of a block; as many windows, less those that cannot be read."""
        return len(self._cells[block])

    def n_bp(self, block: WindowBlock) -> int:
        """Bases of a block's cells; a window reaches beyond its cell."""
        length, cell_bp = self.reference.contigs[block.contig], self.geometry.cell_bp
        return sum(min(cell_bp, length - cell * cell_bp) for cell in self._cells[block])

    def windows(self, block: WindowBlock) -> Iterator[ReferenceWindow]:
        """The windows of a block that can be read, in order; see `reference_window`.

        Raises:
            InputError: `reference-unreadable`.
        """
        contig = self.reference.contig(block.contig)
        for cell in self._cells[block]:
            window = reference_window(contig, self.geometry, cell, self.loci)
            if window is not None:
                yield window

    def short_contigs(self) -> list[str]:
        """Contigs of the blocks that are shorter than a window: their states have seen less than others'."""
        names = dict.fromkeys(block.contig for block in self._cells)
        return [name for name in names if self.reference.contigs[name] < self.geometry.window_bp]


def _cells_of(regions: Iterator[Region], geometry: Geometry) -> Iterator[int]:
    done = -1
    for region in regions:
        first, last = geometry.cell(region.start), geometry.cell(region.end - 1)
        yield from range(max(first, done + 1), last + 1)
        done = max(done, last)
