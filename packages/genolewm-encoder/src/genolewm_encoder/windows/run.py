"""Encode every block of a source, wherever the work is to be done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from genolewm_core.errors import ConfigError
from genolewm_core.jobs import Place, Task, run_tasks
from genolewm_core.scoring.sixmer import K
from genolewm_encoder.cache.schema import MAX_PAYLOAD_BYTES
from genolewm_encoder.pooling import Pool
from genolewm_encoder.windows.encode import BlockAccount, EncodeBlocks, name_of
from genolewm_encoder.windows.fasta import FastaWindows

__all__ = ["Plan", "encode_windows", "plan_of"]

_ROW_BYTES = 90  # of a state's other columns, which compress


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is, before a base is read: windows of N and what a cache has already are not taken off.

    Attributes:
        blocks, windows, states: their numbers.
        n_bp: bases of the cells.
        n_tok: tokens to run.
        n_bytes: of the shards.
        short_contigs: contigs that are shorter than a window.
    """

    blocks: int
    windows: int
    states: int
    n_bp: int
    n_tok: int
    n_bytes: int
    short_contigs: int


def plan_of(source: FastaWindows, pool: Pool, d_state: int) -> Plan:
    """Count the windows of a source, as if all its contigs had no ends.

    Raises:
        ConfigError: `config-invalid`, when a block would be too large for one shard.
    """
    geometry, blocks = source.geometry, source.blocks()
    n_windows = sum(map(source.n_cells, blocks))
    loci = source.loci.of_cell(0, geometry.cell_bp)
    tokens = {(geometry.left_bp + at) // K for at in loci} if pool.kind != "global_mean" else set()
    states = max(1, len(tokens))
    n_tok = 1 + pool.tokens(geometry.window_bp // K, max(tokens, default=None))[1]
    largest = max(map(source.n_cells, blocks), default=0) * states * d_state * 4
    if largest > MAX_PAYLOAD_BYTES:
        raise ConfigError(
            "config-invalid",
            "The states of a block are too many for one shard.",
            where="--block-cells",
            expected=f"at most {MAX_PAYLOAD_BYTES:,} bytes",
            found=f"{largest:,} bytes",
            next_step="give fewer --block-cells, or a larger step to --at every:BP",
        )
    return Plan(
        blocks=len(blocks),
        windows=n_windows,
        states=n_windows * states,
        n_bp=sum(map(source.n_bp, blocks)),
        n_tok=n_windows * n_tok,
        n_bytes=n_windows * states * (4 * d_state + _ROW_BYTES),
        short_contigs=len(source.short_contigs()),
    )


def encode_windows(
    work: EncodeBlocks, place: Place, *, on_block: Callable[[BlockAccount], None] = lambda _: None
) -> list[BlockAccount]:
    """Encode every block; stops at the first that cannot be, and what was finished is in the cache.

    Args:
        work: what to encode, how, and into which cache.
        place: where.
        on_block: called for every block that is done.

    Raises:
        ConfigError, InputError, ResourceError, ProvenanceError, DeploymentError: the encoder, the reference, the
            cache or a cluster cannot be used; `worker-ended`, naming the block that its workers did not survive.
    """
    tasks = [Task(name_of(block), block) for block in work.source.blocks()]
    accounts = []
    with closing(run_tasks(work, tasks, place)) as outcomes:
        for outcome in outcomes:
            accounts.append(outcome.value())
            on_block(accounts[-1])
    return accounts
