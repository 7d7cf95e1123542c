"""What has to be encoded for the targets of a tuple: the changed tokens, and nothing in front of them.

The encoder is causal, so the edited window's tokens before the first edit have the states of the reference,
and a target is a branch on the window's trunk as in scoring. A tuple of K edits has K steps, each
with a target of its own, pooled at every edit that the step has applied: an edit to the right of a pooled
span cannot move that span's state, so one span would not show them all.

A step whose last span ends before the next edit's first changed token needs no branch of its own: the next step's
branch begins with the same tokens, and a causal encoder gives them the same states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.branches import Branch
from genolewm_core.scoring.sixmer import K, sixmer_codes
from genolewm_data.samplers import EditableWindow
from genolewm_data.tuples.training import TrainingTuple

__all__ = ["PlannedStep", "PooledSpan", "TargetStep", "TupleTargets", "plan_steps", "plan_targets"]


class PooledSpan(NamedTuple):
    """The tokens that are pooled at one edit, in the reference window and in a branch.

    Both spans end at the same reference base, as in scoring.

    Attributes:
        ref_tok, n_ref_tok: first token of the window, 0-based without `<dna>`, and number of tokens.
        alt_tok, n_alt_tok: first token of the branch, 0-based, and number of tokens.
    """

    ref_tok: int
    n_ref_tok: int
    alt_tok: int
    n_alt_tok: int


@dataclass(frozen=True, slots=True)
class TargetStep:
    """The target after some edits of a tuple.

    Attributes:
        branch: index into `TupleTargets.branches`.
        spans: one per edit applied so far.
    """

    branch: int
    spans: tuple[PooledSpan, ...]


@dataclass(frozen=True, slots=True)
class TupleTargets:
    """Branches to encode, and which of their rows every step pools.

    Attributes:
        branches: as core plans them; `first_tok` counts from the window's start. They are in no pack yet.
        steps: one per edit, in the order of `TrainingTuple.edits`.
    """

    branches: tuple[Branch, ...]
    steps: tuple[TargetStep, ...]

    @property
    def n_tok(self) -> int:
        """Tokens to run through the encoder."""
        return sum(len(branch.codes) for branch in self.branches)


def plan_targets(
    window: EditableWindow, samples: Sequence[TrainingTuple], radius_tok: int
) -> list[TupleTargets]:
    """Lay out what the targets of a window's tuples need.

    Args:
        window: the tuples' window, with a margin of at least `edge_margin(radius_tok)`.
        samples: tuples of that window.
        radius_tok: tokens pooled behind the one that holds the locus.

    Raises:
        ValueError: a span leaves the window, whose margin is too narrow for this radius.
    """
    planned = [plan_steps(window, sample, radius_tok) for sample in samples]
    # One look-up for the window: for every branch by itself it would cost several times as much.
    codes = sixmer_codes("".join([step.allele for steps in planned for step in steps]))
    ends = np.cumsum([len(step.allele) // K for steps in planned for step in steps], dtype=np.int64)
    parts = iter(np.split(codes, ends[:-1]))
    return [_targets(steps, parts) for steps in planned]


class PlannedStep(NamedTuple):
    """One step of a tuple, its target laid out but for the six-mer codes of its branch.

    Attributes:
        change: what has changed in all.
        spans: that it pools, one per edit so far.
        allele: bases of its branch: whole six-mers from the first that differs; empty where the rows that it pools
            are in the branch of the step after it.
    """

    change: Replacement
    spans: tuple[PooledSpan, ...]
    allele: str


def plan_steps(window: EditableWindow, sample: TrainingTuple, radius_tok: int) -> list[PlannedStep]:
    """The steps of a tuple from the last one back, so that a step's branch comes before those that share it.

    Args:
        window: see `plan_targets`.
        sample: a tuple of that window.
        radius_tok: see `plan_targets`.

    Raises:
        ValueError: see `plan_targets`.
    """
    if len(sample.edits) == 1:
        # Nine in ten of a stream.
        (edit,) = sample.edits
        change = edit.change
        first = change.start // K
        end = max(first + radius_tok + 1, change.end // K + 1 if change.net < 0 else 0)
        span = PooledSpan(first, end - first, 0, end - first - (-change.net // K))
        return [PlannedStep(change, (span,), _allele(window, change, span))]
    changes = [edit.change for edit in sample.edits]
    steps: list[PlannedStep] = []
    changed_tok = 0
    for k, composite in reversed(list(enumerate(sample.steps(window.text), 1))):
        spans = _spans(changes[:k], radius_tok)
        last = spans[-1]
        shared = last.alt_tok + last.n_alt_tok <= changed_tok
        steps.append(PlannedStep(composite, spans, "" if shared else _allele(window, composite, last)))
        changed_tok = last.alt_tok
    return steps


def _allele(window: EditableWindow, change: Replacement, last: PooledSpan) -> str:
    """Bases of a step's branch up to its last span's end."""
    start, end, alt = change.start, change.end, change.alt
    first = start - start % K
    length = K * (last.alt_tok + last.n_alt_tok)
    tail = end + max(0, length - (start - first) - len(alt))
    text = window.text
    allele = (text[first:start] + alt + text[end:tail])[:length]
    if len(allele) < length or K * (last.ref_tok + last.n_ref_tok) > len(text):
        raise ValueError("a pooled span leaves the window: the margin is too narrow for this radius")
    return allele


def _targets(steps: Sequence[PlannedStep], parts: Iterator[npt.NDArray[np.int32]]) -> TupleTargets:
    branches: list[Branch] = []
    targets: list[TargetStep] = []
    for step in steps:
        codes = next(parts)
        if step.allele:
            branches.append(_branch(step.change, step.spans[-1], codes))
        targets.append(TargetStep(len(branches) - 1, step.spans))
    return TupleTargets(tuple(branches), tuple(reversed(targets)))


def _branch(change: Replacement, last: PooledSpan, codes: npt.NDArray[np.int32]) -> Branch:
    """What `plan_pass` makes of the change, which lays out a trunk and packs as well."""
    first = change.start // K
    return Branch(
        first_tok=first,
        codes=codes,
        net=change.net,
        in_one_tok=change.net == 0 and (change.end - 1) // K == first,
        ref_state_tok=last.ref_tok + last.n_ref_tok - first,
        alt_state_tok=len(codes),
        ref_ll_tok=0,
        alt_ll_tok=0,
        after_tok=-(-(change.start + len(change.alt)) // K) - first,
        n_in_span=bool((codes < 0).any()),
        truncated=False,
        pack=-1,
        slot=-1,
    )


def _spans(changes: Sequence[Replacement], radius_tok: int) -> tuple[PooledSpan, ...]:
    """The pooled span at every one of some changes that are applied together."""
    origin = changes[0].start // K
    spans = []
    for j, change in enumerate(changes):
        first = change.start // K
        reach = change.end // K + 1 if change.net < 0 else 0
        end = max(first + radius_tok + 1, reach)
        before = sum(other.net for other in changes[:j])
        alt_first = (change.start + before) // K
        # Where the span's last reference base has gone: an edit right of this one may lie in the span too.
        base, moved = K * end, before + change.net
        for other in changes[j + 1 :]:
            if other.start < base:
                base = max(base, other.end)
                moved += other.net
        alt_end = -(-(base + moved) // K)
        spans.append(PooledSpan(first, end - first, alt_first - origin, alt_end - alt_first))
    return tuple(spans)
