"""What every compute backend must keep, as checks that a test suite runs one by one.

    @pytest.mark.parametrize("check", CHECKS, ids=check_name)
    def test_backend_conforms(backend, check):
        check(backend)

The backend under test holds `random_model` of any architecture that has the 4,107 DNA rows. A check that
fails raises AssertionError. Tolerances are those of fp32: results that only differ in the order of sums agree
to 1e-5 of the largest value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolewm_core.artifacts.architectures import tensor_shapes
from genolewm_core.artifacts.manifest import Architecture
from genolewm_core.scoring.backend import Backend, Pack, Rows, Trunk
from genolewm_core.scoring.sixmer import N_SIXMERS, K, Vocabulary

__all__ = ["CHECKS", "TEST_ARCHITECTURE", "TOLERANCE", "check_name", "random_model"]

Float32 = npt.NDArray[np.float32]
Check = Callable[[Backend], None]

TOLERANCE = 1e-5

TEST_ARCHITECTURE = Architecture(
    n_layers=3,
    d_model=48,
    n_heads=4,
    n_kv_heads=2,
    head_dim=16,
    d_ffn=96,
    rms_norm_eps=1e-6,
    rope_theta=10_000.0,
)
"""Small, with a model width that differs from the width of all heads; read its states after layer 2."""


def random_model(architecture: Architecture, seed: int = 0) -> dict[str, Float32]:
    """Random weights under which activations and log-probabilities keep an ordinary size.

    Returns:
        float32 tensors by stock Transformers names; the same for the same seed.
    """
    rng = np.random.default_rng(seed)
    model: dict[str, Float32] = {}
    for name, shape in tensor_shapes(architecture).items():
        values = rng.standard_normal(shape, dtype=np.float32)
        if "norm" in name:
            values = np.float32(1) + np.float32(0.1) * values
        else:
            values *= np.float32(shape[-1] ** -0.5)
        model[name] = values
    return model


def check_name(check: Check) -> str:
    """Name of a check, for the ids of parametrised tests."""
    return check.__name__


@dataclass(frozen=True)
class _Edit:
    """Replace `n_ref` bases from base `start` on; 0-based."""

    start: int
    n_ref: int
    alt: str


_N_BP = 300
_N_TOK = 1 + _N_BP // K
_SPAN_TOK = 9


def check_edits(backend: Backend) -> None:
    """A branch gives what a full pass over the edited sequence gives, at every offset in a six-mer."""
    sequence = _sequence()
    for offset in range(K):
        start = 120 + offset
        _check_branches(
            backend,
            sequence,
            [
                _Edit(start, 1, _other(sequence[start])),
                _Edit(start, 3, "".join(_other(base) for base in sequence[start : start + 3])),
                _Edit(start, 0, "GATTACA"),
                _Edit(start, 0, "ACGTAC"),
                _Edit(start, 5, ""),
                _Edit(start, 12, ""),
                _Edit(start, 4, "TG"),
            ],
        )


def check_ends(backend: Backend) -> None:
    """Edits of the first and the last six-mer of a contig."""
    sequence = _sequence()
    last = _N_BP - 1
    _check_branches(
        backend,
        sequence,
        [
            _Edit(0, 1, _other(sequence[0])),
            _Edit(0, 2, ""),
            _Edit(last, 1, _other(sequence[last])),
            _Edit(last, 0, "ACG"),
        ],
    )


def check_beside_oov(backend: Backend) -> None:
    """Edits before, inside and after a run of N."""
    sequence = _sequence()
    sequence = sequence[:126] + "NNNN" + sequence[130:]
    edits = [_Edit(start, 1, _other(sequence[start])) for start in (119, 121, 130, 133)]
    _check_branches(backend, sequence, [*edits, _Edit(126, 4, "ACGT"), _Edit(124, 0, "AC")])


def check_reference_branch(backend: Backend) -> None:
    """A branch equal to the reference gives the trunk's own rows."""
    tokens = _tokens(_sequence())
    prefix = backend.open(_full_trunk(tokens))
    for first in (1, 20, _N_TOK - 5):
        branch = tokens[first : first + _SPAN_TOK]
        rows = backend.extend(prefix, _pack([(first, branch)]))
        _same(rows.states, prefix.rows.states[first : first + len(branch)], f"states from token {first}")
        _same(rows.log_probs, prefix.rows.log_probs[first : first + len(branch)], f"log_probs from {first}")


def check_pack_size(backend: Backend) -> None:
    """A branch alone gives what it gives among 63 others of other lengths."""
    tokens = _tokens(_sequence())
    prefix = backend.open(_full_trunk(tokens))
    branches = _ragged_branches(64)
    packed = backend.extend(prefix, _pack(branches))
    ends = np.cumsum([len(ids) for _, ids in branches])
    for index in (0, 1, 31, 62, 63):
        alone = backend.extend(prefix, _pack([branches[index]]))
        rows = slice(ends[index] - len(branches[index][1]), ends[index])
        _same(alone.states, packed.states[rows], f"states of branch {index}")
        _same(alone.log_probs, packed.log_probs[rows], f"log_probs of branch {index}")


