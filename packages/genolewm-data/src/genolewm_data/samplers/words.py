"""Random words that depend on a seed, a window and a slot, and on nothing else.

Philox is a function from a counter and a key to random words (Salmon and others 2011). With the seed and the
window as the key and the slot in the counter, any worker computes the words of any slot without having drawn
those before it, so a stream is the same however its windows are shared out. Only raw words are used: NumPy
promises to keep them, while the methods of its generators may change.

Letters of shapes: S slots of a window, E places for edits in a slot, W words of a place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["EDITS_PER_SLOT", "WORDS_PER_EDIT", "SlotWords", "UInt64", "below", "uniform"]

UInt64 = npt.NDArray[np.uint64]

EDITS_PER_SLOT = 9
"""A head, which holds what is drawn for the slot as a whole, and eight edits at most."""

WORDS_PER_EDIT = 8

_BLOCK = 4  # words that Philox makes of one counter


class SlotWords:
    """Random words of the slots of windows.

    Args:
        seed: of the whole stream, 0 up to 2^64 - 1.

    Raises:
        ValueError: the seed is out of range.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 1 << 64:
            raise ValueError("a seed is a whole number from 0 up to 2^64 - 1")
        self.seed = seed
        self._philox = np.random.Philox(0)

    def __reduce__(self) -> tuple[object, ...]:
        return (SlotWords, (self.seed,))

    def of_window(self, window: int, n_slots: int) -> UInt64:
        """Words of the first slots of a window, uint64 (S, E, W); a slot's do not depend on how many are asked."""
        words = self._raw(window, 0, n_slots * EDITS_PER_SLOT * WORDS_PER_EDIT)
        return words.reshape(n_slots, EDITS_PER_SLOT, WORDS_PER_EDIT)

    def again(self, window: int, slot: int, edit: int, n_attempts: int) -> UInt64:
        """Words of further attempts at one edit of a slot, uint64 (n_attempts, W)."""
        series = 1 + slot * EDITS_PER_SLOT + edit
        return self._raw(window, series, n_attempts * WORDS_PER_EDIT).reshape(n_attempts, WORDS_PER_EDIT)

    def _raw(self, window: int, series: int, n: int) -> UInt64:
        # Setting the state costs a third of making a new generator.
        self._philox.state = {
            "bit_generator": "Philox",
            "state": {
                "counter": np.array([0, series, 0, 0], dtype=np.uint64),
                "key": np.array([self.seed, window], dtype=np.uint64),
            },
            "buffer": np.zeros(_BLOCK, dtype=np.uint64),
            "buffer_pos": _BLOCK,
            "has_uint32": 0,
            "uinteger": 0,
        }
        return np.asarray(self._philox.random_raw(n), dtype=np.uint64)


def uniform(word: int) -> float:
    """A number in [0, 1) from the upper 53 bits of a word."""
    return (word >> 11) * 2.0**-53


def below(word: int, n: int) -> int:
    """A whole number in [0, n) from a word; 0 where n is 0. A number's chance is off by 2^-53 at most."""
    return int(uniform(word) * n)
