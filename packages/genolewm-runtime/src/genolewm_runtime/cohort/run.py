"""Score every VCF of a cohort by itself, with `run_vcf`, and account for each.

One that cannot be scored stops none of the others. The account lies in `cohort.json` beside the tables.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import ConfigError, ExitCode, GenoLeWMError
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Here, Outcome, Place, Seat, Task, UnexpectedError, run_tasks
from genolewm_core.logs import emit
from genolewm_core.scoring.backend import load_backend, resolve_backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import __version__, guard
from genolewm_runtime.cohort.finished import Note, finished
from genolewm_runtime.cohort.samples import Sample
from genolewm_runtime.guard.environment import silence_telemetry
from genolewm_runtime.receipt import ClusterConsent
from genolewm_runtime.run import RunSummary, VcfRun, run_vcf
from genolewm_runtime.shards import ShardOutcome
from genolewm_runtime.writers import format_of

__all__ = ["ACCOUNT", "Cohort", "ScoreVcfs", "VcfAccount", "exit_code_of", "score_vcfs"]

ACCOUNT = "cohort.json"
_STATUSES = ("scored", "kept", "failed", "unfinished")
_ROWS = ("scored", "skipped", "failed")


@dataclass(frozen=True, slots=True)
class Cohort:
    """What to score, how, where to, and in which processes.

    Attributes:
        folder: of the outputs; exists.
        ending: of the outputs' names: "parquet", "tsv", "jsonl" or "vcf.gz".
        cluster: consent; needed where `place` is a cluster.
    """

    samples: Sequence[Sample]
    reference: Path
    model: Path
    options: PassOptions
    folder: Path
    ending: str
    annotation: Path | None = None
    backend: str = "auto"
    place: Place = field(default_factory=Here)
    fresh: bool = False
    cluster: ClusterConsent | None = None


@dataclass(frozen=True, slots=True)
class VcfAccount:
    """What became of one VCF.

    Attributes:
        status: "scored" in this run; "kept" from an earlier one; "failed"; "unfinished" when the run was cut off.
        code: of the error that it failed with; "unexpected" for one without a code.
        exit_code: of that error.
        message: of that error; holds no variants.
        rows: status -> number of rows.
        seconds: it took in this run.
    """

    name: str
    vcf: Path
    output: Path
    status: Literal["scored", "kept", "failed", "unfinished"] = "unfinished"
    code: str | None = None
    exit_code: int = 0
    message: str | None = None
    rows: Mapping[str, int] | None = None
    n_tok: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoreVcfs:
    """Work of a process: scores VCFs, one after the other, with a model that it loads once.

    Attributes:
        guard_level: what closes the network in the process that sends the work; a worker installs the same and
            refuses to start with less.
        on_shard: called for finished shards, where the work is done in the process that sends it.
    """

    model: Path
    backend: str
    guard_level: str
    on_shard: Callable[[ShardOutcome], None] | None = None

    def start(self, seat: Seat) -> Callable[[VcfRun], tuple[RunSummary, float]]:
        """Close the network and load the model; returns what scores a VCF, with the seconds it took."""
        if self.guard_level == "none":
            silence_telemetry()
        else:
            guard.install(allow_unenforced=self.guard_level == "python-only")
        started = time.monotonic()
        backend = load_backend(self.backend, ModelDirectory.open(self.model), threads=seat.cpus)
        emit("model_loaded", backend=self.backend, worker=seat.worker, seconds=time.monotonic() - started)
        on_shard = self.on_shard or (lambda _: None)

        def score(run: VcfRun) -> tuple[RunSummary, float]:
            began = time.monotonic()
            note = Note(run)
            note.before()
            summary = run_vcf(run, on_shard=on_shard, loaded=backend)
            note.after()
            return summary, time.monotonic() - began

        return score


def score_vcfs(
    cohort: Cohort,
    *,
    on_plan: Callable[[Sequence[VcfAccount]], None] = lambda _: None,
    on_vcf: Callable[[VcfAccount], None] = lambda _: None,
    on_shard: Callable[[ShardOutcome], None] | None = None,
) -> list[VcfAccount]:
    """Score a cohort; whatever happens, `cohort.json` says how far it came.

    Args:
        cohort: what to do.
        on_plan: called with the accounts before anything is scored: "kept" or "unfinished".
        on_vcf: called with the account of each VCF that is done.
        on_shard: called for every finished shard of `Here`; other places have nobody to call.

    Returns:
        The accounts, in the order of the samples.

    Raises:
        ConfigError, ResourceError, InputError, ProvenanceError, DeploymentError: what would stop every VCF: the
            model, the backend, the reference, the guard, a cluster that is not there.
    """
    runs = list(_runs(cohort))
    _refuse_own_inputs(cohort, runs)
    model = ModelDirectory.open(cohort.model)
    backend = resolve_backend(cohort.backend)
    Reference(cohort.reference)  # builds a missing index, once and not in every process
    status = guard.status()
    work = ScoreVcfs(
        cohort.model,
        backend,
        "none" if cohort.cluster is not None or status is None else status.enforced_by,
        on_shard if isinstance(cohort.place, Here) else None,
    )
    accounts = {sample.name: _planned(sample, run) for sample, run in zip(cohort.samples, runs, strict=True)}
    on_plan(list(accounts.values()))
    tasks = [
        Task(name, run)
        for (name, account), run in zip(accounts.items(), runs, strict=True)
        if account.status == "unfinished"
    ]
    try:
        with closing(run_tasks(work, tasks, cohort.place)) as outcomes:
            for outcome in outcomes:
                account = accounts[outcome.name] = _account(accounts[outcome.name], outcome)
                on_vcf(account)
    finally:
        found = list(accounts.values())
        _write(cohort, model, backend, found)
        emit("cohort_accounted", **{name: _count(found, name) for name in _STATUSES})
    return found


def exit_code_of(accounts: Sequence[VcfAccount], *, allow_failed: bool) -> int:
    """That of the first VCF that failed; else 2 where rows failed, unless that is allowed."""
    failed = next((account for account in accounts if account.status == "failed"), None)
    if failed is not None:
        return failed.exit_code
    rows = any((account.rows or {}).get("failed") for account in accounts)
    return ExitCode.INPUT if rows and not allow_failed else ExitCode.OK


def _runs(cohort: Cohort) -> Iterator[VcfRun]:
    for sample in cohort.samples:
        # Absolute, for processes elsewhere.
        yield VcfRun(
            vcf=sample.vcf.absolute(),
            reference=cohort.reference.absolute(),
            output=cohort.folder.absolute() / f"{sample.name}.{cohort.ending}",
            model=cohort.model.absolute(),
            options=cohort.options,
            annotation=None if cohort.annotation is None else cohort.annotation.absolute(),
            backend=cohort.backend,
            fresh=cohort.fresh,
            cluster=cohort.cluster,
        )


def _refuse_own_inputs(cohort: Cohort, runs: Sequence[VcfRun]) -> None:
    """With --fresh an output replaces what has its name, which must not be an input."""
    inputs = {sample.vcf.resolve() for sample in cohort.samples}
    for run in runs:
        format_of(run.output)
        if run.output.resolve() in inputs:
            raise ConfigError(
                "config-invalid",
                "An output would have the name of a VCF that is to be scored.",
                where=str(run.output),
                next_step="choose another folder for --output, or another --format",
            )


def _planned(sample: Sample, run: VcfRun) -> VcfAccount:
    account = VcfAccount(sample.name, sample.vcf, run.output)
    receipt = finished(run)
    if receipt is None:
        return account
    rows = {name: receipt["rows"].get(name, 0) for name in _ROWS}
    return replace(account, status="kept", rows=rows, n_tok=receipt["n_tok"])


def _account(account: VcfAccount, outcome: Outcome[tuple[RunSummary, float]]) -> VcfAccount:
    error = outcome.error
    if isinstance(error, GenoLeWMError):
        return replace(
            account, status="failed", code=error.code, exit_code=int(error.exit_code), message=str(error)
        )
    if isinstance(error, UnexpectedError):
        return replace(
            account,
            status="failed",
            code="unexpected",
            exit_code=int(ExitCode.INTERNAL),
            message=f"internal error {error}",
        )
    summary, seconds = outcome.value()
    rows = {status: summary.rows(status) for status in _ROWS}
    return replace(account, status="scored", rows=rows, n_tok=summary.n_tok, seconds=round(seconds, 3))


def _count(accounts: Sequence[VcfAccount], status: str) -> int:
    return sum(account.status == status for account in accounts)


def _write(cohort: Cohort, model: ModelDirectory, backend: str, accounts: Sequence[VcfAccount]) -> None:
    rows = [account.rows or {} for account in accounts]
    about: dict[str, Any] = {
        "schema_version": "1.0.0",
        "model_name": model.manifest.name,
        "model_id": model.manifest.model_id,
        "backend": backend,
        "runtime_version": __version__,
        "cluster": None if cohort.cluster is None else asdict(cohort.cluster),
        "vcfs": {status: _count(accounts, status) for status in _STATUSES},
        "rows": {name: sum(r.get(name, 0) for r in rows) for name in _ROWS},
        "samples": [
            {
                "name": account.name,
                "vcf": account.vcf.name,
                "output": account.output.name,
                "status": account.status,
                "code": account.code,
                "rows": account.rows,
                "n_tok": account.n_tok,
                "seconds": account.seconds,
            }
            for account in accounts
        ],
        "timestamp": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    write_atomic(cohort.folder / ACCOUNT, (json.dumps(about, indent=2) + "\n").encode())
