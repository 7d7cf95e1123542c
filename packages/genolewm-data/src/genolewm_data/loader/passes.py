"""What a backend runs for one window of a batch: its trunk, and its branches in packs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.scoring.backend import Pack, Trunk
from genolewm_core.scoring.branches import MAX_PACK, pack_branches
from genolewm_core.scoring.sixmer import Vocabulary
from genolewm_data.loader.batch import TrainingBatch

__all__ = ["WindowPass", "window_pass"]

_VOCABULARY = Vocabulary(0)


@dataclass(frozen=True, slots=True)
class WindowPass:
    """A window's trunk and packs.

    Row i of `Rows.states` of a pack is token i of the pack, since every token of a branch is pooled.

    Attributes:
        trunk: as far as any pooled span reaches; its states are those of the spans' reference tokens.
        packs: the window's branches, in the order of the batch, at most `MAX_PACK` in one.
        branches: those of the batch that are the window's, [first, end).
        pack: index of every branch's pack, int64 (n,).
        pack_first: first token of every branch inside its pack, int64 (n,).
    """

    trunk: Trunk
    packs: tuple[Pack, ...]
    branches: tuple[int, int]
    pack: npt.NDArray[np.int64]
    pack_first: npt.NDArray[np.int64]


def window_pass(batch: TrainingBatch, row: int) -> WindowPass:
    """Lay out the pass of one window of a batch, in ids of the sliced vocabulary.

    Args:
        batch: on the processor.
        row: of the window.
    """
    first_tuple, end_tuple = np.searchsorted(batch.tuple_window.numpy(), (row, row + 1)).tolist()
    first, end = (int(batch.branch_offset[i]) for i in (first_tuple, end_tuple))
    codes = np.split(batch.branch_codes.numpy(), batch.code_offset[1:-1].numpy())[first:end]
    first_tok = batch.first_tok[first:end].tolist()
    packs, starts = [], []
    for begin in range(0, len(codes), MAX_PACK):
        held = slice(begin, begin + MAX_PACK)
        n_tok = [len(branch) for branch in codes[held]]
        pack, at = pack_branches(first_tok[held], codes[held], n_tok, [0] * len(n_tok))
        packs.append(pack)
        starts.append(at)
    return WindowPass(
        trunk=_trunk(batch, row, first_tuple, end_tuple),
        packs=tuple(packs),
        branches=(first, end),
        pack=np.arange(len(codes), dtype=np.int64) // MAX_PACK,
        pack_first=np.concatenate([np.zeros(0, np.int64), *starts]),
    )


def _trunk(batch: TrainingBatch, row: int, first_tuple: int, end_tuple: int) -> Trunk:
    edits = [int(batch.edit_offset[i]) for i in (first_tuple, end_tuple)]
    first, end = (int(batch.span_offset[i]) for i in edits)
    spans = batch.spans[first:end].numpy()
    tokens = [np.arange(at, at + n) for at, n in np.unique(spans[:, :2], axis=0).tolist()]
    pooled = np.unique(np.concatenate([np.zeros(0, np.int64), *tokens]))
    n_tok = int(pooled[-1]) + 1 if len(pooled) else 0
    ids = _VOCABULARY.ids_of(batch.codes[row, :n_tok].numpy())
    return Trunk(
        token_ids=np.concatenate([[_VOCABULARY.dna], ids]).astype(np.int32),
        # Row 0 is <dna>.
        state_rows=pooled + 1,
        log_prob_rows=np.zeros(0, dtype=np.int64),
        full_depth=False,
        keep=len(pooled) > 0,
    )
