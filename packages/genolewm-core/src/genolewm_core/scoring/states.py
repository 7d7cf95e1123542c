"""States of reference windows: what names one, where they come from, and a memory in front of a slow source.

A state is named by what it was computed from, never by where that lies: the window's bases, the encoder, and how
its rows were pooled. Two windows of equal bases share their states. A source hands out raw pooled float32 as it
was computed; whoever needs unit vectors calls `unit` on what was read.

Letters of shapes: n keys or rows, D width of a state.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "UNTARGETED",
    "Encoding",
    "ReferenceWindow",
    "StateKey",
    "StateMemory",
    "StateSource",
    "WindowBlock",
    "WindowSource",
    "unit",
    "window_hash",
]

UNTARGETED = -1
"""`center_tok` of a state that is pooled over the whole window."""

Float32 = npt.NDArray[np.float32]
Found = npt.NDArray[np.bool_]


class Encoding(NamedTuple):
    """How states were made, whatever the window: states of one encoding can be compared and have one width.

    Attributes:
        encoder_hash: SHA-256 of the encoder's identity, 32 bytes.
        state_layer: layers after which states are read.
        pool_type: such as `span_mean`.
        pool_radius: of pooling, in tokens.
        dtype: of the computation, `fp32` or `bf16`; payloads are float32 in either case.
    """

    encoder_hash: bytes
    state_layer: int
    pool_type: str
    pool_radius: int
    dtype: str


@dataclass(frozen=True, slots=True)
class StateKey:
    """The name of one state.

    Attributes:
        window_hash: SHA-256 of the window's upper-case bases, 32 bytes; see `window_hash`.
        encoder_hash, state_layer, pool_type, pool_radius, dtype: the `Encoding`.
        center_tok: token of the window that pooling is centred on, 0-based without `<dna>`; `UNTARGETED` (−1)
            for a state of the whole window.
    """

    window_hash: bytes
    encoder_hash: bytes
    state_layer: int
    pool_type: str
    pool_radius: int
    center_tok: int
    dtype: str

    @property
    def encoding(self) -> Encoding:
        """What is not of the window."""
        return Encoding(self.encoder_hash, self.state_layer, self.pool_type, self.pool_radius, self.dtype)

    @classmethod
    def of(cls, window: ReferenceWindow, encoding: Encoding, center_tok: int = UNTARGETED) -> StateKey:
        """The key of a state of a reference window."""
        return cls(
            window_hash(window.sequence),
            encoding.encoder_hash,
            encoding.state_layer,
            encoding.pool_type,
            encoding.pool_radius,
            center_tok,
            encoding.dtype,
        )


def window_hash(sequence: str) -> bytes:
    """SHA-256 of a window's upper-case bases, 32 bytes."""
    return hashlib.sha256(sequence.upper().encode("ascii")).digest()


def unit(states: Float32) -> Float32:
    """Rows divided by their L2 norm; a row of zeros stays zero, one of NaN stays NaN. (n, D) float32."""
    norms = np.sqrt(np.einsum("nd,nd->n", states, states, dtype=np.float64))
    norms[norms == 0] = 1
    return np.asarray(states / norms[:, None], dtype=np.float32)


class StateSource(Protocol):
    """Where states of keys come from."""

    def get_many(self, keys: Sequence[StateKey]) -> tuple[Float32, Found]:
        """States of keys of one encoding, in the order of the keys.

        Returns:
            raw pooled states, float32 (n, D), NaN where there is none, and whether there is one, bool (n,). D is
            0 while the source has no state of the encoding.

        Raises:
            ValueError: the keys are of several encodings.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReferenceWindow:
    """A stretch of a reference, never of a person.

    Attributes:
        contig: its name in the reference.
        start, end: 0-based half-open.
        sequence: the bases, in any case.
        loci: 0-based offsets of bases inside the window, one state each; empty for one untargeted state.

    Raises:
        ValueError: the bases are fewer than end - start, or a locus lies outside.
    """

    contig: str
    start: int
    end: int
    sequence: str
    loci: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end or len(self.sequence) < self.end - self.start:
            raise ValueError("a window needs 0 <= start < end and a base for every place")
        if any(not 0 <= locus < self.end - self.start for locus in self.loci):
            raise ValueError("a locus lies outside its window")


@dataclass(frozen=True, slots=True)
class WindowBlock:
    """A part of a contig whose states are computed, written and resumed together.

    Attributes:
        contig: its name in the reference.
        block: 0-based number along the contig.
    """

    contig: str
    block: int


class WindowSource(Protocol):
    """Which windows to encode."""

    def blocks(self) -> Sequence[WindowBlock]:
        """Every block, in order."""
        ...

    def windows(self, block: WindowBlock) -> Iterator[ReferenceWindow]:
        """The windows of a block, in order."""
        ...


class StateMemory:
    """The most recently used states of a source, in memory; itself a source.

    Args:
        source: asked for what is not held.
        capacity: states held at most.

    Raises:
        ValueError: the capacity is below 1.
    """

    def __init__(self, source: StateSource, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise ValueError("a memory holds at least one state")
        self._source = source
        self._capacity = capacity
        self._held: OrderedDict[StateKey, Float32] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get_many(self, keys: Sequence[StateKey]) -> tuple[Float32, Found]:
        """As `StateSource.get_many`; what the source lacks is asked for again the next time."""
        wanted = list(dict.fromkeys(key for key in keys if key not in self._held))
        rows: dict[StateKey, Float32] = {}
        width = next(iter(self._held.values())).shape[0] if self._held else 0
        if wanted:
            states, found = self._source.get_many(wanted)
            width = states.shape[1] or width
            # Copies: a row of a large answer would keep the whole answer alive.
            rows = {key: states[i].copy() for i, key in enumerate(wanted) if found[i]}
        answer = np.full((len(keys), width), np.nan, dtype=np.float32)
        hits = np.zeros(len(keys), dtype=np.bool_)
        for i, key in enumerate(keys):
            row = self._held.get(key)
            row = rows.get(key) if row is None else row
            if row is not None:
                answer[i] = row
                hits[i] = True
        self._keep(keys, rows)
        return answer, hits

    def _keep(self, keys: Sequence[StateKey], new: dict[StateKey, Float32]) -> None:
        for key in keys:
            if key in self._held:
                self._held.move_to_end(key)
            elif key in new:
                self._held[key] = new[key]
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)
