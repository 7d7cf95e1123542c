"""What is encoded for a target: core's branches for one edit, and a brute-force reading of several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.branches import Spans, plan_pass
from genolewm_core.scoring.cells import StrandView, Window
from genolewm_core.scoring.sixmer import K, sixmer_codes
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.samplers import EditableWindow, SourceMix, edge_margin
from genolewm_data.tuples import TupleBuilder, TupleOptions, WindowRef, plan_targets, tuple_of_variants

MIX = SourceMix((("synthetic_snv", 1), ("synthetic_indel", 2), ("synthetic_mnv", 1)))


def random_text(seed, length):
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGT" if seed % 2 else "AC"), length))


def whole(text):
    return sixmer_codes(text[: len(text) // K * K])


def built(seed, length, radius, multi_percent, spread_bp):
    options = TupleOptions(
        seed, mix=MIX, multi_percent=multi_percent, spread_bp=spread_bp, radius_tok=radius, edits_per_window=6
    )
    builder = TupleBuilder(options)
    window = ReferenceWindow("c", 0, length, random_text(seed, length))
    return EditableWindow.of(window, builder.margin_bp), builder.build(window, seed).tuples


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(500, 2_000), st.integers(0, 20))
def test_one_edit_is_the_branch_that_scoring_runs(seed, length, radius):
    window, samples = built(seed, length, radius, 0, 1_000)
    for sample, targets in zip(samples, plan_targets(window, samples, radius), strict=True):
        spans = Spans(state_tok=radius + 1, ll_tok=0, marginal=False)
        change = sample.edits[0].change
        (branch,) = plan_pass(StrandView(window), Window(0, length), [change], spans).branches
        (ours,), (step,) = targets.branches, targets.steps
        (span,) = step.spans
        assert not branch.truncated
        assert ours.codes.tolist() == branch.codes.tolist()
        for name in (
            "first_tok",
            "net",
            "in_one_tok",
            "ref_state_tok",
            "alt_state_tok",
            "after_tok",
            "n_in_span",
        ):
            assert getattr(ours, name) == getattr(branch, name), name
        assert (span.ref_tok, span.n_ref_tok) == (branch.first_tok, branch.ref_state_tok)
        assert (span.alt_tok, span.n_alt_tok) == (0, branch.alt_state_tok)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(900, 3_000), st.integers(0, 20), st.sampled_from([64, 200, 1_000]))
def test_several_edits_read_as_brute_force_says(seed, length, radius, spread_bp):
    window, samples = built(seed, length, radius, 100, spread_bp)
    text = window.text
    reference = whole(text)
    for sample, targets in zip(samples, plan_targets(window, samples, radius), strict=True):
        assert len(targets.steps) == len(sample.edits)
        for k, step in enumerate(targets.steps, 1):
            changes = [edit.change for edit in sample.edits[:k]]
            edited, where, done = "", {}, 0
            for change in changes:
                for base in range(done, change.start):
                    where[base] = len(edited) + base - done
                edited += text[done : change.start] + change.alt
                done = change.end
            for base in range(done, length + 1):
                where[base] = len(edited) + base - done
            codes = whole(edited + text[done:])
            branch = targets.branches[step.branch]
            first = branch.first_tok
            # Nothing in front of the branch has changed, and its first token has.
            assert codes[:first].tolist() == reference[:first].tolist()
            assert codes[first] != reference[first]
            n_tok = step.spans[-1].alt_tok + step.spans[-1].n_alt_tok
            assert branch.codes[:n_tok].tolist() == codes[first : first + n_tok].tolist()
            for change, span in zip(changes, step.spans, strict=True):
                assert span.ref_tok == change.start // K
                assert span.n_ref_tok >= radius + 1
                assert K * (span.ref_tok + span.n_ref_tok) <= length
                begin = where[change.start - 1] + 1  # of the new bases
                assert first + span.alt_tok == begin // K
                # The span ends with the six-mer of the last base that came of its reference bases.
                last = K * (span.ref_tok + span.n_ref_tok) - 1
                while last not in where and last >= change.end:
                    last -= 1
                if last >= change.end:
                    end = where[last] + 1
                    follower = next(
                        (c for c in changes if c.start == last + 1 or c.start <= last < c.end), None
                    )
                    if follower is None or follower.start > last + 1:
                        assert first + span.alt_tok + span.n_alt_tok == -(-end // K)
                assert span.n_alt_tok >= 1


def planned(variants, radius=1, length=600):
    text = random_text(11, length)
    window = ReferenceWindow("c", 0, length, text)
    opened = EditableWindow.of(window, edge_margin(radius))
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    held = [Variant("c", pos + 1, text[pos], other[text[pos]]) for pos in variants]
    sample = tuple_of_variants(opened, WindowRef.of(window), 0, held)
    (targets,) = plan_targets(opened, [sample], radius)
    return targets


def test_steps_whose_spans_end_before_the_next_edit_share_one_branch():
    # Tokens 20 (120 // 6), 25 and 33; a radius of 1 pools two tokens at each.
    targets = planned([120, 150, 200])
    assert [step.branch for step in targets.steps] == [0, 0, 0]
    assert targets.branches[0].first_tok == 20
    assert len(targets.branches[0].codes) == 35 - 20
    assert [(span.ref_tok, span.alt_tok, span.n_alt_tok) for span in targets.steps[2].spans] == [
        (20, 0, 2),
        (25, 5, 2),
        (33, 13, 2),
    ]


def test_a_step_whose_span_holds_the_next_edit_has_a_branch_of_its_own():
    # Base 126 is in token 21, which the first edit pools too.
    targets = planned([120, 126, 200])
    assert [step.branch for step in targets.steps] == [1, 0, 0]
    assert targets.n_tok == (35 - 20) + 2
    assert targets.branches[0].codes[0] == targets.branches[1].codes[0]
    assert targets.branches[0].codes[1] != targets.branches[1].codes[1]


def test_too_narrow_a_margin_is_refused():
    text = random_text(3, 600)
    window = ReferenceWindow("c", 0, 600, text)
    opened = EditableWindow.of(window, 64)
    variant = Variant("c", 521, text[520], "C" if text[520] != "C" else "A")
    sample = tuple_of_variants(opened, WindowRef.of(window), 0, [variant])
    with pytest.raises(ValueError, match="margin"):
        plan_targets(opened, [sample], 20)


def test_no_tuples_no_targets():
    assert plan_targets(EditableWindow("ACGT" * 100, 64), [], 8) == []
