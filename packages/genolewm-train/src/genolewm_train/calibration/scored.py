"""Scores of calibration sites, cell by cell, kept as they come so that an interrupted build goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.consequence import region_of
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.context import CellContext, Context
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions, score_cell

__all__ = ["Scored", "score_sites"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One site with its scores.

    Attributes:
        name: the normalised variant.
        region: region class; None without an annotation.
        scores: head -> score, those that are defined.
    """

    name: str
    edit_class: str
    region: str | None
    context: Context
    scores: dict[str, float]

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Scored:
        """Inverse of `dataclasses.asdict`."""
        return cls(**{**raw, "context": Context(**raw["context"])})


def score_sites(
    rows: Sequence[Row],
    reference: Reference,
    backend: Backend,
    options: PassOptions,
    annotation: Annotation | None,
    kept: Path,
    identity: object,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scored]:
    """Score sites, going on with what an interrupted build left.

    Args:
        rows: scorable rows.
        kept: file of finished cells; one JSON object a line.
        identity: JSON of everything that decides a score; a file of another is started anew.
        on_cell: told how many cells are finished, and of how many.
    """
    cells: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row.contig is None or row.replacement is None:
            raise ValueError("a calibration site is not scorable")
        cells.setdefault((row.contig, options.geometry.cell(row.replacement.start)), []).append(row)
    digest = hashlib.sha256(
        canonical_json([identity, asdict(options), sorted(str(row.variant) for row in rows)])
    ).hexdigest()
    done = dict(_finished(kept, digest))
    kept.write_text("".join(_line(key, value) for key, value in [("", digest), *done.items()]))
    found: list[Scored] = []
    with kept.open("a", encoding="utf-8") as file:
        for n, ((contig, cell), members) in enumerate(sorted(cells.items()), 1):
            name = f"{contig}:{cell}"
            raw = done.get(name)
            if raw is None:
                scored = _cell(backend, reference, contig, cell, members, options, annotation)
                raw = [asdict(site) for site in scored]
                file.write(_line(name, raw))
                file.flush()
            found += [Scored.from_dict(site) for site in raw]
            on_cell(n, len(cells))
    return found


def _cell(
    backend: Backend,
    reference: Reference,
    contig: str,
    cell: int,
    rows: Sequence[Row],
    options: PassOptions,
    annotation: Annotation | None,
) -> list[Scored]:
    bases = reference.contig(contig)
    edits: dict[Replacement, Row] = {row.replacement: row for row in rows if row.replacement is not None}
    result = score_cell(backend, bases, cell, list(edits), options)
    around = CellContext(bases, options.geometry, cell, options.phases)
    found = []
    for k, (edit, row) in enumerate(edits.items()):
        scores = {name: float(result.values[name][k]) for name in HEADS}
        scores = {name: value for name, value in scores.items() if value == value}
        if not result.told[k] or result.n_in_span[k] or result.truncated[k] or not scores:
            continue  # flagged scores are read from less, and are no measure for others
        region = None
        if annotation is not None and row.variant is not None:
            effect = annotation.consequence(row.variant, bases)
            region = region_of(None if effect is None else effect.consequence)
        found.append(Scored(str(row.variant), str(row.edit_class), region, around.of(edit), scores))
    return found


def _finished(kept: Path, digest: str) -> Iterator[tuple[str, Any]]:
    if not kept.exists():
        return
    for number, line in enumerate(kept.read_text(encoding="utf-8").splitlines()):
        try:
            key, value = json.loads(line)
        except ValueError:
            return  # cut off while it was written
        if number == 0 and (key, value) != ("", digest):
            return
        if number:
            yield key, value


def _line(key: str, value: object) -> str:
    return json.dumps([key, value]) + "\n"
