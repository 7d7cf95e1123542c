"""The order of the windows of an epoch: groups shuffled, and the windows of some groups shuffled together.

Reading stays cheap, because few groups are wanted at a time, and the order is a function of the seed, the epoch and the
groups' sizes, so that every worker computes it by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from genolewm_data.parts import shuffled

__all__ = ["BLOCK_GROUPS", "WindowOrder"]

BLOCK_GROUPS = 8
"""Groups whose windows are shuffled together: 2,048 windows, 25 MB of bases in memory."""


class WindowOrder:
    """The order in which an epoch visits the windows of a split.

    Args:
        group_first: number of the first window of each group, and behind them the number of all windows.
        seed: of the stream.
        epoch: from 0.
    """

    def __init__(self, group_first: Sequence[int], seed: int, epoch: int) -> None:
        self._group_first = np.asarray(group_first, dtype=np.int64)
        self._key = f"{seed}:{epoch}"
        self._groups = shuffled(len(group_first) - 1, f"{self._key}:groups")
        sizes = np.diff(self._group_first)[self._groups]
        blocks = [int(sizes[i : i + BLOCK_GROUPS].sum()) for i in range(0, len(sizes), BLOCK_GROUPS)]
        self._block_first = [0, *accumulate(blocks)]
        self._block = lru_cache(maxsize=2)(self._shuffled_block)

    def __len__(self) -> int:
        return int(self._block_first[-1])

    def __getitem__(self, place: int) -> int:
        """Number of the window at a place of the epoch."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        block = bisect_right(self._block_first, place) - 1
        return int(self._block(block)[place - self._block_first[block]])

    def _shuffled_block(self, block: int) -> npt.NDArray[np.int64]:
        groups = self._groups[block * BLOCK_GROUPS : (block + 1) * BLOCK_GROUPS]
        first, end = self._group_first[groups], self._group_first[groups + 1]
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(first.tolist(), end.tolist(), strict=True)])
        return np.asarray(numbers[shuffled(len(numbers), f"{self._key}:{block}")])
