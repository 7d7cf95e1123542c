"""Columns of batches against the tuples and plans that they were made of, and packs against core's."""

import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

from genolewm_core.genome.variant import EditType, RelEdit
from genolewm_core.scoring.branches import MAX_PACK, Spans, plan_pass
from genolewm_core.scoring.cells import StrandView, Window
from genolewm_core.scoring.sixmer import BASE_ORDER, sixmer_codes
from genolewm_core.scoring.states import StateKey, window_hash
from genolewm_data.loader import ALLELE_PAD, GenoLeWMDataset, GenoLeWMValDataset, window_pass
from genolewm_data.samplers import SOURCES, EditableWindow
from genolewm_data.tuples import GenomePlace, TupleOptions, plan_targets

from .conftest import BLOCKS, ENCODING, EVALUATED, HELD_BLOCKS, MARGIN, STRIDE_BP, WINDOW_BP, Computed
from .test_loader_stream import N, same


@pytest.fixture(scope="module")
def batches(release):
    return list(GenoLeWMDataset(release, windows_per_batch=9, epochs=1, states=Computed(), encoding=ENCODING))


def opened(release, batch, row):
    window = release.windows("train")[int(batch.window_number[row]) % N]
    return window, EditableWindow.of(window, MARGIN)


def part(offset, index):
    return slice(int(offset[index]), int(offset[index + 1]))


def spelled(alleles, n):
    assert (alleles[n:] == ALLELE_PAD).all()
    return "".join(BASE_ORDER[code] for code in alleles[:n].tolist())


def test_columns_say_what_the_tuples_say(release, batches):
    builder = release.builder()
    n_edits = 0
    tally = Counter()
    for batch in batches:
        at = 0
        for row, number in enumerate(batch.window_number.tolist()):
            window, _ = opened(release, batch, row)
            built = builder.build(window, number)
            tally += built.tally
            assert batch.windows[row] == built.tuples[0].window
            n_tok = int(batch.n_tok[row])
            assert n_tok == len(window.sequence) // 6
            assert batch.codes[row, :n_tok].tolist() == sixmer_codes(window.sequence[: 6 * n_tok]).tolist()
            for sample in built.tuples:
                assert (int(batch.tuple_window[at]), int(batch.slot[at])) == (row, sample.slot)
                held = part(batch.edit_offset, at)
                assert held.stop - held.start == len(sample.edits)
                for e, edit in zip(range(held.start, held.stop), sample.edits, strict=True):
                    ref = spelled(batch.ref[e], int(batch.ref_len[e]))
                    alt = spelled(batch.alt[e], int(batch.alt_len[e]))
                    rel = RelEdit(int(batch.rel_pos[e]), EditType(int(batch.edit_type[e])), ref, alt)
                    assert rel == edit.rel
                    assert int(batch.locus[e]) == edit.change.start
                    assert SOURCES[int(batch.source[e])] == edit.source
                    key = StateKey(
                        window_hash(window.sequence),
                        ENCODING.encoder_hash,
                        ENCODING.state_layer,
                        ENCODING.pool_type,
                        ENCODING.pool_radius,
                        edit.change.start // 6,
                        ENCODING.dtype,
                    )
                    assert bool(batch.found[e]) == (key.center_tok % 5 > 0)
                    if batch.found[e]:
                        assert batch.states[e].tolist() == Computed().state(key).tolist()
                    else:
                        assert batch.states[e].isnan().all()
                    n_edits += 1
                at += 1
        assert at == batch.n_tuples == len(batch.edit_offset) - 1
    assert n_edits == sum(len(batch.locus) for batch in batches) > 300
    assert tally == sum((batch.tally for batch in batches), Counter())
    assert sum(len(batch.windows) for batch in batches) == N


