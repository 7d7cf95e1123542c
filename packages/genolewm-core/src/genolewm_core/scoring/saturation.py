"""`marginal_llr` of every single-base substitution of a cell, from its trunks alone.

A substitution inside one six-mer is scored by the row that predicts this six-mer: log p(alternate six-mer) −
log p(reference six-mer). So one row holds the scores of all 18 substitutions of its six-mer, and one trunk per
strand and phase those of a whole cell, without any branch.

The value is that of `score_cell`. The trunk of a cell is always run as for all of the cell's substitutions, so it
is the same bytes whichever of them are wanted.

Letters of shapes: R six-mers, K = 6 places, B = 4 bases, L bases of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.scoring.backend import Backend, Trunk
from genolewm_core.scoring.cells import Contig, StrandView
from genolewm_core.scoring.passes import PHASE_SHIFTS, PassOptions
from genolewm_core.scoring.sixmer import BASE_ORDER, K, Vocabulary, sixmer_codes

__all__ = ["ALT_ORDER", "CellSubstitutions", "CellTrunk", "cell_trunk", "saturate_cell", "substitution_llr"]

ALT_ORDER = "ACGT"
"""Order of the alternate bases in `CellSubstitutions.llr`."""

Float64 = npt.NDArray[np.float64]

_VOCABULARY = Vocabulary(0)
_BASES = np.arange(len(BASE_ORDER))
_PLACE = (4 ** np.arange(K - 1, -1, -1)).astype(np.int64)
_ALT_DIGITS = [BASE_ORDER.index(base) for base in ALT_ORDER]
_COMPLEMENT_DIGITS = [BASE_ORDER.index(base) for base in "TGCA"]  # of `ALT_ORDER`, base by base


@dataclass(frozen=True, slots=True)
class CellSubstitutions:
    """Every substitution of a cell.

    Attributes:
        start: 0-based first base of the cell on the forward strand.
        ref: uint8 (L,), the reference's upper-case letters in ASCII.
        llr: float32 (L, B), mean over the passes in which it is defined, by alternate base of the forward strand
            in `ALT_ORDER`. NaN for the reference's own base, and where no pass has a readable six-mer: the base
            is not called, or N or the contig's end lies in its six-mer.
        n_tok: tokens run through the model.
    """

    start: int
    ref: npt.NDArray[np.uint8]
    llr: npt.NDArray[np.float32]
    n_tok: int


@dataclass(frozen=True, slots=True)
class CellTrunk:
    """The trunk that tells a cell's substitutions on one strand and in one phase.

    Attributes:
        trunk: runs as far as the row that predicts the cell's last readable six-mer.
        codes: int32 (R,), the readable six-mers.
        starts: int64 (R,), where they start, counted from the cell's first base along the strand; negative for
            the one that begins before the cell.
    """

    trunk: Trunk
    codes: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]


def saturate_cell(backend: Backend, contig: Contig, cell: int, options: PassOptions) -> CellSubstitutions:
    """Score every substitution of a cell.

    Args:
        backend: the model.
        contig: the reference.
        cell: index of the cell; it must begin on the contig.
        options: geometry, strands and phases; the heads are not looked at.
    """
    start = cell * options.geometry.cell_bp
    end = min(start + options.geometry.cell_bp, contig.length)
    total_LB = np.zeros((end - start, len(ALT_ORDER)))
    count_LB = np.zeros((end - start, len(ALT_ORDER)), dtype=np.int64)
    n_tok = 0
    for strand in options.strands:
        view = StrandView(contig, strand)
        for shift in PHASE_SHIFTS[options.phases]:
            found = cell_trunk(view, cell, shift, options)
            if found is None:
                continue
            rows = backend.open(found.trunk).rows
            n_tok += len(found.trunk.token_ids)
            llr_LB = _placed(substitution_llr(found.codes, rows.log_probs), found.starts, end - start)
            # Base x of the reverse strand stands at L − 1 − x of the forward one, and complements it.
            llr_LB = llr_LB[:, _ALT_DIGITS] if strand == "+" else llr_LB[::-1, _COMPLEMENT_DIGITS]
            defined_LB = ~np.isnan(llr_LB)
            total_LB += np.where(defined_LB, llr_LB, 0.0)
            count_LB += defined_LB
    mean_LB = np.divide(total_LB, count_LB, out=np.full(total_LB.shape, np.nan), where=count_LB > 0)
    ref = np.frombuffer(contig.fetch(start, end).encode("ascii"), dtype=np.uint8)
    return CellSubstitutions(start, ref, mean_LB.astype(np.float32), n_tok)


def cell_trunk(view: StrandView, cell: int, shift: int, options: PassOptions) -> CellTrunk | None:
    """Lay out a cell's trunk, the same that `plan_pass` lays out for all substitutions of the cell.

    Returns:
        None where no six-mer of the cell can be read.
    """
    cell_bp = options.geometry.cell_bp
    start = cell * cell_bp
    end = min(start + cell_bp, view.length)
    if view.strand == "-":
        start, end = view.length - end, view.length - start
    window = options.geometry.window(cell, view, shift)
    first = max(0, (start - window.start) // K)
    last = min((window.end - window.start) // K, -(-(end - window.start) // K))
    if last <= first:
        return None
    codes = sixmer_codes(view.fetch(window.start, window.start + K * last))
    readable = first + np.flatnonzero(codes[first:] >= 0)
    if len(readable) == 0:
        return None
    # Row i predicts token i of the window, because row 0 is `<dna>`.
    token_ids = np.concatenate([[_VOCABULARY.dna], _VOCABULARY.ids_of(codes[: readable[-1]])])
    trunk = Trunk(
        token_ids=token_ids.astype(np.int32),
        state_rows=np.zeros(0, dtype=np.int64),
        log_prob_rows=readable.astype(np.int64),
        full_depth=True,
        keep=False,
    )
    return CellTrunk(trunk, codes[readable], (window.start + K * readable - start).astype(np.int64))


def substitution_llr(codes: npt.NDArray[np.integer], log_probs: npt.NDArray[np.floating]) -> Float64:
    """Scores of the 18 substitutions of every six-mer.

    Args:
        codes: (R,) codes of the reference's six-mers, 0 to 4,095.
        log_probs: (R, 4096), the row that predicts each of them.

    Returns:
        float64 (R, K, B), bases in `BASE_ORDER`; NaN for the reference's own base.
    """
    codes = np.asarray(codes, dtype=np.int64)
    digits_RK = codes[:, None] // _PLACE % 4
    step_RKB = _BASES - digits_RK[:, :, None]
    alt_RKB = np.asarray(codes[:, None, None] + step_RKB * _PLACE[:, None], dtype=np.int64)
    ref_R1 = np.take_along_axis(log_probs, codes[:, None], axis=1).astype(np.float64)
    alt_RV = np.take_along_axis(log_probs, alt_RKB.reshape(len(codes), -1), axis=1).astype(np.float64)
    llr_RKB = (alt_RV - ref_R1).reshape(alt_RKB.shape)
    llr_RKB[step_RKB == 0] = np.nan
    return np.asarray(llr_RKB)


def _placed(llr_RKB: Float64, starts: npt.NDArray[np.int64], n_bp: int) -> Float64:
    """Scores by base of the cell, (L, B); NaN for bases of no readable six-mer."""
    llr_LB = np.full((n_bp, llr_RKB.shape[2]), np.nan)
    places_RK = starts[:, None] + np.arange(K)
    inside_RK = (places_RK >= 0) & (places_RK < n_bp)
    llr_LB[places_RK[inside_RK]] = llr_RKB[inside_RK]
    return llr_LB
