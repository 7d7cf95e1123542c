"""AUROC on the saturation editing of BRCA1 (Findlay et al. 2018), beside published scores of the same rows.

The label is loss of function against the other two classes. Every score is turned so that a larger value
means more damage; a likelihood difference is alternate minus reference, so it is turned by its sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import row_of
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_train.data_folder import read_table

__all__ = ["PUBLISHED", "auroc", "brca1_auroc", "head_scores", "published_auroc", "read_brca1"]

FILE_NAME = "BRCA1_SGE_Findlay2018.GRCh37.tsv.gz"

PUBLISHED: dict[str, tuple[str, int]] = {
    "Carbon-3B": ("delta_carbon3b", -1),
    "GENERator-v2-3B": ("delta_gener3b", -1),
    "CADD": ("cadd", 1),
    "phyloP": ("phylop_mammalian", 1),
    "Evo2-1B": ("delta_evo2_1b", -1),
}
"""Name -> (column of the table, sign that makes a larger value mean more damage)."""

HEAD_SIGNS = {"marginal_llr": -1, "delta_ll": -1, "displacement": 1}

Float = npt.NDArray[np.float64]
TableRow = Mapping[str, str]


def read_brca1(data: Path) -> list[dict[str, str]]:
    """Rows of the benchmark table as text.

    Raises:
        EvaluationError: the table is missing or is another table.
    """
    return read_table(data / "benchmark" / FILE_NAME, "label_lof")


def auroc(scores: Float, labels: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    NaN when a class is empty.
    """
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return math.nan
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def brca1_auroc(rows: Sequence[TableRow], scores: Float) -> dict[str, float]:
    """AUROC over all rows and over missense rows alone; rows without a score are left out.

    Args:
        rows: from `read_brca1`.
        scores: float64 (number of rows,), larger meaning more damage, NaN where missing.
    """
    labels = np.array([row["label_lof"] == "1" for row in rows])
    missense = np.array([row["consequence"] == "Missense" for row in rows])
    known = ~np.isnan(scores)
    return {
        "all": auroc(scores[known], labels[known]),
        "missense": auroc(scores[known & missense], labels[known & missense]),
        "n_all": float(known.sum()),
        "n_missense": float((known & missense).sum()),
    }


def published_auroc(rows: Sequence[TableRow]) -> dict[str, dict[str, float]]:
    """AUROC of the published scores that the table carries."""
    return {
        name: brca1_auroc(rows, np.array([sign * float(row[column] or "nan") for row in rows]))
        for name, (column, sign) in PUBLISHED.items()
    }


def head_scores(
    rows: Sequence[TableRow], reference: Reference, backend: Backend, options: PassOptions
) -> dict[str, Float]:
    """Scores of every head for every row, turned so that larger means more damage; NaN where undefined.

    Args:
        rows: from `read_brca1`.
        reference: the GRCh37 FASTA.
        backend: the model.
        options: the model's contract.
    """
    scores = {head: np.full(len(rows), np.nan) for head in HEADS}
    cells: dict[tuple[str, int], dict[Replacement, int]] = {}
    for index, row in enumerate(rows):
        read = row_of(row["chrom"], int(row["pos37"]), row["ref"], row["alt"], reference)
        if read.contig is not None and read.replacement is not None and read.status == "scorable":
            cell = options.geometry.cell(read.replacement.start)
            cells.setdefault((read.contig, cell), {})[read.replacement] = index
    for (contig, cell), edits in cells.items():
        result = score_cell(backend, reference.contig(contig), cell, list(edits), options)
        for head in HEADS:
            scores[head][list(edits.values())] = HEAD_SIGNS[head] * result.values[head]
    return scores