def check_repeatable(backend: Backend) -> None:
    """The same trunk and pack give the same bytes, and a pack leaves the prefix as it was."""
    tokens = _tokens(_sequence())
    prefix = backend.open(_full_trunk(tokens))
    before = (prefix.rows.states.copy(), prefix.rows.log_probs.copy())
    pack, other = _pack(_ragged_branches(20)), _pack(_ragged_branches(7, seed=9))
    first = backend.extend(prefix, pack)
    backend.extend(prefix, other)
    again = backend.extend(prefix, pack)
    _equal(first.states, again.states, "states of the same pack")
    _equal(first.log_probs, again.log_probs, "log_probs of the same pack")
    _equal(prefix.rows.states, before[0], "states of the prefix after packs")
    _equal(prefix.rows.log_probs, before[1], "log_probs of the prefix after packs")
    reopened = backend.open(_full_trunk(tokens))
    _equal(reopened.rows.states, before[0], "states of the same trunk")
    _equal(backend.extend(reopened, pack).states, first.states, "states on the same trunk opened again")


def check_shallow(backend: Backend) -> None:
    """A trunk that stops at the state layer gives the states of one that goes on."""
    tokens = _tokens(_sequence())
    everything, nothing = np.arange(_N_TOK), np.arange(0)
    pack = _pack(_ragged_branches(10))
    states_only = _pack(_ragged_branches(10), log_prob_rows=nothing)
    deep = backend.open(_full_trunk(tokens))
    shallow = backend.open(Trunk(tokens, everything, nothing, full_depth=False))
    lone = backend.open(Trunk(tokens, everything, nothing, full_depth=False, keep=False))
    deep_rows = backend.extend(deep, pack)
    _same(shallow.rows.states, deep.rows.states, "states of the trunk")
    _same(lone.rows.states, deep.rows.states, "states of a trunk that is not kept")
    _same(backend.extend(shallow, states_only).states, deep_rows.states, "states of branches")
    _same(backend.extend(deep, states_only).states, deep_rows.states, "states of branches on a deep trunk")


def check_normalised(backend: Backend) -> None:
    """States have a root mean square of one; log-probabilities are those of a distribution."""
    prefix = backend.open(_full_trunk(_tokens(_sequence())))
    branches = backend.extend(prefix, _pack(_ragged_branches(5)))
    for rows in (prefix.rows, branches):
        mean_square = np.mean(np.square(rows.states.astype(np.float64)), axis=-1)
        _true(bool(np.all(np.abs(mean_square - 1) < 1e-3)), "the root mean square of a state is not 1")
        total = np.exp(rows.log_probs.astype(np.float64)).sum(axis=-1)
        _true(bool(np.all(np.abs(total - 1) < 1e-4)), "probabilities do not add up to 1")


def check_row_choice(backend: Backend) -> None:
    """Any choice of rows, none included, gives those rows of the full answer, in order, as float32."""
    tokens = _tokens(_sequence())
    full = backend.open(_full_trunk(tokens))
    branches = _ragged_branches(12)
    full_pack = backend.extend(full, _pack(branches))
    some, few, none = np.array([0, 3, 4, 17]), np.array([2, _N_TOK - 1]), np.arange(0)
    for states, log_probs in ((some, few), (few, none), (none, some), (none, none)):
        prefix = backend.open(Trunk(tokens, states, log_probs, full_depth=True))
        _rows_are(prefix.rows, full.rows, states, log_probs, backend.d_state, "trunk")
        rows = backend.extend(prefix, _pack(branches, states, log_probs))
        _rows_are(rows, full_pack, states, log_probs, backend.d_state, "pack")


def check_causal(backend: Backend) -> None:
    """Later tokens change nothing before them, on trunks of any length."""
    rng = np.random.default_rng(5)
    tokens = np.concatenate([[0], rng.integers(3, 3 + N_SIXMERS, 1_032)]).astype(np.int32)
    rows = np.arange(0, 250, 10)
    long = backend.open(Trunk(tokens, rows, rows, full_depth=True))
    for n_tok in (1, 2, 250, 513):
        seen = rows[rows < n_tok]
        short = backend.open(Trunk(tokens[:n_tok], seen, seen, full_depth=True))
        _same(short.rows.states, long.rows.states[: len(seen)], f"states of the first {n_tok} tokens")
        _same(
            short.rows.log_probs, long.rows.log_probs[: len(seen)], f"log_probs of the first {n_tok} tokens"
        )


