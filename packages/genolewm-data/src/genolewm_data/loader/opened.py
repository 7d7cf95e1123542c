"""What a process needs of a release to make batches, opened when it first makes one and never carried to another."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from torch.utils.data import get_worker_info

from genolewm_core.errors import ConfigError
from genolewm_core.scoring.states import Encoding, StateSource
from genolewm_data.loader.columns import States
from genolewm_data.loader.order import BLOCK_GROUPS
from genolewm_data.parts import Part, check_at_least
from genolewm_data.release.release import Release, Split
from genolewm_data.release.windows import WindowTable
from genolewm_data.tuples import TupleOptions

__all__ = ["Opened", "OpensStates", "Shares", "this_worker"]

OpensStates = Callable[[], StateSource]
"""Opens a source of states; pickled to every worker and called once in each."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a stream is shared out.

    Attributes:
        rank: of this process in the job.
        world_size: processes of the job.
        windows_per_batch: windows of a batch of one rank.

    Raises:
        ConfigError: `config-invalid`.
    """

    rank: int
    world_size: int
    windows_per_batch: int

    def __post_init__(self) -> None:
        check_at_least("windows_per_batch", self.windows_per_batch, 1)
        Part(self.rank, self.world_size)


class Opened:
    """Windows of a split and a source of states, opened anew in every process.

    Args:
        release: whose windows.
        split: of them.
        options: of the tuples.
        states: opens a source of reference states, or None for batches without.
        encoding: of the states.

    Raises:
        ConfigError: `config-invalid`, when only one of `states` and `encoding` is given, or they are pooled otherwise
            than the tuples.
    """

    def __init__(
        self,
        release: Release,
        split: Split,
        options: TupleOptions,
        states: OpensStates | None,
        encoding: Encoding | None,
    ) -> None:
        if (states is None) != (encoding is None):
            raise _unfit("states and their encoding, or neither", "one of them")
        if encoding is not None and encoding.pool_radius != options.radius_tok:
            raise _unfit(f"states pooled over {options.radius_tok} tokens", f"{encoding.pool_radius} tokens")
        self._release, self._split = release, split
        self._open, self._encoding = states, encoding
        self._pid = -1
        self._table: WindowTable | None = None
        self._states: States | None = None

    def windows(self) -> WindowTable:
        """The windows of the split."""
        self._renew()
        if self._table is None:
            self._table = self._release.windows(self._split, keep_groups=BLOCK_GROUPS)
        return self._table

    def states(self) -> States | None:
        """The source of states, if there is one."""
        self._renew()
        if self._states is None and self._open is not None and self._encoding is not None:
            self._states = States(self._open(), self._encoding)
        return self._states

    def _renew(self) -> None:
        """Drop what another process opened: neither files nor databases are to be shared over a fork."""
        if self._pid != os.getpid():
            self._pid, self._table, self._states = os.getpid(), None, None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pid": -1, "_table": None, "_states": None}


def this_worker() -> tuple[int, int]:
    """Number of this worker of a `DataLoader` and how many there are; (0, 1) outside of one."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def _unfit(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "config-invalid",
        "The reference states do not fit the tuples.",
        where="encoding",
        expected=expected,
        found=found,
        next_step="give the encoding that the states were made by, of the options' radius",
    )
