"""Intervals of one assembly on another, from a UCSC chain file.

A chain is a list of ungapped blocks. Lifting an interval gives the images of its parts in those blocks;
parts that no block covers have no image. Block images next to each other are joined when at most
`JOIN_BP` apart, so that a small insertion in the other assembly is lifted as well.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from genolewm_core.errors import InputError
from genolewm_train.intervals import Intervals, union

__all__ = ["JOIN_BP", "Block", "Chain", "read_chain"]

JOIN_BP = 1_000


class Block(NamedTuple):
    """One ungapped block: the same number of bases on both assemblies, 0-based half-open.

    `sign` is −1 where the block lies on the reverse strand of the target assembly.
    """

    source_contig: str
    source_start: int
    target_contig: str
    target_start: int
    size_bp: int
    sign: int


@dataclass(frozen=True)
class Chain:
    """The blocks of a chain file by source contig; contig names are those of the file, e.g. `chr17`."""

    blocks: dict[str, list[Block]]

    def lift(self, intervals: Intervals) -> Intervals:
        """Images of source intervals on the target assembly."""
        found: Intervals = {}
        for contig, spans in intervals.items():
            for block in self.blocks.get(contig, ()):
                for start, end in spans:
                    first = max(start, block.source_start) - block.source_start
                    last = min(end, block.source_start + block.size_bp) - block.source_start
                    if first >= last:
                        continue
                    if block.sign < 0:
                        first, last = block.size_bp - last, block.size_bp - first
                    image = (block.target_start + first, block.target_start + last)
                    found.setdefault(block.target_contig, []).append(image)
        return union(found, gap_bp=JOIN_BP)

    def inverse(self) -> Chain:
        """The same blocks from target to source."""
        blocks: dict[str, list[Block]] = defaultdict(list)
        for group in self.blocks.values():
            for block in group:
                turned = Block(
                    block.target_contig,
                    block.target_start,
                    block.source_contig,
                    block.source_start,
                    block.size_bp,
                    block.sign,
                )
                blocks[turned.source_contig].append(turned)
        return Chain(dict(blocks))


def read_chain(path: Path) -> Chain:
    """Reads a gzipped UCSC chain file (source assembly = its "target" columns).

    Raises:
        InputError: the file is missing or not a chain file.
    """
    blocks: dict[str, list[Block]] = defaultdict(list)
    try:
        with gzip.open(path, "rt", encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if not fields or fields[0].startswith("#"):
                    continue
                if fields[0] == "chain":
                    source_contig, source_at = fields[2], int(fields[5])
                    target_contig, target_size = fields[7], int(fields[8])
                    sign, target_at = (1 if fields[9] == "+" else -1), int(fields[10])
                    continue
                size = int(fields[0])
                start = target_at if sign > 0 else target_size - target_at - size
                blocks[source_contig].append(
                    Block(source_contig, source_at, target_contig, start, size, sign)
                )
                if len(fields) == 3:
                    source_at += size + int(fields[1])
                    target_at += size + int(fields[2])
    except (OSError, ValueError, IndexError, UnboundLocalError) as error:
        raise InputError(
            "training-data-missing",
            "The chain file between the assemblies cannot be read.",
            where=str(path),
            expected="a gzipped UCSC chain file",
            found=repr(error),
            next_step="check the folder given with --data",
        ) from error
    return Chain(dict(blocks))
