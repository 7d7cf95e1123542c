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

__all__ = ["PooledSpan", "TargetStep", "TupleTargets", "plan_targets"]


@dataclass(frozen=True, slots=True)
class PooledSpan:
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
    wanted = [_wanted(window, sample, radius_tok) for sample in samples]
    alleles = [_allele(window, step) for steps in wanted for step, shared in steps if not shared]
    # One look-up for the window: for every branch by itself it would cost several times as much.
    codes = sixmer_codes("".join(alleles))
    ends = np.cumsum([len(allele) // K for allele in alleles], dtype=np.int64)
    parts = iter(np.split(codes, ends[:-1]))
    return [_targets(steps, parts) for steps in wanted]


class _Wanted(NamedTuple):
    """One step: what has changed in all, the tokens its branch needs, the spans it pools."""

    change: Replacement
    n_tok: int
    spans: tuple[PooledSpan, ...]


def _wanted(window: EditableWindow, sample: TrainingTuple, radius_tok: int) -> list[tuple[_Wanted, bool]]:
    """The steps from the last one back, and whether a step's rows are in the branch of the one after it."""
    changes = [edit.change for edit in sample.edits]
    steps: list[tuple[_Wanted, bool]] = []
    changed_tok = 0
    for k, composite in reversed(list(enumerate(sample.steps(window.text), 1))):
        spans = _spans(changes[:k], radius_tok)
        n_tok = spans[-1].alt_tok + spans[-1].n_alt_tok
        steps.append((_Wanted(composite, n_tok, spans), n_tok <= changed_tok))
        changed_tok = spans[-1].alt_tok
    return steps


def _allele(window: EditableWindow, step: _Wanted) -> str:
    """Bases of a step's branch: whole six-mers from the first that differs."""
    change, first = step.change, K * (step.change.start // K)
    length = K * step.n_tok
    tail = change.end + max(0, length - (change.start - first) - len(change.alt))
    allele = (window.text[first : change.start] + change.alt + window.text[change.end : tail])[:length]
    last = step.spans[-1]
    if len(allele) < length or K * (last.ref_tok + last.n_ref_tok) > window.length:
        raise ValueError("a pooled span leaves the window: the margin is too narrow for this radius")
    return allele


def _targets(steps: Sequence[tuple[_Wanted, bool]], parts: Iterator[npt.NDArray[np.int32]]) -> TupleTargets:
    branches: list[Branch] = []
    targets: list[TargetStep] = []
    for step, shared in steps:
        if not shared:
            branches.append(_branch(step, next(parts)))
        targets.append(TargetStep(len(branches) - 1, step.spans))
    return TupleTargets(tuple(branches), tuple(reversed(targets)))


def _branch(step: _Wanted, codes: npt.NDArray[np.int32]) -> Branch:
    """What `plan_pass` makes of the change, which lays out a trunk and packs as well."""
    change, last = step.change, step.spans[-1]
    first = change.start // K
    return Branch(
        first_tok=first,
        codes=codes,
        net=change.net,
        in_one_tok=change.net == 0 and (change.end - 1) // K == first,
        ref_state_tok=last.ref_tok + last.n_ref_tok - first,
        alt_state_tok=step.n_tok,
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
