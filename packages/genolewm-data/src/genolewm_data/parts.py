"""Which part of a stream a worker reads, and the order of a pass.

A stream is cut into units that can be read on their own. Every reader of a stream computes the same order of all
units and takes its own part of it, so that nothing has to be agreed on: the parts are disjoint, and together they
are the whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from genolewm_core.errors import ConfigError

__all__ = ["Part", "Share", "Touches", "check_at_least", "check_resumed", "shuffled"]


class Touches(Protocol):
    """Says which places are held out of training."""

    def touches(self, contig: str, start: int, end: int) -> bool:
        """Whether a base of [start, end), 0-based half-open, is held out."""
        ...


class Share(NamedTuple):
    """The rows of one unit that one part reads: those whose 0-based number leaves `at` when divided by `every`.

    Attributes:
        place: of the unit in the order of the pass, 0-based.
        every: parts that share the unit.
        at: which of them this is.
    """

    place: int
    every: int = 1
    at: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One of several disjoint parts of a stream.

    Attributes:
        index: 0-based.
        count: how many parts there are.

    Raises:
        ConfigError: `config-invalid`, unless 0 <= index < count.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                "config-invalid",
                "There is no such part of the stream.",
                where="part",
                expected="an index from 0 up, below the number of parts",
                found=f"{self.index} of {self.count}",
            )

    @classmethod
    def of_worker(cls, rank: int, world_size: int, worker: int = 0, n_workers: int = 1) -> Part:
        """The part of one loader worker of one rank of a distributed job."""
        return cls(rank * n_workers + worker, world_size * n_workers)

    def shares(self, n_units: int) -> list[Share]:
        """What this part reads of a pass over `n_units` units.

        Where there are more parts than units, several parts share a unit and take its rows in turn.
        """
        if self.count <= n_units:
            return [Share(place) for place in range(self.index, n_units, self.count)]
        if n_units == 0:
            return []
        place, at = self.index % n_units, self.index // n_units
        return [Share(place, (self.count - place + n_units - 1) // n_units, at)]


def shuffled(n: int, key: str) -> npt.NDArray[np.int64]:
    """A permutation of 0..n-1, int64 (n,): the same for a key on every machine and with every version of NumPy."""
    base = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    # SplitMix64 (Steele, Lea, Flood 2014) of a counter: a bijection of 64 bits, so no two units draw alike.
    draw = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(base)
    draw = (draw ^ (draw >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    draw = (draw ^ (draw >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(draw ^ (draw >> np.uint64(31)), kind="stable").astype(np.int64)


def check_resumed(found: str, expected: str, source: str) -> None:
    """Refuse to go on from the state of another stream.

    Args:
        found, expected: identities of the state's stream and part, and of this one.
        source: what the stream reads, for the error.

    Raises:
        ConfigError: `resume-conflict`.
    """
    if found != expected:
        raise ConfigError(
            "resume-conflict",
            "The state is of another stream of windows, or of another part.",
            where="state",
            expected=expected[:16],
            found=found[:16],
            next_step=f"go on with the same {source}, options, rank and number of workers, or start anew",
        )


def check_at_least(name: str, value: int, least: int, multiple_of: int = 1) -> None:
    """Refuse a size that cannot be used.

    Raises:
        ConfigError: `config-invalid`, below `least` or no multiple of `multiple_of`.
    """
    if value < least or value % multiple_of:
        step = f", in steps of {multiple_of}" if multiple_of > 1 else ""
        raise ConfigError(
            "config-invalid",
            "A size of windows cannot be used.",
            where=name,
            expected=f"{least} or more{step}",
            found=str(value),
        )
