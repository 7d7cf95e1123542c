"""From a cell's variants to one trunk and its branches: integer arrays that every backend reads alike.

    trunk:    <dna> t0 t1 ... tc ... tm                  once per cell, strand and phase
    branch i:                 a_c a_(c+1) ... a_e        sees the trunk before token c, and itself

Token k of the window is row k + 1 of the trunk, because row 0 is `<dna>`. A branch starts at token c, the
first that differs, and ends with the last token that any score reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genolewm_core.genome.alleles import Replacement
from genolewm_core.scoring.backend import Pack, Trunk
from genolewm_core.scoring.cells import StrandView, Window
from genolewm_core.scoring.sixmer import K, Vocabulary, sixmer_codes

__all__ = ["MAX_PACK", "Branch", "PassPlan", "Spans", "pack_branches", "plan_pass"]

MAX_PACK = 64
"""Branches in one pack. Attention inside a pack is masked, so its cost grows with the square of the pack,
and llama.cpp takes at most 256 sequences."""

_VOCABULARY = Vocabulary(0)


@dataclass(frozen=True, slots=True)
class Spans:
    """How far right of the first changed token the scores read, and which kinds of rows they need.

    Attributes:
        state_tok: reference tokens in the pooled span (radius + 1); 0 when no score reads states.
        ll_tok: reference tokens over which likelihoods are summed; 0 when none does.
        marginal: the log-probabilities that predict the first changed token are wanted.
        matched: phase-matched trunks are run for edits that re-cut the later six-mers. Without them such
            edits have no displacement.
    """

    state_tok: int
    ll_tok: int
    marginal: bool
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One edited allele on a trunk.

    Attributes:
        first_tok: c, the window's token at which the edited allele first differs.
        codes: int32 (n,), six-mer codes of the edited allele from token c on; −1 for `<oov>`.
        net: bases gained (positive) or lost.
        in_one_tok: a substitution that changes this six-mer and no other.
        ref_state_tok, alt_state_tok: tokens of the pooled span in the reference and in the edited allele.
            Both spans end at the same reference base.
        ref_ll_tok, alt_ll_tok: the same for likelihoods.
        after_tok: first token of the branch that lies wholly to the right of the edit.
        n_in_span: an N lies in a span.
        truncated: the contig or the window ends inside a span.
        pack, slot: which pack holds the branch, and its index there; −1 where nothing has to be run.
    """

    first_tok: int
    codes: npt.NDArray[np.int32]
    net: int
    in_one_tok: bool
    ref_state_tok: int
    alt_state_tok: int
    ref_ll_tok: int
    alt_ll_tok: int
    after_tok: int
    n_in_span: bool
    truncated: bool
    pack: int
    slot: int

    @property
    def out_of_phase(self) -> bool:
        """The edit re-cuts every later six-mer."""
        return self.net % K != 0


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One trunk with its branches, and the phase-matched trunks of its out-of-phase edits.

    Attributes:
        window: the stretch that the trunk starts at.
        codes: int32, six-mer codes of the window's tokens, at least as far as any score reads; −1 for `<oov>`.
        branches: one per replacement, in their order; None where the six-mer of the locus holds an N or
            lies outside the window's whole six-mers, so that the edit cannot be told in this phase.
        matched: (−net) mod 6 -> trunk shifted right by that many bases, whose tokens hold the same bases as
            the tokens to the right of such an edit. States only.
        pack_first: first token of every branch inside its pack, per pack.
    """

    window: Window
    codes: npt.NDArray[np.int32]
    trunk: Trunk
    branches: tuple[Branch | None, ...]
    packs: tuple[Pack, ...]
    pack_first: tuple[npt.NDArray[np.int64], ...]
    matched: dict[int, Trunk]

    @property
    def n_tok(self) -> int:
        """Tokens that the plan runs through the model."""
        trunks = [self.trunk, *self.matched.values()]
        return sum(len(t.token_ids) for t in trunks) + sum(len(p.token_ids) for p in self.packs)


def plan_pass(
    view: StrandView, window: Window, replacements: Sequence[Replacement], spans: Spans
) -> PassPlan:
    """Lay out the trunk of a window and the branches of its edits.

    Args:
        view: contig and strand.
        window: where the trunk may run; `window.start` fixes the phase.
        replacements: oriented and right-shifted along `view`'s strand, sorted, none twice. A `start` outside
            the window, as in leading N, gets no branch.
        spans: what the scores read.

    Returns:
        The plan. It depends on the arguments only, so equal variants give equal packs.
    """
    n_whole = (window.end - window.start) // K
    reach = max(spans.state_tok, spans.ll_tok, 1)
    text_end = max((r.end for r in replacements), default=window.start) + K * (reach + 2)
    text_end += max((max(0, -r.net) for r in replacements), default=0)
    # A locus in leading N lies left of the window, which starts behind them.
    text = view.fetch(window.start, max(window.start, min(view.length, text_end)))
    codes = sixmer_codes(text[: K * min(n_whole, len(text) // K)])
    drafts = [_draft(text, codes, n_whole, window, r, spans) for r in replacements]
    trunk_tok = max((d.last_tok for d in drafts if d is not None), default=0)
    branches, packs, pack_first = _pack(drafts, spans)
    rows = _TrunkRows.of(branches, spans)
    trunk = Trunk(
        token_ids=_trunk_ids(codes[:trunk_tok]),
        state_rows=rows.states,
        log_prob_rows=rows.log_probs,
        full_depth=bool(spans.ll_tok or spans.marginal),
        keep=bool(packs),
    )
    return PassPlan(
        window=window,
        codes=codes,
        trunk=trunk,
        branches=tuple(branches),
        packs=tuple(packs),
        pack_first=tuple(pack_first),
        matched=_matched_trunks(text, branches, spans),
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    branch: Branch
    last_tok: int  # the trunk must reach this many tokens of the window


def _draft(
    text: str,
    codes: npt.NDArray[np.int32],
    n_whole: int,
    window: Window,
    edit: Replacement,
    spans: Spans,
) -> _Draft | None:
    start, end = edit.start - window.start, edit.end - window.start
    first = start // K
    if start < 0 or first >= n_whole or codes[first] < 0:
        return None
    n_alt_whole = (len(text) + edit.net) // K
    ref_state, alt_state, cut_state = _span(spans.state_tok, first, end, edit.net, n_whole, n_alt_whole)
    ref_ll, alt_ll, cut_ll = _span(spans.ll_tok, first, end, edit.net, n_whole, n_alt_whole)
    alt_tok = max(alt_state, alt_ll)
    if alt_tok < 1 and (spans.state_tok or spans.ll_tok):
        return None
    n_alt_tok = max(alt_tok, 1)
    tail = end + max(0, K * (first + n_alt_tok) - (start + len(edit.alt)))
    allele = (text[K * first : start] + edit.alt + text[end:tail])[: K * n_alt_tok]
    alt_codes = sixmer_codes(allele[: K * (len(allele) // K)])
    ref_codes = codes[first : first + max(ref_state, ref_ll, 1)]
    branch = Branch(
        first_tok=first,
        codes=alt_codes,
        net=edit.net,
        in_one_tok=edit.net == 0 and (end - 1) // K == first,
        ref_state_tok=ref_state,
        alt_state_tok=alt_state,
        ref_ll_tok=ref_ll,
        alt_ll_tok=alt_ll,
        after_tok=-(-(start + len(edit.alt)) // K) - first,
        n_in_span=bool((ref_codes < 0).any() or (alt_codes < 0).any()),
        truncated=cut_state or cut_ll,
        pack=-1,
        slot=-1,
    )
    # Row i predicts token i, so a likelihood reads one row fewer than a state.
    last = max(first + (0 if branch.out_of_phase else ref_state), first + ref_ll - 1, first)
    return _Draft(branch, last)


def _span(
    want_tok: int, first: int, end: int, net: int, n_whole: int, n_alt_whole: int
) -> tuple[int, int, bool]:
    """Tokens of a span in the reference and in the edited allele, and whether it was cut short.

    Both end at the same reference base; the edited allele's last six-mer is filled with the bases that
    follow, and left out where the contig has none.
    """
    if want_tok == 0:
        return 0, 0, False
    # A deletion's span reaches the first base after it: else a short span could end inside the deletion
    # and leave the edited allele no token at all.
    reach = end // K + 1 if net < 0 else 0
    ref_end = max(first + want_tok, reach)
    alt_end = min(ref_end, n_whole) - (-net // K)
    cut = ref_end > n_whole or alt_end > n_alt_whole
    return min(ref_end, n_whole) - first, max(min(alt_end, n_alt_whole) - first, 0), cut


def _pack(
    drafts: Sequence[_Draft | None], spans: Spans
) -> tuple[list[Branch | None], list[Pack], list[npt.NDArray[np.int64]]]:
    branches: list[Branch | None] = [None if d is None else d.branch for d in drafts]
    if not (spans.state_tok or spans.ll_tok):
        return branches, [], []
    runnable = [i for i, b in enumerate(branches) if b is not None]
    packs: list[Pack] = []
    firsts: list[npt.NDArray[np.int64]] = []
    for begin in range(0, len(runnable), MAX_PACK):
        members = runnable[begin : begin + MAX_PACK]
        held = [b for b in (branches[i] for i in members) if b is not None]
        for slot, (i, b) in enumerate(zip(members, held, strict=True)):
            branches[i] = replace(b, pack=len(packs), slot=slot)
        pack, first = pack_branches(
            [b.first_tok for b in held],
            [b.codes for b in held],
            [b.alt_state_tok for b in held],
            [b.alt_ll_tok for b in held],
        )
        packs.append(pack)
        firsts.append(first)
    return branches, packs, firsts


def pack_branches(
    first_tok: Sequence[int],
    codes: Sequence[npt.NDArray[np.integer]],
    state_tok: Sequence[int],
    ll_tok: Sequence[int],
) -> tuple[Pack, npt.NDArray[np.int64]]:
    """Put branches of one trunk side by side.

    Args:
        first_tok: token of the window at which each branch begins; at least one and at most `MAX_PACK` of them.
        codes: six-mer codes of each branch, −1 for `<oov>`.
        state_tok: tokens of each branch, from its first, whose states are wanted.
        ll_tok: tokens of each branch, from its first, whose likelihoods are wanted.

    Returns:
        The pack, and the first token of each branch inside it.
    """
    lengths = np.array([len(branch) for branch in codes], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    index = np.repeat(np.arange(len(codes)), lengths)
    prefix = (np.array(first_tok) + 1)[index]
    within = np.arange(len(index)) - first[index]
    states = [f + np.arange(n) for f, n in zip(first, state_tok, strict=True)]
    # The trunk's row before the branch predicts its first token, and nothing reads what the last predicts.
    log_probs = [f + np.arange(max(n - 1, 0)) for f, n in zip(first, ll_tok, strict=True)]
    pack = Pack(
        token_ids=_VOCABULARY.ids_of(np.concatenate(codes)),
        positions=(prefix + within).astype(np.int32),
        branch=index.astype(np.int32),
        prefix_tok=prefix.astype(np.int32),
        state_rows=np.concatenate(states).astype(np.int64),
        log_prob_rows=np.concatenate(log_probs).astype(np.int64),
    )
    return pack, first


@dataclass(frozen=True, slots=True)
class _TrunkRows:
    states: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.int64]

    @classmethod
    def of(cls, branches: Sequence[Branch | None], spans: Spans) -> _TrunkRows:
        states = [
            b.first_tok + 1 + np.arange(b.ref_state_tok)
            for b in branches
            if b is not None and not b.out_of_phase
        ]
        reads = [
            b.first_tok + np.arange(max(b.ref_ll_tok, int(spans.marginal))) for b in branches if b is not None
        ]
        return cls(_union(states), _union(reads))


def _matched_trunks(text: str, branches: Sequence[Branch | None], spans: Spans) -> dict[int, Trunk]:
    if not (spans.state_tok and spans.matched):
        return {}
    rows: dict[int, list[npt.NDArray[np.int64]]] = {}
    for b in branches:
        if b is not None and b.out_of_phase and b.alt_state_tok > b.after_tok:
            first = matched_tok(b)
            rows.setdefault(-b.net % K, []).append(first + 1 + np.arange(b.alt_state_tok - b.after_tok))
    trunks: dict[int, Trunk] = {}
    for shift, wanted in sorted(rows.items()):
        union = _union(wanted)
        last = int(union[-1])
        codes = sixmer_codes(text[shift : shift + K * last])
        trunks[shift] = Trunk(
            token_ids=_trunk_ids(codes),
            state_rows=union,
            log_prob_rows=np.zeros(0, dtype=np.int64),
            full_depth=False,
            keep=False,
        )
    return trunks


def matched_tok(branch: Branch) -> int:
    """Token of the phase-matched trunk that holds the bases of the branch's token `after_tok`.

    Edited token c + k starts at edited base 6(c + k), which is reference base 6(c + k) − net; the matched
    trunk starts (−net) mod 6 bases further right than the trunk.
    """
    base = K * (branch.first_tok + branch.after_tok) - branch.net
    return (base - (-branch.net % K)) // K


def _union(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    if not parts:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.concatenate(parts)).astype(np.int64)


def _trunk_ids(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.concatenate([[_VOCABULARY.dna], _VOCABULARY.ids_of(codes)]).astype(np.int32)