def test_targets_are_those_that_are_planned_for_the_tuples(release, batches):
    builder = release.builder()
    for batch in batches:
        at = 0
        for row, number in enumerate(batch.window_number.tolist()):
            window, editable = opened(release, batch, row)
            samples = builder.build(window, number).tuples
            for targets in plan_targets(editable, samples, 8):
                held = part(batch.branch_offset, at)
                assert held.stop - held.start == len(targets.branches)
                for b, branch in zip(range(held.start, held.stop), targets.branches, strict=True):
                    assert (int(batch.first_tok[b]), int(batch.net[b])) == (branch.first_tok, branch.net)
                    assert batch.branch_codes[part(batch.code_offset, b)].tolist() == branch.codes.tolist()
                edits = part(batch.edit_offset, at)
                for e, step in zip(range(edits.start, edits.stop), targets.steps, strict=True):
                    assert int(batch.step_branch[e]) == held.start + step.branch
                    spans = batch.spans[part(batch.span_offset, e)].tolist()
                    assert spans == [list(span) for span in step.spans]
                at += 1


def equal_packs(one, other):
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("token_ids", "positions", "branch", "prefix_tok", "state_rows", "log_prob_rows")
    )


def test_packs_of_single_edits_are_those_of_scoring(release):
    options = TupleOptions(seed=5, edits_per_window=70, multi_percent=0)
    n_packs = 0
    for batch in GenoLeWMDataset(release, windows_per_batch=3, epochs=1, options=options):
        for row in range(len(batch.windows)):
            window, editable = opened(release, batch, row)
            samples = release.builder(options).build(window, int(batch.window_number[row])).tuples
            changes = [sample.edits[0].change for sample in samples]
            spans = Spans(state_tok=9, ll_tok=0, marginal=False)
            plan = plan_pass(StrandView(editable), Window(0, editable.length), changes, spans)
            ours = window_pass(batch, row)
            assert len(ours.packs) == len(plan.packs) == 2
            assert all(map(equal_packs, ours.packs, plan.packs))
            for first, again in zip(
                plan.pack_first, (ours.pack_first[:MAX_PACK], ours.pack_first[MAX_PACK:]), strict=True
            ):
                assert first.tolist() == again.tolist()
            assert [(b.pack, b.slot) for b in plan.branches] == [
                (int(p), i - MAX_PACK * int(p)) for i, p in enumerate(ours.pack)
            ]
            # Scoring's trunk reads no states of edits that re-cut the tokens behind them.
            ids = ours.trunk.token_ids
            shorter = min(len(ids), len(plan.trunk.token_ids))
            assert ids[:shorter].tolist() == plan.trunk.token_ids[:shorter].tolist()
            assert set(plan.trunk.state_rows) <= set(ours.trunk.state_rows)
            n_packs += len(ours.packs)
        break
    assert n_packs == 6


def test_a_pass_has_the_rows_that_its_targets_pool(batches):
    for row in range(9):
        batch = batches[0]
        ours = window_pass(batch, row)
        first, end = ours.branches
        tuples = [t for t, held in enumerate(batch.tuple_window.tolist()) if held == row]
        branches = [b for t in tuples for b in range(*batch.branch_offset[t : t + 2].tolist())]
        assert branches == list(range(first, end))
        for t in tuples:
            for e in range(*batch.edit_offset[t : t + 2].tolist()):
                local = int(batch.step_branch[e]) - first
                pack, at = ours.packs[ours.pack[local]], int(ours.pack_first[local])
                for ref_tok, n_ref, alt_tok, n_alt in batch.spans[part(batch.span_offset, e)].tolist():
                    assert set(range(ref_tok + 1, ref_tok + n_ref + 1)) <= set(ours.trunk.state_rows.tolist())
                    assert (pack.branch[at + alt_tok : at + alt_tok + n_alt] == local % MAX_PACK).all()
        assert len(ours.trunk.token_ids) == ours.trunk.state_rows[-1] + 1


