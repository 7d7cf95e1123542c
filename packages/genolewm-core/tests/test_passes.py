"""Scores of a cell against two full passes, written from the definitions without any branch."""

import functools
import itertools
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import Replacement, reverse_complement, shift_left, shift_right, trim
from genolewm_core.scoring.backend import Rows, Trunk
from genolewm_core.scoring.branches import MAX_PACK, plan_pass
from genolewm_core.scoring.cells import Geometry, StrandView, Window
from genolewm_core.scoring.heads import CHOICES, HEADS
from genolewm_core.scoring.passes import PassOptions, run_pass, score_cell
from genolewm_core.scoring.sixmer import N_SIXMERS, K, Vocabulary, base_log_marginals, sixmer_codes
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.numpy_backend import NumpyBackend

GEOMETRY = Geometry(6_144, 1_200)
RADIUS = 3
LAST_TOK = 60


class Text:
    """A contig held in memory."""

    def __init__(self, bases: str) -> None:
        self.bases, self.length = bases, len(bases)

    def fetch(self, start: int, end: int) -> str:
        assert 0 <= start <= end <= self.length
        return self.bases[start:end]


@pytest.fixture(scope="module")
def backend():
    return NumpyBackend(TEST_ARCHITECTURE, random_model(TEST_ARCHITECTURE, seed=1), state_layer=2)


@pytest.fixture(scope="module")
def bases():
    return "".join(np.random.default_rng(5).choice(list("ACGT"), size=400))


def options(geometry=GEOMETRY, **given_options):
    return PassOptions(
        geometry=geometry, heads=CHOICES, radius_tok=RADIUS, ll_tok=RADIUS + 1, **given_options
    )


