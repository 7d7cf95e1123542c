"""Encode the windows of a block, and write their states to a cache as one shard.

One function for a laptop and a cluster: see `genolewm_core.jobs`. What a cache already has is not encoded again,
so a run that was cut off goes on from there, and one with other loci adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genolewm_core.jobs import Seat
from genolewm_core.scoring.sixmer import K
from genolewm_core.scoring.states import (
    UNTARGETED,
    Encoding,
    ReferenceWindow,
    StateKey,
    WindowBlock,
    WindowSource,
)
from genolewm_encoder.cache import StateBatch, StateCache
from genolewm_encoder.identity import EncoderIdentity, StateContract
from genolewm_encoder.pooling import Pool, PoolType

if TYPE_CHECKING:
    from genolewm_core.artifacts.manifest import Manifest
    from genolewm_encoder.carbon import CarbonStateEncoder

__all__ = ["BlockAccount", "EncodeBlocks", "EncoderChoice", "name_of"]


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoder, and how it pools; see `CarbonStateEncoder`."""

    model: Path
    revision: str
    dtype: str
    state_layer: int
    pool_type: PoolType
    pool_radius: int

    def identity(self, manifest: Manifest) -> EncoderIdentity:
        """The identity that the encoder will have, without loading it."""
        contract = StateContract(self.state_layer, self.pool_type, self.pool_radius, self.dtype)
        return EncoderIdentity.of(manifest, self.revision, contract)

    def load(self, device: str | None, threads: int | None) -> CarbonStateEncoder:
        """Load it.

        Raises:
            ConfigError, ProvenanceError: see `CarbonStateEncoder`.
        """
        # Takes seconds, which the process that only hands out blocks need not spend.
        from genolewm_encoder.carbon import CarbonStateEncoder

        return CarbonStateEncoder(
            self.model,
            self.revision,
            self.dtype,
            self.state_layer,
            self.pool_type,
            self.pool_radius,
            device=device,
            threads=threads,
        )


@dataclass(frozen=True, slots=True)
class BlockAccount:
    """What was done for a block.

    Attributes:
        windows: that can be read.
        encoded: of those, that were run; the others were in the cache.
        states: written.
        kept: states that were in the cache.
        n_tok: tokens run.
        n_bytes: of the shard; 0 where there was nothing to write.
    """

    block: WindowBlock
    windows: int
    encoded: int
    states: int
    kept: int
    n_tok: int
    n_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Row:
    """A state to be: its window, its locus (None: untargeted) and its key."""

    window: int
    locus: int | None
    key: StateKey


@dataclass(frozen=True, slots=True)
class EncodeBlocks:
    """Work of a process: encodes blocks of windows with an encoder that it loads once.

    Attributes:
        devices: of PyTorch; worker i sits on number i modulo their number. None: the first GPU, else the CPU.
        threads: of PyTorch on the CPU; None for the worker's share. States of different numbers of threads may
            differ in their last bits.
    """

    source: WindowSource
    encoder: EncoderChoice
    cache: Path
    devices: Sequence[str] | None = None
    threads: int | None = None

    def start(self, seat: Seat) -> Callable[[WindowBlock], BlockAccount]:
        """Load the encoder and open the cache; returns what encodes a block."""
        device = self.devices[seat.number % len(self.devices)] if self.devices else None
        encoder = self.encoder.load(device, self.threads or seat.cpus)
        cache = StateCache(self.cache)
        encoding = Encoding(
            encoder.encoder_hash, encoder.state_layer, encoder.pool_type, encoder.pool_radius, encoder.dtype
        )

        def encode(block: WindowBlock) -> BlockAccount:
            started = time.monotonic()
            windows = list(self.source.windows(block))
            rows = _rows(windows, encoder, encoding)
            held = cache.contains([row.key for row in rows])
            new = [row for row, is_held in zip(rows, held, strict=True) if not is_held]
            n_bytes = 0
            if new:
                batch = _batch(block, windows, new, encoder)
                n_bytes = cache.put_many(block, batch).stat().st_size
            return BlockAccount(
                block,
                windows=len(windows),
                encoded=len({row.window for row in new}),
                states=len(new),
                kept=len(rows) - len(new),
                n_tok=_n_tok(windows, new, encoder),
                n_bytes=n_bytes,
                seconds=time.monotonic() - started,
            )

        return encode


def name_of(block: WindowBlock) -> str:
    """A block's name for people; unique in a source."""
    return f"{block.contig}, block {block.block}"


def _rows(windows: Sequence[ReferenceWindow], encoder: CarbonStateEncoder, encoding: Encoding) -> list[_Row]:
    """Every state of the windows, each key once: loci of one six-mer share a state, as do equal windows."""
    rows: dict[StateKey, _Row] = {}
    for index, window in enumerate(windows):
        base = StateKey.of(window, encoding)
        for locus in window.loci or (None,):
            key = base if (centre := encoder.center_tok(locus)) == UNTARGETED else _centred(base, centre)
            rows.setdefault(key, _Row(index, locus, key))
    return list(rows.values())


def _centred(key: StateKey, centre: int) -> StateKey:
    return StateKey(
        key.window_hash,
        key.encoder_hash,
        key.state_layer,
        key.pool_type,
        key.pool_radius,
        centre,
        key.dtype,
    )


def _batch(
    block: WindowBlock, windows: Sequence[ReferenceWindow], rows: Sequence[_Row], encoder: CarbonStateEncoder
) -> StateBatch:
    """Run the windows of the rows, each once, and put their states together."""
    states = np.empty((len(rows), encoder.d_state), dtype=np.float32)
    for index, places in _by_window(rows).items():
        states[places] = encoder.pool_loci(windows[index].sequence, [rows[place].locus for place in places])
    of = [windows[row.window] for row in rows]
    return StateBatch(
        keys=[row.key for row in rows],
        chrom=block.contig,
        start_bp=np.array([window.start for window in of], dtype=np.int64),
        end_bp=np.array([window.end for window in of], dtype=np.int64),
        untargeted=np.array([row.key.center_tok == UNTARGETED for row in rows]),
        states=states,
    )


def _by_window(rows: Sequence[_Row]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        found.setdefault(row.window, []).append(place)
    return found


def _n_tok(windows: Sequence[ReferenceWindow], rows: Sequence[_Row], encoder: CarbonStateEncoder) -> int:
    """Tokens that were run: of each window, those up to the last that a state reads, and `<dna>`."""
    pool = Pool(encoder.pool_type, encoder.pool_radius)
    total = 0
    for index, places in _by_window(rows).items():
        n_tok = len(windows[index].sequence) // K
        loci = [rows[place].locus for place in places]
        total += 1 + max(pool.tokens(n_tok, None if at is None else at // K)[1] for at in loci)
    return total
