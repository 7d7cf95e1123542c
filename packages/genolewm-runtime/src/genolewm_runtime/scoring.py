"""Rows in, rows out: group a stretch of a VCF by cell, score each cell once, give every row its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.consequence import Effect, region_of
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.calibration import Calibrated, CalibrationTable
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.context import CellContext
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions, score_cell

__all__ = ["ScoredRow", "Shard", "score_rows", "shards_of"]

MAX_SHARD_ROWS = 8_192
MAX_SHARD_CELLS = 64
"""A shard is the unit of resuming: 64 cells are seconds of work on the embedded model, minutes on Carbon."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive rows of a VCF whose cells lie in no other shard, as long as the VCF is sorted."""

    index: int
    rows: Sequence[Row]


@dataclass(slots=True)
class ScoredRow:
    """The outcome of one allele of one record.

    Attributes:
        source: the row as read and normalised.
        status: "scored", "skipped" or "failed".
        reason: stable code; None when scored.
        flags: what a reader should know about a score: "n_in_span", "span_truncated".
        values: head -> score; None where the head is not defined for the edit.
        sigma_raw: value of the model's default head for this class of edit.
        head: that head's name; None when it was not computed.
        effect: gene and consequence; None without an annotation and outside of its genes.
        calibrated: the score among those of common variants; None where no calibration applies.
    """

    source: Row
    status: str
    reason: str | None
    flags: tuple[str, ...]
    values: dict[str, float | None]
    sigma_raw: float | None
    head: str | None
    effect: Effect | None = None
    calibrated: Calibrated | None = None


def shards_of(rows: Iterable[Row], geometry: Geometry) -> Iterator[Shard]:
    """Cut a stream of rows into shards, only where no cell is shared by what lies on both sides.

    A record's locus is never left of its position, so the cut before a record is clean when every earlier
    locus lies in an earlier cell. In an unsorted VCF a cell can come back in a later shard; its trunk is
    then run again and the scores agree to the bound between packings. There a shard may also find no clean
    cut, so at four times its size it is cut before the next record, and memory stays bounded.
    """
    held: list[Row] = []
    cells: set[tuple[str, int]] = set()
    last_cell = -1
    last_contig: str | None = None
    index = 0
    for row in rows:
        full = len(held) >= MAX_SHARD_ROWS or len(cells) >= MAX_SHARD_CELLS
        # Alleles of one record stay together: its position lies in the last cell or further left.
        clean = row.contig != last_contig or geometry.cell(max(row.pos - 1, 0)) > last_cell
        if row.allele <= 1 and ((full and clean) or len(held) >= 4 * MAX_SHARD_ROWS):
            yield Shard(index, held)
            held, index, last_cell = [], index + 1, -1
            cells = set()
        if row.contig != last_contig:
            last_contig, last_cell = row.contig, -1
        held.append(row)
        if row.replacement is not None and row.contig is not None:
            cell = geometry.cell(row.replacement.start)
            cells.add((row.contig, cell))
            last_cell = max(last_cell, cell)
    if held:
        yield Shard(index, held)


def score_rows(
    rows: Sequence[Row],
    reference: Reference,
    backend: Backend,
    options: PassOptions,
    default_heads: Mapping[str, str],
    calibration: CalibrationTable | None = None,
    annotation: Annotation | None = None,
) -> tuple[list[ScoredRow], int]:
    """Score a shard.

    Args:
        rows: rows of one shard.
        reference: the FASTA that the rows were read against.
        backend: the model.
        options: what to compute.
        default_heads: edit class -> head whose value is `sigma_raw`.
        calibration: table of these options on this backend; None where there is none.
        annotation: transcripts to name genes and consequences by.

    Returns:
        One outcome per row, in order, and the number of tokens run.
    """
    cells: dict[tuple[str, int], dict[Replacement, list[int]]] = {}
    scored: list[ScoredRow] = []
    for i, row in enumerate(rows):
        scored.append(_unscored(row, options.heads, default_heads))
        if row.status == "scorable" and row.contig is not None and row.replacement is not None:
            key = (row.contig, options.geometry.cell(row.replacement.start))
            cells.setdefault(key, {}).setdefault(row.replacement, []).append(i)
    n_tok = 0
    for (contig, cell), edits in cells.items():
        replacements = list(edits)
        bases = reference.contig(contig)
        result = score_cell(backend, bases, cell, replacements, options)
        context = None if calibration is None else CellContext(bases, options.geometry, cell, options.phases)
        n_tok += result.n_tok
        for k, places in enumerate(edits.values()):
            values = {name: _number(result.values[name][k]) for name in HEADS}
            flags = tuple(
                name
                for name, on in (
                    ("n_in_span", result.n_in_span[k]),
                    ("span_truncated", result.truncated[k]),
                )
                if on
            )
            for i in places:
                if not result.told[k]:
                    scored[i].status, scored[i].reason = "skipped", "sixmer_unreadable"
                elif all(value is None for value in values.values()):
                    scored[i].status, scored[i].reason = "skipped", "score_undefined"
                else:
                    _give_scores(scored[i], values, flags, default_heads)
                    if annotation is not None and (variant := rows[i].variant) is not None:
                        scored[i].effect = annotation.consequence(variant, bases)
                    if calibration is not None and context is not None:
                        region = None if annotation is None else region_of(_consequence(scored[i].effect))
                        scored[i].calibrated = calibration.calibrate(
                            rows[i].edit_class or "substitution",
                            scored[i].head,
                            values,
                            context.of(replacements[k]),
                            region,
                        )
    return scored, n_tok


def _unscored(row: Row, heads: Sequence[str], default_heads: Mapping[str, str]) -> ScoredRow:
    outcome = ScoredRow(row, row.status, row.reason, (), dict.fromkeys(HEADS), None, None)
    if row.status == "identity":
        # REF and ALT are the same bases: no six-mer changes, so every difference is exactly 0.
        values = {name: 0.0 if name in heads else None for name in HEADS}
        _give_scores(outcome, values, (), default_heads)
    return outcome


def _give_scores(
    scored: ScoredRow,
    values: dict[str, float | None],
    flags: tuple[str, ...],
    default_heads: Mapping[str, str],
) -> None:
    head = default_heads[scored.source.edit_class or "substitution"]
    scored.status, scored.reason = "scored", None
    scored.values, scored.flags = values, flags
    if values[head] is not None:
        scored.sigma_raw, scored.head = values[head], head


def _consequence(effect: Effect | None) -> str | None:
    return None if effect is None else effect.consequence


def _number(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)
