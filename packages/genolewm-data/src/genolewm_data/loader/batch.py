"""A batch of training tuples as columns of tensors: no object for a tuple or an edit, one buffer between processes.

Letters of shapes: W windows, L tokens of the longest window, T tuples, E edits, D width of a state, B branches,
C tokens of all branches, P pooled spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from genolewm_data.loader.cursor import Cursor
from genolewm_data.tuples import WindowRef

__all__ = ["ALLELE_PAD", "TrainingBatch"]

ALLELE_PAD = 4
"""In columns of alleles, behind the last base."""

_ALIGN = 64


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Windows, the edits of their tuples, and what has to be encoded for the targets.

    Offsets have one element more than there are owners: those of owner i lie in [offset[i], offset[i + 1]).

    Attributes:
        windows: names of the windows, with the hash and the place of each.
        holdout: what the windows are for in validation; "" in training.
        cursor: behind this batch; None in validation.
        tally: of the tuples of this batch, as `WindowTuples.tally`.
        codes: int16 (W, L), six-mer codes of the windows; −1 for a six-mer with an N, and behind a window's end.
        n_tok: int32 (W,), whole six-mers of every window.
        window_number: int64 (W,), number in the stream that the window's edits were drawn by.
        tuple_window: int32 (T,), row of the tuple's window.
        slot: int32 (T,), see `TrainingTuple.slot`.
        edit_offset: int32 (T + 1,), into the edits.
        rel_pos: int32 (E,), place of the edit as it was proposed, 0-based in the window.
        locus: int32 (E,), first base that differs, 0-based in the window.
        edit_type: uint8 (E,), an `EditType`.
        source: uint8 (E,), index into `genolewm_data.samplers.SOURCES`.
        ref, alt: uint8 (E, 16), bases as indices into `sixmer.BASE_ORDER`, then `ALLELE_PAD`.
        ref_len, alt_len: uint8 (E,), bases.
        states: float32 (E, D), raw reference state pooled at the locus, NaN where there is none; None without a source.
        found: bool (E,), whether there is a state; None without a source.
        branch_offset: int32 (T + 1,), into the branches.
        first_tok: int32 (B,), token of the window at which the branch begins.
        net: int32 (B,), bases that the branch has gained or lost.
        code_offset: int32 (B + 1,), into `branch_codes`.
        branch_codes: int16 (C,), six-mer codes of all branches; −1 where there is an N.
        step_branch: int32 (E,), branch that holds the rows of the target after this edit and those before it.
        span_offset: int32 (E + 1,), into `spans`; a target has a span for each edit so far.
        spans: int32 (P, 4), `PooledSpan`: ref_tok, n_ref_tok, alt_tok, n_alt_tok.
    """

    windows: tuple[WindowRef, ...]
    holdout: str
    cursor: Cursor | None
    tally: Counter[str]
    codes: torch.Tensor
    n_tok: torch.Tensor
    window_number: torch.Tensor
    tuple_window: torch.Tensor
    slot: torch.Tensor
    edit_offset: torch.Tensor
    rel_pos: torch.Tensor
    locus: torch.Tensor
    edit_type: torch.Tensor
    source: torch.Tensor
    ref: torch.Tensor
    alt: torch.Tensor
    ref_len: torch.Tensor
    alt_len: torch.Tensor
    states: torch.Tensor | None
    found: torch.Tensor | None
    branch_offset: torch.Tensor
    first_tok: torch.Tensor
    net: torch.Tensor
    code_offset: torch.Tensor
    branch_codes: torch.Tensor
    step_branch: torch.Tensor
    span_offset: torch.Tensor
    spans: torch.Tensor

    @property
    def n_tuples(self) -> int:
        """Number of tuples."""
        return len(self.slot)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The columns that are tensors, by name."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: column for name, column in columns.items() if isinstance(column, torch.Tensor)}

    def __reduce__(self) -> tuple[Any, ...]:
        # One tensor instead of thirty: each costs a file of shared memory on its way to another process.
        columns = self.tensors()
        layout = []
        size = 0
        for name, column in columns.items():
            layout.append((name, column.dtype, tuple(column.shape), size))
            size += -(-column.nbytes // _ALIGN) * _ALIGN
        buffer = torch.zeros(size, dtype=torch.uint8)
        for (_, _, _, at), column in zip(layout, columns.values(), strict=True):
            if column.nbytes:
                buffer[at : at + column.nbytes] = column.contiguous().view(-1).view(torch.uint8)
        others = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in columns
        }
        return (_unpacked, (buffer, layout, others))


def _unpacked(
    buffer: torch.Tensor,
    layout: list[tuple[str, torch.dtype, tuple[int, ...], int]],
    others: Mapping[str, Any],
) -> TrainingBatch:
    columns: dict[str, Any] = {}
    for name, dtype, shape, at in layout:
        size = torch.Size(shape).numel() * dtype.itemsize
        columns[name] = buffer[at : at + size].view(dtype).view(shape)
    return TrainingBatch(**columns, **others)