CHECKS: tuple[Check, ...] = (
    check_edits,
    check_ends,
    check_beside_oov,
    check_reference_branch,
    check_pack_size,
    check_repeatable,
    check_shallow,
    check_normalised,
    check_row_choice,
    check_causal,
)
"""Every check, in the order in which a new backend is best made to pass them."""


def _check_branches(backend: Backend, sequence: str, edits: list[_Edit]) -> None:
    tokens = _tokens(sequence)
    branches, wholes = [], []
    for edit in edits:
        edited = sequence[: edit.start] + edit.alt + sequence[edit.start + edit.n_ref :]
        whole = _tokens(edited[: len(edited) // K * K])
        shared = min(len(whole), len(tokens))
        changed = np.flatnonzero(whole[:shared] != tokens[:shared])
        first = int(changed[0]) if len(changed) else shared
        # An edit that only shortens the last six-mer away leaves no token to run.
        if first < len(whole):
            branches.append((first, whole[first : first + _SPAN_TOK]))
            wholes.append(whole)
    rows = backend.extend(backend.open(_full_trunk(tokens)), _pack(branches))
    start = 0
    for (first, ids), whole in zip(branches, wholes, strict=True):
        full = backend.open(_full_trunk(whole, keep=False)).rows
        own, there = slice(start, start + len(ids)), slice(first, first + len(ids))
        _same(rows.states[own], full.states[there], f"states of the branch from token {first}")
        _same(rows.log_probs[own], full.log_probs[there], f"log_probs of the branch from token {first}")
        start += len(ids)


def _rows_are(
    rows: Rows, full: Rows, states: npt.NDArray[np.int64], log_probs: npt.NDArray[np.int64], d: int, what: str
) -> None:
    _true(rows.states.shape == (len(states), d), f"states of a {what}: shape {rows.states.shape}")
    _true(
        rows.log_probs.shape == (len(log_probs), N_SIXMERS), f"log_probs of a {what}: {rows.log_probs.shape}"
    )
    _true(rows.states.dtype == rows.log_probs.dtype == np.float32, f"rows of a {what} are not float32")
    _same(rows.states, full.states[states], f"chosen states of a {what}")
    _same(rows.log_probs, full.log_probs[log_probs], f"chosen log_probs of a {what}")


def _sequence() -> str:
    return "".join(np.random.default_rng(1).choice(list("ACGT"), _N_BP))


def _other(base: str) -> str:
    return {"A": "G", "C": "T", "G": "C", "T": "A"}[base]


def _tokens(sequence: str) -> npt.NDArray[np.int32]:
    vocabulary = Vocabulary()
    return np.concatenate([[vocabulary.dna], vocabulary.encode(sequence)]).astype(np.int32)


def _full_trunk(tokens: npt.NDArray[np.int32], *, keep: bool = True) -> Trunk:
    rows = np.arange(len(tokens))
    return Trunk(tokens, rows, rows, full_depth=True, keep=keep)


def _ragged_branches(n: int, seed: int = 2) -> list[tuple[int, npt.NDArray[np.int32]]]:
    rng = np.random.default_rng(seed)
    firsts, lengths = rng.integers(1, _N_TOK, n).tolist(), rng.integers(1, 13, n).tolist()
    ids = [rng.integers(2, 3 + N_SIXMERS, length).astype(np.int32) for length in lengths]
    return list(zip(firsts, ids, strict=True))


def _pack(
    branches: list[tuple[int, npt.NDArray[np.int32]]],
    state_rows: npt.NDArray[np.int64] | None = None,
    log_prob_rows: npt.NDArray[np.int64] | None = None,
) -> Pack:
    """A pack of (first token, ids); by default all rows are wanted."""
    lengths = [len(ids) for _, ids in branches]
    firsts = np.repeat([first for first, _ in branches], lengths)
    within = np.concatenate([np.arange(length) for length in lengths])
    everything = np.arange(sum(lengths))
    return Pack(
        token_ids=np.concatenate([ids for _, ids in branches]),
        positions=(firsts + within).astype(np.int32),
        branch=np.repeat(np.arange(len(branches)), lengths).astype(np.int32),
        prefix_tok=firsts.astype(np.int32),
        state_rows=everything if state_rows is None else state_rows,
        log_prob_rows=everything if log_prob_rows is None else log_prob_rows,
    )


def _same(found: Float32, expected: Float32, what: str) -> None:
    """Agreement to `TOLERANCE` of the largest expected value."""
    _true(found.shape == expected.shape, f"{what}: shape {found.shape} instead of {expected.shape}")
    if found.size:
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
        _true(error <= TOLERANCE, f"{what}: relative error {error:.1e}")  # NaN fails too


def _equal(found: Float32, expected: Float32, what: str) -> None:
    _true(found.tobytes() == expected.tobytes(), f"{what}: other bytes")


def _true(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)
