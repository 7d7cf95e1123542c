"""Haplotype blocks in memory, looked up by window; and the Parquet file that they are kept in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genolewm_core.artifacts.atomic import publishing
from genolewm_core.errors import InputError
from genolewm_core.genome.variant import Variant
from genolewm_data.haplotypes.calls import Block, Call

__all__ = ["HaplotypeTable"]

_VARIANT = pa.struct([("pos", pa.int64()), ("ref", pa.string()), ("alt", pa.string())])
_SCHEMA = pa.schema(
    [
        pa.field("chrom", pa.string(), nullable=False),
        pa.field("called", pa.list_(_VARIANT), nullable=False),
        pa.field("keys", pa.list_(_VARIANT), nullable=False),
        pa.field("n_copies", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class HaplotypeTable:
    """Blocks with the number of chromosome copies that carry each.

    Attributes:
        counts: block to its copies.
    """

    counts: Mapping[Block, int]
    _blocks: dict[str, list[Block]] = field(init=False, repr=False)
    _starts: dict[str, list[int]] = field(init=False, repr=False)
    _ends: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        blocks: dict[str, list[Block]] = {}
        for block in sorted(self.counts, key=_order):
            blocks.setdefault(block.calls[0].called.chrom, []).append(block)
        starts = {chrom: [block.calls[0].called.start for block in held] for chrom, held in blocks.items()}
        ends = {
            chrom: [max(call.called.end for call in block.calls) for block in held]
            for chrom, held in blocks.items()
        }
        object.__setattr__(self, "_blocks", blocks)
        object.__setattr__(self, "_starts", starts)
        object.__setattr__(self, "_ends", ends)

    def __len__(self) -> int:
        return len(self.counts)

    def between(self, contig: str, start: int, end: int) -> list[Block]:
        """Blocks that lie in [start, end), 0-based half-open, by place."""
        starts = self._starts.get(contig, [])
        held = slice(bisect_left(starts, start), bisect_left(starts, end))
        blocks, ends = self._blocks.get(contig, [])[held], self._ends.get(contig, [])[held]
        return [block for block, last in zip(blocks, ends, strict=True) if last <= end]

    def write(self, path: Path) -> None:
        """Write as Parquet, by place, whole or not at all; equal tables give equal bytes.

        Raises:
            ResourceError: `output-unwritable`.
        """
        rows = [
            {
                "chrom": chrom,
                "called": [_spelled(call.called) for call in block.calls],
                "keys": [_spelled(call.key) for call in block.calls],
                "n_copies": self.counts[block],
            }
            for chrom, blocks in sorted(self._blocks.items())
            for block in blocks
        ]
        with publishing(path) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), temporary, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> HaplotypeTable:
        """Read what `write` wrote.

        Raises:
            InputError: `training-data-missing`, when the file is missing, damaged or no such table.
        """
        try:
            counts = {}
            for row in pq.read_table(path, columns=_SCHEMA.names).to_pylist():
                chrom = row["chrom"]
                calls = [
                    Call(Variant(chrom, **key), Variant(chrom, **called))
                    for key, called in zip(row["keys"], row["called"], strict=True)
                ]
                counts[Block(tuple(calls))] = row["n_copies"]
            return cls(counts)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, InputError) as error:
            raise InputError(
                "training-data-missing",
                "A table of haplotype blocks cannot be read.",
                where=str(path),
                expected="a table that geno-lewm dataset build wrote",
                found=type(error).__name__,
                next_step="build the dataset again",
            ) from None


def _order(block: Block) -> tuple[object, ...]:
    return (block.calls[0].called.chrom, block.calls[0].called.start, tuple(map(_key, block.calls)))


def _key(call: Call) -> tuple[object, ...]:
    called = call.called
    return (called.pos, called.ref, called.alt, call.key.pos, call.key.ref, call.key.alt)


def _spelled(variant: Variant) -> dict[str, object]:
    return {"pos": variant.pos, "ref": variant.ref, "alt": variant.alt}
