"""A batch's passes on a real (small, random) model: the rows that targets pool are those of the edited windows."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `torch` is not installed")

from genolewm_core.scoring.backend import Trunk
from genolewm_core.scoring.sixmer import BASE_ORDER, K, Vocabulary
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.numpy_backend import NumpyBackend
from genolewm_data.loader import GenoLeWMDataset, window_pass


def states_of(backend, text):
    """States of the tokens of a sequence, run by itself."""
    ids = Vocabulary(0).encode(text[: len(text) // K * K])
    n = len(ids) + 1
    trunk = Trunk(
        np.concatenate([[0], ids]).astype(np.int32), np.arange(1, n), np.zeros(0, np.int64), False, False
    )
    return backend.open(trunk).rows.states


def edited_after(batch, sample, k, text):
    """The window with the first k edits of a tuple applied, from the columns alone."""
    first = int(batch.edit_offset[sample])
    for e in reversed(range(first, first + k)):
        at, n_ref, n_alt = (int(column[e]) for column in (batch.rel_pos, batch.ref_len, batch.alt_len))
        ref, alt = (
            "".join(BASE_ORDER[c] for c in bases[e, :n].tolist())
            for bases, n in ((batch.ref, n_ref), (batch.alt, n_alt))
        )
        assert text[at : at + n_ref] == ref
        text = text[:at] + alt + text[at + n_ref :]
    return text


def test_pooled_rows_are_those_of_the_edited_windows(release):
    backend = NumpyBackend(TEST_ARCHITECTURE, random_model(TEST_ARCHITECTURE), 2)
    options = replace(release.options, edits_per_window=4, multi_percent=50)
    batch = next(iter(GenoLeWMDataset(release, windows_per_batch=1, options=options)))
    windows, n_windows = release.windows("train"), len(release.windows("train"))
    n_steps = 0
    for row in range(len(batch.windows)):
        text = windows[int(batch.window_number[row]) % n_windows].sequence
        reference = states_of(backend, text)
        plan = window_pass(batch, row)
        prefix = backend.open(plan.trunk)
        ref_row = {int(r): i for i, r in enumerate(plan.trunk.state_rows)}
        packs = [backend.extend(prefix, pack).states for pack in plan.packs]
        for sample in np.flatnonzero(batch.tuple_window.numpy() == row).tolist():
            first, end = batch.edit_offset[sample : sample + 2].tolist()
            for k, e in enumerate(range(first, end), 1):
                local = int(batch.step_branch[e]) - plan.branches[0]
                begin = int(batch.first_tok[batch.step_branch[e]])
                spans = batch.spans[batch.span_offset[e] : batch.span_offset[e + 1]].tolist()
                # Nothing behind the last span can move a state.
                n_tok = begin + max(alt_tok + n_alt for _, _, alt_tok, n_alt in spans)
                whole = states_of(backend, edited_after(batch, sample, k, text)[: K * n_tok])
                rows = packs[plan.pack[local]][plan.pack_first[local] :]
                for ref_tok, n_ref, alt_tok, n_alt in spans:
                    held = [ref_row[r] for r in range(ref_tok + 1, ref_tok + 1 + n_ref)]
                    assert prefix.rows.states[held] == pytest.approx(reference[ref_tok : ref_tok + n_ref])
                    found = rows[alt_tok : alt_tok + n_alt]
                    expected = whole[begin + alt_tok : begin + alt_tok + n_alt]
                    assert found == pytest.approx(expected, abs=1e-5)
                    # And they differ from the reference's, or the comparison would show nothing.
                    assert np.abs(found[0] - reference[ref_tok]).max() > 1e-3
                n_steps += 1
    assert n_steps > batch.n_tuples == 4