@functools.lru_cache(maxsize=16)
def full_pass(backend, bases):
    """States and log-probabilities of a sequence's last rows; NaN in those before, which no test reads.

    Trailing partial six-mers are left out.
    """
    whole = bases[: K * (len(bases) // K)]
    ids = np.concatenate([[0], Vocabulary(0).encode(whole)]).astype(np.int32)
    rows = np.arange(max(0, len(ids) - LAST_TOK), len(ids))
    read = backend.open(Trunk(ids, rows, rows, full_depth=True)).rows
    before = ((rows[0], 0), (0, 0))
    states, log_probs = (np.pad(x, before, constant_values=np.nan) for x in (read.states, read.log_probs))
    return Rows(states, log_probs), sixmer_codes(whole)


def two_passes(backend, bases, start, edit):
    """marginal_llr, delta_ll and displacement of an edit by their definitions, from two full passes."""
    # Nothing further right is read; cutting at round places lets edits share their reference pass.
    bases = bases[: 120 * (edit.end // 120 + 2)]
    ref, ref_codes = full_pass(backend, bases[start:])
    edited = bases[start : edit.start] + edit.alt + bases[edit.end :]
    alt, alt_codes = full_pass(backend, edited)
    first = next((i for i, (x, y) in enumerate(itertools.zip_longest(ref_codes, alt_codes)) if x != y), None)
    assert first == (edit.start - start) // K
    ref_end = first + RADIUS + 1
    if edit.net < 0:
        ref_end = max(ref_end, (edit.end - start) // K + 1)
    ref_end = min(ref_end, len(ref_codes))
    alt_end = min(ref_end - (-edit.net // K), len(alt_codes))
    scores = {}
    inside = edit.net == 0 and (edit.end - 1 - start) // K == first
    scores["marginal_llr"] = (
        float(ref.log_probs[first][alt_codes[first]]) - float(ref.log_probs[first][ref_codes[first]])
        if inside
        else np.nan
    )
    scores["delta_ll"] = likelihood(alt, alt_codes, first, alt_end, edit.net) - likelihood(
        ref, ref_codes, first, ref_end, edit.net
    )
    if edit.net % K == 0:
        s_ref = ref.states[first + 1 : ref_end + 1].astype(float).mean(axis=0)
        s_alt = alt.states[first + 1 : alt_end + 1].astype(float).mean(axis=0)
    else:
        # Tokens wholly right of the edit, against the same bases cut the same way.
        after = -(-(edit.start + len(edit.alt) - start) // K)
        shift = -edit.net % K
        matched, _ = full_pass(backend, bases[start + shift :])
        to = (K * after - edit.net - shift) // K
        n = alt_end - after
        s_alt = alt.states[after + 1 : after + 1 + n].astype(float).mean(axis=0)
        s_ref = matched.states[to + 1 : to + 1 + n].astype(float).mean(axis=0)
    unit = [s / np.linalg.norm(s) for s in (s_ref, s_alt)]
    scores["displacement"] = np.linalg.norm(unit[1] - unit[0])
    return scores


def likelihood(rows, codes, first, end, net):
    if net == 0:
        return sum(float(rows.log_probs[i][codes[i]]) for i in range(first, end) if codes[i] >= 0)
    total, n = 0.0, 0
    for i in range(first, end):
        if codes[i] >= 0:
            marginals = base_log_marginals(rows.log_probs[i])
            total += sum(marginals[j][(codes[i] >> (2 * (5 - j))) & 3] for j in range(K))
            n += K
    return total / n


def other(base):
    return "ACGT"[("ACGT".index(base) + 1) % 4]


def edits_at(bases, place):
    """A substitution, MNV, insertions and deletions of several lengths at one base."""
    contig = Text(bases)
    yield Replacement(place, place + 1, other(bases[place]))
    yield Replacement(place, place + 3, "".join(other(b) for b in bases[place : place + 3]))
    for alt in ("A", "CGT", "ACGTTG", "ACGTTGCATTGACC"):
        yield shift_right(Replacement(place, place, alt), contig)
    for n in (1, 2, 6, 13):
        yield shift_right(Replacement(place, place + n, ""), contig)
    yield Replacement(place, place + 2, other(bases[place]) + "GG" + other(bases[place + 1]))


def assert_equal_to_two_passes(backend, bases, edits, cell=0, geometry=GEOMETRY):
    contig = Text(bases)
    result = score_cell(backend, contig, cell, edits, options(geometry))
    assert result.told.all()
    start = geometry.window(cell, StrandView(contig)).start
    for i, edit in enumerate(edits):
        expected = two_passes(backend, bases, start, edit)
        for name in HEADS:
            # Log-probabilities are float32 where the two computations meet: a unit in the last place of each.
            np.testing.assert_allclose(
                result.values[name][i], expected[name], rtol=1e-5, atol=5e-6, err_msg=f"{name} {edit}"
            )


@pytest.mark.parametrize("offset", range(K))
def test_every_kind_of_edit_at_every_offset(backend, bases, offset):
    edits = list(dict.fromkeys(edits_at(bases, 240 + offset)))
    assert_equal_to_two_passes(backend, bases, edits)


@pytest.mark.parametrize("place", [0, 1, 5])
def test_at_the_contigs_start(backend, bases, place):
    assert_equal_to_two_passes(backend, bases, list(dict.fromkeys(edits_at(bases, place))))


@pytest.mark.parametrize("length", [300, 303])
@pytest.mark.parametrize("back", [9, 14])
def test_at_the_contigs_end(backend, bases, length, back):
    short = bases[:length]
    contig = Text(short)
    edits = [
        e
        for e in dict.fromkeys(edits_at(short, length - back))
        if e.end <= length - 6 and e.net > -6 and e.net % 6 == 0
    ]
    assert edits
    result = score_cell(backend, contig, 0, edits, options())
    assert result.truncated.all()
    assert_equal_to_two_passes(backend, short, edits)


def test_next_to_n(backend, bases):
    gap = bases[:258] + "N" * 15 + bases[273:]
    edits = [e for e in dict.fromkeys(edits_at(gap, 242)) if e.end < 252]
    result = score_cell(backend, Text(gap), 0, edits, options())
    assert result.n_in_span.all()
    assert_equal_to_two_passes(backend, gap, edits)


def test_a_sixmer_with_n_cannot_be_told(backend, bases):
    gap = bases[:246] + "N" + bases[247:]
    snv = Replacement(248, 249, other(gap[248]))
    result = score_cell(backend, Text(gap), 0, [snv], options())
    assert not result.told.any()
    assert all(np.isnan(result.values[name]).all() for name in HEADS)
    # Another phase puts the N into another six-mer.
    assert score_cell(backend, Text(gap), 0, [snv], options(phases=6)).told.all()


def test_many_variants_share_one_trunk(backend, bases):
    edits = [Replacement(i, i + 1, other(bases[i])) for i in range(200, 200 + 3 * MAX_PACK // 2)]
    plan = plan_pass(
        StrandView(Text(bases)), GEOMETRY.window(0, StrandView(Text(bases))), edits, options().spans
    )
    assert [len(np.unique(pack.branch)) for pack in plan.packs] == [MAX_PACK, MAX_PACK // 2]
    assert_equal_to_two_passes(backend, bases, edits[::17] + edits[-1:])
    together = score_cell(backend, Text(bases), 0, edits, options())
    for i in (0, 50, 95):
        alone = score_cell(backend, Text(bases), 0, [edits[i]], options())
        for name in HEADS:
            np.testing.assert_allclose(together.values[name][i], alone.values[name][0], rtol=1e-5)


def test_order_of_the_edits_does_not_matter(backend, bases):
    edits = list(dict.fromkeys(e for place in (200, 260, 330) for e in edits_at(bases, place)))
    shuffled = [edits[i] for i in np.random.default_rng(0).permutation(len(edits))]
    one = score_cell(backend, Text(bases), 0, edits, options())
    two = score_cell(backend, Text(bases), 0, shuffled, options())
    for name in HEADS:
        by_edit = dict(zip(shuffled, two.values[name], strict=True))
        assert np.array_equal(one.values[name], [by_edit[e] for e in edits], equal_nan=True)


@pytest.mark.parametrize("phases", [2, 3, 6])
def test_phases_are_averaged(backend, bases, phases):
    edit = Replacement(243, 244, other(bases[243]))
    result = score_cell(backend, Text(bases), 0, [edit], options(phases=phases))
    shifts = range(0, 6, 6 // phases)
    each = [two_passes(backend, bases, shift, edit) for shift in shifts]
    for name in HEADS:
        np.testing.assert_allclose(result.values[name][0], np.mean([e[name] for e in each]), rtol=1e-5)


def assert_mean_of_two_strands(backend, bases, edits, cell=0, geometry=GEOMETRY):
    contig = Text(bases)
    forward, back = StrandView(contig), StrandView(contig, "-")
    result = score_cell(backend, contig, cell, edits, options(geometry, both_strands=True))
    for i, edit in enumerate(edits):
        pair = [
            two_passes(backend, bases, geometry.window(cell, forward).start, edit),
            two_passes(
                backend, reverse_complement(bases), geometry.window(cell, back).start, back.orient(edit)
            ),
        ]
        for name in HEADS:
            # A substitution may cross a six-mer's border on one strand only: the mean is over what is defined.
            defined = [p[name] for p in pair if not np.isnan(p[name])]
            expected = np.mean(defined) if defined else np.nan
            np.testing.assert_allclose(
                result.values[name][i], expected, rtol=1e-5, atol=5e-6, err_msg=f"{name} {edit}"
            )


def test_both_strands_are_averaged(backend, bases):
    assert_mean_of_two_strands(backend, bases, list(dict.fromkeys(edits_at(bases, 301))))


@pytest.mark.parametrize(
    ("cell_bp", "cell", "length", "place", "forward", "back"),
    [
        # Thousands of bases of context on the left: all of a short contig.
        (1_200, 1, 1_500, 1_260, Window(0, 1_500), Window(0, 1_500)),
        (240, 2, 700, 480, Window(0, 700), Window(0, 700)),
        # Reverse: the cell [0, 1200) of 4,200 bases is [3000, 4200) from the other end.
        (1_200, 0, 4_200, 900, Window(0, 3_672), Window(528, 4_200)),
        # 72 bases on the left of a cell of 6,000; the reverse cell [-5500, 500) ends its window at 572.
        (6_000, 1, 6_500, 6_050, Window(5_928, 6_500), Window(0, 572)),
        # A cell as large as its window has no context on the left.
        (6_144, 1, 6_500, 6_200, Window(6_144, 6_500), Window(0, 356)),
    ],
)
def test_cells_inside_a_contig(backend, cell_bp, cell, length, place, forward, back):
    long = "".join(np.random.default_rng(6).choice(list("ACGT"), size=length))
    geometry = Geometry(6_144, cell_bp)
    assert geometry.window(cell, StrandView(Text(long))) == forward
    assert geometry.window(cell, StrandView(Text(long), "-")) == back
    snv, _, _, _, insertion, _, short_deletion, _, _, long_deletion, _ = edits_at(long, place)
    edits = [snv, insertion, short_deletion, long_deletion]
    assert {geometry.cell(edit.start) for edit in edits} == {cell}
    assert_mean_of_two_strands(backend, long, edits, cell, geometry)


def test_a_span_ends_with_the_window(backend):
    # The window of the reverse cell ends at 312, after 52 whole six-mers, and the contig does not.
    long = "".join(np.random.default_rng(8).choice(list("ACGT"), size=6_456))
    geometry = Geometry(6_144, 6_144)
    view = StrandView(Text(long), "-")
    assert geometry.window(1, view) == Window(0, 312)
    snv = Replacement(6_144, 6_145, other(long[6_144]))
    plan = plan_pass(view, geometry.window(1, view), [view.orient(snv)], options(geometry).spans)
    (branch,) = plan.branches
    assert branch is not None
    assert (branch.first_tok, branch.ref_state_tok, branch.ref_ll_tok) == (51, 1, 1)
    assert branch.truncated
    values = run_pass(backend, plan, options(geometry).spans)
    expected = two_passes(backend, reverse_complement(long)[:312], 0, view.orient(snv))
    for name in HEADS:
        np.testing.assert_allclose(values[name][0], expected[name], rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("n_leading", [5, 6, 1_000])
def test_a_locus_in_the_leading_n_of_a_window_cannot_be_told(backend, n_leading):
    # The window starts behind the whole six-mers of N that its cell begins with.
    contig = Text("ACGT" * 1_536 + "N" * n_leading + "ACGT" * 30)
    geometry = Geometry(6_144, 6_144)
    edit = shift_right(Replacement(6_144, 6_144, "GAC"), contig)
    assert edit.start == 6_144
    result = score_cell(backend, contig, 1, [edit], options(geometry))
    assert not result.told.any()
    assert all(np.isnan(result.values[name]).all() for name in HEADS)
    # It takes nothing from another edit of the cell.
    place = 6_144 + n_leading + 20
    snv = Replacement(place, place + 1, other(contig.bases[place]))
    both = score_cell(backend, contig, 1, [edit, snv], options(geometry))
    alone = score_cell(backend, contig, 1, [snv], options(geometry))
    assert both.told.tolist() == [False, True]
    for name in HEADS:
        assert np.array_equal(both.values[name][1:], alone.values[name], equal_nan=True)


class UniformBackend:
    """Every six-mer is as likely as any other; remembers which packs' rows are still held by anyone."""

    name, d_state = "uniform", 2

    def __init__(self):
        self.held, self.most_held, self.n_packs = [], 0, 0

    def open(self, trunk):
        return Uniform(self._rows(trunk))

    def extend(self, prefix, pack):
        rows = self._rows(pack)
        self.held = [ref for ref in self.held if ref() is not None] + [weakref.ref(rows.log_probs)]
        self.most_held = max(self.most_held, len(self.held))
        self.n_packs += 1
        return rows

    def _rows(self, wanted):
        return Rows(
            np.ones((len(wanted.state_rows), 2), np.float32),
            np.full((len(wanted.log_prob_rows), N_SIXMERS), -np.log(N_SIXMERS), np.float32),
        )


@dataclass
class Uniform:
    rows: Rows


def test_rows_of_scored_packs_are_not_kept(bases):
    contig = Text(bases)
    backend = UniformBackend()
    edits = [Replacement(i, i + 1, alt) for i in range(100, 220) for alt in "ACGT" if alt != bases[i]]
    result = score_cell(backend, contig, 0, edits, options())
    assert backend.n_packs == -(-len(edits) // MAX_PACK) == 6
    assert backend.most_held <= 2
    assert np.array_equal(result.values["delta_ll"], np.zeros(len(edits)))
    assert np.array_equal(result.values["displacement"], np.zeros(len(edits)))


@settings(max_examples=25, deadline=None)
@given(
    place=st.integers(60, 240),
    unit=st.sampled_from(["A", "CA", "CAG", "ACGTTG"]),
    copies=st.integers(2, 6),
    change=st.sampled_from([-1, 1, 2]),
    left=st.integers(0, 9),
    right=st.integers(0, 9),
    slide=st.integers(0, 30),
)
def test_all_spellings_score_the_same(backend, bases, place, unit, copies, change, left, right, slide):
    text = bases[:place] + unit * copies + bases[place:]
    contig = Text(text)
    edit = (
        Replacement(place, place, unit * change) if change > 0 else Replacement(place, place + len(unit), "")
    )
    canonical = shift_right(edit, contig)
    # Another place in the repeat, then shared bases around it, then the way back.
    leftmost = shift_left(edit, contig)
    at = min(leftmost.start + slide, canonical.start)
    edited = text[: edit.start] + edit.alt + text[edit.end :]
    start, end = max(at - left, 0), min(at + edit.ref_len + right, len(text))
    spelled = trim(start, text[start:end], edited[start : end + edit.net])
    assert spelled is not None
    again = shift_right(spelled, contig)
    one = score_cell(backend, contig, 0, [canonical], options())
    two = score_cell(backend, contig, 0, [again], options())
    for name in HEADS:
        assert np.array_equal(one.values[name], two.values[name], equal_nan=True)


def test_default_heads_leave_out_the_matched_trunks(backend, bases):
    edits = [shift_right(Replacement(250, 250, "AC"), Text(bases)), Replacement(260, 261, other(bases[260]))]
    plain = PassOptions(geometry=GEOMETRY, radius_tok=RADIUS, ll_tok=RADIUS + 1)
    result = score_cell(backend, Text(bases), 0, edits, plain)
    assert np.isnan(result.values["displacement"][0])
    assert not np.isnan(result.values["displacement"][1])
    assert result.n_tok < score_cell(backend, Text(bases), 0, edits, options()).n_tok


@pytest.mark.parametrize("head", HEADS)
def test_one_head_alone_gives_the_same_score(backend, bases, head):
    edits = list(dict.fromkeys(edits_at(bases, 244)))
    alone = PassOptions(geometry=GEOMETRY, heads=(head,), radius_tok=RADIUS, ll_tok=RADIUS + 1)
    one = score_cell(backend, Text(bases), 0, edits, alone).values[head]
    every = score_cell(backend, Text(bases), 0, edits, options()).values[head].copy()
    if head == "displacement":
        every[[e.net % K != 0 for e in edits]] = np.nan
    np.testing.assert_allclose(one, every, rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"phases": 4}, {"phases": 0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        options(**wrong)
    with pytest.raises(ConfigError):
        PassOptions(geometry=GEOMETRY, heads=("risk",))


@pytest.mark.parametrize("radius", [0, 1, 8])
def test_a_span_never_ends_inside_a_deletion(backend, bases, radius):
    for n in (1, 5, 6, 7, 12, 40):
        for place in range(240, 246):
            edit = shift_right(Replacement(place, place + n, ""), Text(bases))
            wide = PassOptions(geometry=GEOMETRY, heads=CHOICES, radius_tok=radius, ll_tok=radius + 1)
            result = score_cell(backend, Text(bases), 0, [edit], wide)
            assert result.told.all()
            assert np.isfinite(result.values["delta_ll"]).all()
