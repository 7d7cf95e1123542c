"""What a compute backend must do: run a trunk, then run branches on it.

Letters of shapes: T tokens of a trunk, N tokens of a pack, S rows of which states are read, R rows of which
log-probabilities are read, D width of the model.

A *row* is the raw hidden state after `state_layer` layers divided by its root mean square, without weight:
h / sqrt(mean(h^2) + eps). It is the one form that PyTorch, ONNX Runtime and llama.cpp can all give.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import DeploymentError

if TYPE_CHECKING:
    from genolewm_core.artifacts.manifest import ModelDirectory

__all__ = [
    "Backend",
    "BackendFactory",
    "Pack",
    "Prefix",
    "Rows",
    "Trunk",
    "backend_names",
    "load_backend",
    "resolve_backend",
]

AUTO_ORDER = ("onnx", "torch")

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trunk:
    """A reference pass.

    Attributes:
        token_ids: int32 (T,), ids of the sliced vocabulary; the first is `<dna>`.
        state_rows: int64 (S,), rows whose states are wanted, ascending.
        log_prob_rows: int64 (R,), rows whose six-mer log-probabilities are wanted, ascending; only with
            `full_depth`. Row i predicts the token of row i + 1.
        full_depth: all layers are run. False where only states are read, on this trunk and on its branches:
            then the layers above `state_layer` are left out.
        keep: branches will follow, so keys and values are kept.
    """

    token_ids: Int32
    state_rows: Int64
    log_prob_rows: Int64
    full_depth: bool
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Pack:
    """Up to 64 edited alleles to run on one trunk, token after token.

    Token i of branch b sees the trunk's rows before `prefix_tok[i]` and the tokens of its own branch up to
    itself; it sees no other branch.

    Attributes:
        token_ids: int32 (N,), ids of the sliced vocabulary.
        positions: int32 (N,), place of the token in its own allele, `<dna>` being 0.
        branch: int32 (N,), 0..B-1, ascending.
        prefix_tok: int32 (N,), number of trunk rows the token sees; equal within a branch.
        state_rows: int64 (S,), tokens of the pack whose states are wanted, ascending.
        log_prob_rows: int64 (R,), tokens of the pack whose log-probabilities are wanted, ascending.
    """

    token_ids: Int32
    positions: Int32
    branch: Int32
    prefix_tok: Int32
    state_rows: Int64
    log_prob_rows: Int64

    def visible(self, trunk_tok: int) -> npt.NDArray[np.bool_]:
        """Attention mask, bool (N, trunk_tok + N): may token i (row) look at key j (column)?"""
        n = len(self.token_ids)
        mask_NK = np.zeros((n, trunk_tok + n), dtype=np.bool_)
        mask_NK[:, :trunk_tok] = np.arange(trunk_tok)[None, :] < self.prefix_tok[:, None]
        same_branch_NN = self.branch[:, None] == self.branch[None, :]
        mask_NK[:, trunk_tok:] = np.tril(same_branch_NN)
        return mask_NK


@dataclass(frozen=True, slots=True)
class Rows:
    """What a pass gives back, in the order of the rows that were asked for.

    Attributes:
        states: float32 (S, D).
        log_probs: float32 (R, 4096), log-softmax over the six-mers in code order.
    """

    states: Float32
    log_probs: Float32


class Prefix(Protocol):
    """A trunk that was run; holds the backend's keys and values until it is dropped."""

    @property
    def rows(self) -> Rows:
        """States and log-probabilities of the trunk's rows."""
        ...


class Backend(Protocol):
    """A language model of Carbon's shape on some compute library."""

    @property
    def name(self) -> str:
        """Registered name, such as "onnx"."""
        ...

    @property
    def d_state(self) -> int:
        """Width D of a state."""
        ...

    def open(self, trunk: Trunk) -> Prefix:
        """Run a trunk with ordinary causal attention."""
        ...

    def extend(self, prefix: Prefix, pack: Pack) -> Rows:
        """Run branches on a trunk that was opened with `keep`. Leaves the prefix as it was.

        A pack that wants no log-probabilities is run to `state_layer` only.
        """
        ...


class BackendFactory(Protocol):
    """What an entry point of the group `genolewm.backends` names."""

    def __call__(self, model: ModelDirectory, *, threads: int | None = None) -> Backend:
        """Load a verified model. `threads` limits the compute threads; None lets the library choose."""
        ...


def backend_names() -> list[str]:
    """Names of the installed backends, in the order in which `auto` prefers them."""
    names = {entry.name for entry in entry_points(group="genolewm.backends")}
    return [name for name in AUTO_ORDER if name in names] + sorted(names - set(AUTO_ORDER))


def resolve_backend(name: str) -> str:
    """The installed backend that a name means; "auto" is the first.

    Raises:
        DeploymentError: `backend-missing`.
    """
    names = backend_names()
    if name == "auto" and names:
        return names[0]
    if name in names:
        return name
    raise DeploymentError(
        "backend-missing",
        f"The backend {name!r} is not installed.",
        expected=", ".join(names) or "at least one backend",
        found=name,
        next_step="choose an installed one, or install the package that brings this one: "
        "genolewm-runtime for onnx, genolewm-encoder for torch",
    )


def load_backend(name: str, model: ModelDirectory, *, threads: int | None = None) -> Backend:
    """Load a backend by name, or the first installed one for "auto".

    Raises:
        DeploymentError: `backend-missing`.
    """
    wanted = resolve_backend(name)
    (entry,) = entry_points(group="genolewm.backends", name=wanted)
    try:
        factory: BackendFactory = entry.load()
    except ModuleNotFoundError as error:
        raise DeploymentError(
            "backend-missing",
            f"The backend {wanted!r} needs the package {error.name!r}, which is not installed.",
            next_step=f"install {error.name}, or choose another with --backend",
        ) from error
    return factory(model, threads=threads)
