"""From the tuples of some windows to a batch: every column is one array that is made once for the whole batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from genolewm_core.genome.variant import V1_MAX_LEN
from genolewm_core.scoring.sixmer import BASE_ORDER, K, sixmer_codes
from genolewm_core.scoring.states import Encoding, StateKey, StateSource
from genolewm_data.loader.batch import ALLELE_PAD, TrainingBatch
from genolewm_data.loader.cursor import Cursor
from genolewm_data.samplers import SOURCES, EditableWindow, WindowEdit
from genolewm_data.tuples import PooledSpan, TrainingTuple, WindowRef, WindowTuples, plan_steps

__all__ = ["BuiltWindow", "States", "batch_of"]

_SOURCE = {source: index for index, source in enumerate(SOURCES)}
_BASE = np.full(256, ALLELE_PAD, dtype=np.uint8)
_BASE[np.frombuffer(BASE_ORDER.encode(), dtype=np.uint8)] = np.arange(len(BASE_ORDER))


class BuiltWindow(NamedTuple):
    """A window with its tuples, before they become rows of a batch.

    Attributes:
        window: its bases.
        ref: its name.
        number: of the window in the stream.
        built: its tuples.
    """

    window: EditableWindow
    ref: WindowRef
    number: int
    built: WindowTuples


class States(NamedTuple):
    """Where the reference states of a batch come from.

    Attributes:
        source: of states.
        encoding: that they were made by.
    """

    source: StateSource
    encoding: Encoding


def batch_of(
    built: Sequence[BuiltWindow],
    radius_tok: int,
    states: States | None,
    *,
    holdout: str = "",
    cursor: Cursor | None = None,
) -> TrainingBatch:
    """A batch of windows; see `TrainingBatch` for its columns.

    Args:
        built: the windows.
        radius_tok: of pooling.
        states: a source of reference states, if the batch is to have them.
        holdout, cursor: of the batch.
    """
    tally: Counter[str] = Counter()
    owners: list[tuple[int, TrainingTuple]] = []
    for row, item in enumerate(built):
        for key, n in item.built.tally.items():
            tally[key] += n
        owners += [(row, sample) for sample in item.built.tuples]
    edits = [edit for _, sample in owners for edit in sample.edits]
    targets = _Targets()
    for row, sample in owners:
        targets.add(built[row].window, sample, radius_tok)
    refs = tuple(item.ref for item in built)
    edit_window = [row for row, sample in owners for _ in sample.edits]
    found, given = (None, None) if states is None else _states(states, refs, edit_window, edits)
    codes, n_tok = _window_codes([item.window.text for item in built])
    columns = {
        "codes": codes,
        "n_tok": n_tok,
        "window_number": np.array([item.number for item in built], dtype=np.int64),
        "tuple_window": _int32([row for row, _ in owners]),
        "slot": _int32([sample.slot for _, sample in owners]),
        "edit_offset": _offsets([len(sample.edits) for _, sample in owners]),
        **_edit_columns(edits),
        **targets.columns(),
    }
    return TrainingBatch(
        windows=refs,
        holdout=holdout,
        cursor=cursor,
        tally=tally,
        states=None if given is None else torch.from_numpy(given),
        found=None if found is None else torch.from_numpy(found),
        **{name: torch.from_numpy(column) for name, column in columns.items()},
    )


class _Targets:
    """Branches, steps and spans of tuples, one after the other."""

    def __init__(self) -> None:
        self._n_branches: list[int] = []
        self._alleles: list[str] = []
        self._first_tok: list[int] = []
        self._net: list[int] = []
        self._step_branch: list[int] = []
        self._spans: list[PooledSpan] = []
        self._n_spans: list[int] = []

    def add(self, window: EditableWindow, sample: TrainingTuple, radius_tok: int) -> None:
        """A tuple of a window, laid out as `plan_targets` does."""
        steps = plan_steps(window, sample, radius_tok)
        n_before = len(self._alleles)
        branch_of_step = []
        for step in steps:
            if step.allele:
                self._alleles.append(step.allele)
                self._first_tok.append(step.change.start // K)
                self._net.append(step.change.net)
            branch_of_step.append(len(self._alleles) - 1)
        self._n_branches.append(len(self._alleles) - n_before)
        self._step_branch += reversed(branch_of_step)
        for step in reversed(steps):
            self._spans += step.spans
            self._n_spans.append(len(step.spans))

    def columns(self) -> dict[str, npt.NDArray[np.integer]]:
        return {
            "branch_offset": _offsets(self._n_branches),
            "first_tok": _int32(self._first_tok),
            "net": _int32(self._net),
            "code_offset": _offsets([len(allele) // K for allele in self._alleles]),
            # One look-up for the batch.
            "branch_codes": sixmer_codes("".join(self._alleles)).astype(np.int16),
            "step_branch": _int32(self._step_branch),
            "span_offset": _offsets(self._n_spans),
            "spans": np.array(self._spans, dtype=np.int32).reshape(-1, 4),
        }


def _edit_columns(edits: Sequence[WindowEdit]) -> dict[str, npt.NDArray[np.integer]]:
    rels = [edit.rel for edit in edits]
    refs, alts = [rel.ref_bases for rel in rels], [rel.alt_bases for rel in rels]
    return {
        "rel_pos": _int32([rel.rel_pos for rel in rels]),
        "locus": _int32([edit.change.start for edit in edits]),
        "edit_type": np.array([rel.edit_type for rel in rels], dtype=np.uint8),
        "source": np.array([_SOURCE[edit.source] for edit in edits], dtype=np.uint8),
        "ref": _alleles(refs),
        "alt": _alleles(alts),
        "ref_len": np.array([len(ref) for ref in refs], dtype=np.uint8),
        "alt_len": np.array([len(alt) for alt in alts], dtype=np.uint8),
    }


def _alleles(alleles: Sequence[str]) -> npt.NDArray[np.uint8]:
    text = "".join([allele.ljust(V1_MAX_LEN) for allele in alleles])
    return _BASE[np.frombuffer(text.encode("ascii"), dtype=np.uint8)].reshape(-1, V1_MAX_LEN)


def _window_codes(texts: Sequence[str]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32]]:
    n_tok = [len(text) // K for text in texts]
    codes = np.full((len(texts), max(n_tok, default=0)), -1, dtype=np.int16)
    for row, text in enumerate(texts):
        codes[row, : n_tok[row]] = sixmer_codes(text[: K * n_tok[row]])
    return codes, _int32(n_tok)


def _states(
    states: States, windows: Sequence[WindowRef], rows: Sequence[int], edits: Sequence[WindowEdit]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Whether there is a reference state at every edit's locus, and the states."""
    hashes = [window.hash for window in windows]
    e = states.encoding
    keys = [
        StateKey(
            hashes[row],
            e.encoder_hash,
            e.state_layer,
            e.pool_type,
            e.pool_radius,
            edit.change.start // K,
            e.dtype,
        )
        for row, edit in zip(rows, edits, strict=True)
    ]
    given, found = states.source.get_many(keys)
    return found, np.ascontiguousarray(given)


def _int32(values: Sequence[int]) -> npt.NDArray[np.int32]:
    return np.array(values, dtype=np.int32)


def _offsets(counts: Sequence[int]) -> npt.NDArray[np.int32]:
    return np.array([0, *accumulate(counts)], dtype=np.int32)
