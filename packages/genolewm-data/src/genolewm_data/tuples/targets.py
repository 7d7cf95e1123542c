"""What has to be encoded for the targets of a tuple: the changed tokens, and nothing in front of them.

The encoder is causal, so the edited window's tokens before the first edit have the states of the reference,
and a target is a branch on the window's trunk as in scoring. A tuple of K edits has K steps, each
with a target of its own, pooled at every edit that the step has applied: an edit to the right of a pooled
span cannot move that span's state, so one span would not show them all.

A step that reads only tokens which a longer step reads as well, one after the other from the same start, needs no
branch of its own: a causal encoder gives both the same states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.branches import Branch, Spans, plan_pass
from genolewm_core.scoring.cells import StrandView, Window
from genolewm_core.scoring.sixmer import K
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
    planned = _branches(window, [step for steps in wanted for step in steps])
    return [_shared(steps, planned) for steps in wanted]


class _Wanted(NamedTuple):
    """One step: what has changed in all, the tokens its branch needs, the spans it pools."""

    change: Replacement
    n_tok: int
    spans: tuple[PooledSpan, ...]


def _wanted(window: EditableWindow, sample: TrainingTuple, radius_tok: int) -> list[_Wanted]:
    changes = [edit.change for edit in sample.edits]
    steps = []
    for k, composite in enumerate(sample.steps(window.text), 1):
        spans = _spans(changes[:k], radius_tok)
        steps.append(_Wanted(composite, spans[-1].alt_tok + spans[-1].n_alt_tok, spans))
    return steps


def _branches(window: EditableWindow, steps: Sequence[_Wanted]) -> dict[Replacement, Branch]:
    """Branches of the changes, each as long as the longest step needs; their tokens count from the first of them."""
    if not steps:
        return {}
    changes = sorted({step.change for step in steps}, key=lambda c: (c.start, c.end, c.alt))
    origin = changes[0].start // K
    # Core's plan has one span for all; what a step does not need is cut off its branch afterwards. Nothing is
    # encoded here, so the plan may begin at the first branch.
    reach = max(step.spans[-1].ref_tok + step.spans[-1].n_ref_tok - step.change.start // K for step in steps)
    stretch = Window(K * origin, window.length)
    plan = plan_pass(StrandView(window), stretch, changes, Spans(reach, ll_tok=0, marginal=False))
    return {c: b for c, b in zip(changes, plan.branches, strict=True) if b is not None}


def _shared(steps: Sequence[_Wanted], planned: Mapping[Replacement, Branch]) -> TupleTargets:
    branches: list[Branch] = []
    targets: list[TargetStep] = []
    # From the last step back: the longest branch comes first, and earlier steps look for their tokens in it.
    for step in reversed(steps):
        branch = planned.get(step.change)
        if branch is None or len(branch.codes) < step.n_tok:
            raise ValueError("a pooled span leaves the window: the margin is too narrow for this radius")
        if not (branches and _begins_with(branches[-1], branch, step.n_tok)):
            branches.append(_cut(branch, step))
        targets.append(TargetStep(len(branches) - 1, step.spans))
    return TupleTargets(tuple(branches), tuple(reversed(targets)))


def _cut(branch: Branch, step: _Wanted) -> Branch:
    # Not dataclasses.replace, which takes as long as the rest of a target.
    codes = branch.codes[: step.n_tok].copy()
    last = step.spans[-1]
    first = step.change.start // K
    return Branch(
        first_tok=first,
        codes=codes,
        net=branch.net,
        in_one_tok=branch.in_one_tok,
        ref_state_tok=last.ref_tok + last.n_ref_tok - first,
        alt_state_tok=step.n_tok,
        ref_ll_tok=0,
        alt_ll_tok=0,
        after_tok=branch.after_tok,
        n_in_span=bool((codes < 0).any()),
        truncated=False,
        pack=-1,
        slot=-1,
    )


def _begins_with(longer: Branch, branch: Branch, n_tok: int) -> bool:
    return len(longer.codes) >= n_tok and bool((longer.codes[:n_tok] == branch.codes[:n_tok]).all())


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
