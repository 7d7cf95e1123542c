"""Intervals and variants of one assembly on another, from a UCSC chain file.

A chain is a list of ungapped blocks. Lifting an interval gives the images of its parts in those blocks; parts that
no block covers have no image. Images next to each other are joined when at most `JOIN_BP` apart, so that what the
other assembly has in between is lifted as well: for hold-outs too much is better than too little.
"""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.variant import Variant
from genolewm_data.holdouts.intervals import Intervals, chromosome

__all__ = ["JOIN_BP", "Block", "Chain"]

JOIN_BP = 1_000


class Block(NamedTuple):
    """One ungapped block: the same number of bases on both assemblies, 0-based half-open.

    `sign` is −1 where the block lies on the reverse strand of the target assembly; its target coordinates are of
    the forward strand in either case.
    """

    source_contig: str
    source_start: int
    target_contig: str
    target_start: int
    size_bp: int
    sign: int


@dataclass(frozen=True)
class Chain:
    """The blocks of a chain file; contig names are spelled as `chromosome` does."""

    blocks: tuple[Block, ...]
    _spans: dict[str, npt.NDArray[np.int64]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows: dict[str, list[int]] = defaultdict(list)
        for index, block in enumerate(self.blocks):
            rows[block.source_contig].append(index)
        arrays: dict[str, npt.NDArray[np.int64]] = {}
        for contig, indices in rows.items():
            spans = [
                (self.blocks[i].source_start, self.blocks[i].source_start + self.blocks[i].size_bp, i)
                for i in indices
            ]
            arrays[contig] = np.array(spans, dtype=np.int64).T
        # Blocks may overlap on the side that chains were not made for, so no order would allow a bisection.
        object.__setattr__(self, "_spans", arrays)

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Reads a gzipped UCSC chain file (source assembly = its "target" columns).

        Raises:
            InputError: `training-data-missing`, when the file is missing or no chain file.
        """
        blocks: list[Block] = []
        try:
            with gzip.open(path, "rt", encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if not fields or fields[0].startswith("#"):
                        continue
                    if fields[0] == "chain":
                        source_contig, source_at = chromosome(fields[2]), int(fields[5])
                        target_contig, target_size = chromosome(fields[7]), int(fields[8])
                        sign, target_at = (1 if fields[9] == "+" else -1), int(fields[10])
                        continue
                    size = int(fields[0])
                    start = target_at if sign > 0 else target_size - target_at - size
                    blocks.append(Block(source_contig, source_at, target_contig, start, size, sign))
                    if len(fields) == 3:
                        source_at += size + int(fields[1])
                        target_at += size + int(fields[2])
        except (OSError, EOFError, zlib.error, ValueError, IndexError, UnboundLocalError) as error:
            raise _unreadable(path, type(error).__name__) from error
        if not blocks:
            raise _unreadable(path, "no chain")
        return cls(tuple(blocks))

    def inverse(self) -> Chain:
        """The same blocks from target to source."""
        return Chain(
            tuple(
                Block(b.target_contig, b.target_start, b.source_contig, b.source_start, b.size_bp, b.sign)
                for b in self.blocks
            )
        )

    def lift(self, intervals: Intervals) -> Intervals:
        """Images of source intervals on the target assembly."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for contig, start, end in intervals:
            for block in self._overlapping(contig, start, end):
                first = max(start, block.source_start) - block.source_start
                last = min(end, block.source_start + block.size_bp) - block.source_start
                if block.sign < 0:
                    first, last = block.size_bp - last, block.size_bp - first
                found[block.target_contig].append((block.target_start + first, block.target_start + last))
        return Intervals.of(found, gap_bp=JOIN_BP)

    def lift_variant(self, variant: Variant) -> Variant | None:
        """The variant on the target assembly, or None unless exactly one block covers all of its REF.

        Bases of the target are not looked at: compare REF and normalise afterwards.
        """
        start, end = variant.start, variant.end
        covering = [
            block
            for block in self._overlapping(chromosome(variant.chrom), start, end)
            if block.source_start <= start and end <= block.source_start + block.size_bp
        ]
        if len(covering) != 1:
            return None
        block = covering[0]
        offset = start - block.source_start
        if block.sign > 0:
            return Variant(block.target_contig, block.target_start + offset + 1, variant.ref, variant.alt)
        first = block.target_start + block.size_bp - (end - block.source_start)
        ref, alt = reverse_complement(variant.ref), reverse_complement(variant.alt)
        return Variant(block.target_contig, first + 1, ref, alt)

    def _overlapping(self, contig: str, start: int, end: int) -> list[Block]:
        spans = self._spans.get(contig)
        if spans is None:
            return []
        return [self.blocks[i] for i in spans[2][(spans[0] < end) & (spans[1] > start)]]


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "training-data-missing",
        "The chain file between the assemblies cannot be read.",
        where=str(path),
        expected="a gzipped UCSC chain file",
        found=found,
        next_step="check the path, or fetch the file again",
    )