def test_a_batch_travels_as_one_buffer(batches):
    stored = pickle.dumps(batches[0])
    again = pickle.loads(stored)
    assert same(again, batches[0])
    assert len({column.untyped_storage().data_ptr() for column in again.tensors().values()}) == 1
    payload = sum(column.nbytes for column in again.tensors().values())
    assert len(stored) < payload + 64 * 24 + 6_000
    assert set(again.tensors()) >= {"codes", "states", "spans"}
    assert all(isinstance(column, torch.Tensor) for column in again.tensors().values())


def test_validation_is_finite_fixed_and_names_its_hold_outs(release):
    def batches(**options):
        return list(GenoLeWMValDataset(release, windows_per_batch=2, **options))

    alone = batches()
    assert [(batch.holdout, len(batch.windows)) for batch in alone] == [
        ("chr21", 2),
        ("chr21", 2),
        ("chr21", 1),
        ("clinvar", 2),
        ("haplotypes", 2),
        ("haplotypes", 1),
    ]
    assert all(map(same, batches(), alone))
    ranks = [batches(rank=rank, world_size=4) for rank in range(4)]
    assert [len(held) for held in ranks] == [2, 2, 1, 1]
    shared = [held[step] for step in range(2) for held in ranks if step < len(held)]
    assert all(map(same, shared, alone))
    whole = GenoLeWMValDataset(release, states=Computed(), encoding=ENCODING)
    assert whole.n_windows == {"chr21": 5, "clinvar": 2, "haplotypes": 3}
    assert whole.n_batches == 3
    assert all(batch.found.any() for batch in torch.utils.data.DataLoader(whole, None, num_workers=1))


def test_validation_of_regions_may_use_what_training_may_not(release):
    drawn = Counter()
    for batch in GenoLeWMValDataset(release):
        if batch.holdout == "chr21":
            assert {ref.place.contig for ref in batch.windows} == {"chr21"}
            assert batch.n_tuples == 30
            drawn += batch.tally
    assert drawn["drawn.gnomad"] > 5
    assert drawn["refused.held_out"] == 0


def starts_of(batch):
    places = [batch.windows[row].place for row in batch.tuple_window.tolist()]
    assert all(isinstance(place, GenomePlace) for place in places)
    return [
        [place.start + int(batch.rel_pos[e]) for e in range(*batch.edit_offset[t : t + 2].tolist())]
        for t, place in enumerate(places)
    ]


def test_validation_has_each_evaluation_variant_and_each_held_out_block_once(release):
    found = {batch.holdout: batch for batch in GenoLeWMValDataset(release)}
    clinvar, haplotypes = found["clinvar"], found["haplotypes"]
    inside = [
        {v.start for v in EVALUATED if n * STRIDE_BP + MARGIN <= v.start < n * STRIDE_BP + WINDOW_BP - MARGIN}
        for n in (11, 10)
    ]
    assert inside[0] & inside[1]
    assert sorted(starts_of(clinvar)) == [[start] for start in sorted(inside[0] | inside[1])]
    assert clinvar.tally["repeated"] == len(inside[0] & inside[1])
    assert {SOURCES[source] for source in clinvar.source.tolist()} == {"clinvar"}
    wanted = [
        [call.called.start for call in block.calls]
        for block in HELD_BLOCKS
        if any(
            n * STRIDE_BP + MARGIN <= block.calls[0].called.start
            and block.calls[-1].called.end <= n * STRIDE_BP + WINDOW_BP - MARGIN
            for n in (0, 3, 4)
        )
    ]
    assert sorted(starts_of(haplotypes)) == sorted(wanted)
    assert 0 < len(wanted) < len(BLOCKS)
    assert {SOURCES[source] for source in haplotypes.source.tolist()} == {"haplotype"}


def test_without_torch_the_extra_is_named():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from genolewm_core.errors import DeploymentError\n"
        "try:\n    import genolewm_data.loader\n"
        "except DeploymentError as error:\n    print(error.code, error.next_step)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "backend-missing pip install 'genolewm-data[torch]'"
