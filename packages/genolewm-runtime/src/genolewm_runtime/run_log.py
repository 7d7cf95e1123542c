"""What a run says in the log: counts, seconds and words, out of objects that know more than a log may."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from genolewm_core.logs import emit

if TYPE_CHECKING:
    from genolewm_core.genome.survey import Survey
    from genolewm_runtime.guard import GuardStatus
    from genolewm_runtime.run import RunSummary, VcfRun
    from genolewm_runtime.shards import ShardOutcome

__all__ = [
    "log_accounts",
    "log_guard",
    "log_plan",
    "log_published",
    "log_resumed_shard",
    "log_shard",
    "log_survey",
]


def log_guard(status: GuardStatus) -> None:
    """What closes the network; a warning where the kernel does not."""
    event = "guard_installed" if status.enforced_by == "seccomp" else "guard_not_enforced"
    emit(event, enforced_by=status.enforced_by)


def log_plan(run: VcfRun, backend: str) -> None:
    """Everything that decides what is computed, and no path."""
    emit(
        "run_planned",
        backend=backend,
        heads=run.options.heads,
        both_strands=run.options.both_strands,
        phases=run.options.phases,
        jobs=run.jobs,
        format=_format_of(run),
    )


def log_survey(found: Survey, seconds: float) -> None:
    """How much there is to do."""
    emit(
        "surveyed",
        records=found.records,
        rows=found.rows,
        checked=found.checked,
        mismatched=found.mismatched,
        rows_matched=found.rows_matched,
        contigs=len(found.contigs_seen),
        contigs_matched=len(found.contigs_matched),
        sorted=found.sorted,
        vcf_assembly=found.vcf_assembly or "unknown",
        reference_assembly=found.reference_assembly or "unknown",
        seconds=seconds,
    )


def log_shard(outcome: ShardOutcome, seconds: float) -> None:
    """A shard that this process scored."""
    emit(
        "shard_finished",
        index=outcome.index,
        rows=sum(outcome.counts.values()),
        scorable=outcome.scorable,
        tokens=outcome.n_tok,
        seconds=seconds,
    )


def log_resumed_shard(outcome: ShardOutcome) -> None:
    """A shard of an earlier run."""
    emit("shard_resumed", index=outcome.index, rows=sum(outcome.counts.values()), tokens=outcome.n_tok)


def log_published(run: VcfRun, rows: int, shards: int, seconds: float) -> None:
    """The output lies under its name."""
    emit("published", rows=rows, shards=shards, format=_format_of(run), seconds=seconds)


def log_accounts(summary: RunSummary, shards: int) -> None:
    """Rows by status, and what an earlier run had done."""
    if summary.resumed_shards:
        emit("resumed", shards=summary.resumed_shards, shards_in_all=shards)
    rows: Counter[str] = Counter()
    for (status, _), n in summary.counts.items():
        rows[status] += n
    emit(
        "rows_accounted",
        scored=rows["scored"],
        skipped=rows["skipped"],
        failed=rows["failed"],
        tokens=summary.n_tok,
    )


def _format_of(run: VcfRun) -> str:
    name = run.output.name.lower()
    return "vcf.gz" if name.endswith(".vcf.gz") else name.rpartition(".")[2]
