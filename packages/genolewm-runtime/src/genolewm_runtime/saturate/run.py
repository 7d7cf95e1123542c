"""One saturation: shards in a hidden folder beside the output, publish, receipt.

What `genolewm_runtime.run` does for a VCF, for regions: a run that was cut off at any moment goes on from there
when the same command is given again, and its files are then the same bytes.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from genolewm_core.artifacts.atomic import publish, writing
from genolewm_core.artifacts.manifest import Manifest, ModelDirectory
from genolewm_core.errors import ConfigError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Here, Processes, Task, run_tasks
from genolewm_core.logs import emit
from genolewm_core.scoring.backend import Backend, resolve_backend
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import __version__, guard
from genolewm_runtime.fingerprint import about_reference, computing_versions, digest_of
from genolewm_runtime.parts import Parts, check_places
from genolewm_runtime.receipt import stamped, weakest
from genolewm_runtime.run_log import log_resumed_shard
from genolewm_runtime.saturate.shards import SaturateWork, ShardFile, shards_of
from genolewm_runtime.saturate.tables import Outputs, stage_tables
from genolewm_runtime.shards import ShardOutcome

__all__ = ["SaturateRun", "SaturateSummary", "check_run", "run_saturate"]


@dataclass(frozen=True, slots=True)
class SaturateRun:
    """What to score and where to put it.

    Attributes:
        reference: indexed FASTA.
        regions: merged and in the reference's order; not empty.
        options: of the model's contract, with the one head `marginal_llr`.
        jobs: processes, each with its own copy of the model.
        fresh: start anew: drop unfinished work of any run, and replace existing outputs.
    """

    reference: Path
    regions: tuple[Region, ...]
    outputs: Outputs
    model: Path
    options: PassOptions
    backend: str = "auto"
    jobs: int = 1
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class SaturateSummary:
    """The account of a finished run: every base of the regions is in exactly one entry of `bases`.

    Attributes:
        bases: (status, reason) -> bases, by the reasons of a score table.
        n_tok: tokens run through the model.
        resumed_shards: shards found finished from an earlier, interrupted run.
    """

    outputs: Outputs
    backend: str
    bases: Mapping[tuple[str, str | None], int]
    n_tok: int
    resumed_shards: int

    @property
    def n_snv(self) -> int:
        """Substitutions that have a score."""
        return 3 * self.bases.get(("scored", None), 0)


def check_run(run: SaturateRun) -> None:
    """Refuse at once what could only fail after hours.

    Raises:
        ConfigError: `config-invalid`, `output-exists`.
        ResourceError: `output-unwritable`, `output-busy`.
    """
    if run.jobs < 1:
        raise ConfigError(
            "config-invalid",
            "This number of processes cannot be used.",
            where="--jobs",
            expected="1 or more",
            found=str(run.jobs),
        )
    check_places(run.outputs.all)
    with Parts.take(run.outputs.name, fresh=run.fresh, files=run.outputs.all):
        pass


def run_saturate(
    run: SaturateRun,
    *,
    on_start: Callable[[int, int], None] = lambda total, done: None,
    on_shard: Callable[[ShardOutcome], None] = lambda _: None,
    loaded: Backend | None = None,
) -> SaturateSummary:
    """Score every substitution of regions.

    Args:
        run: what to do.
        on_start: called with the bases of the regions and those of them that an earlier run had finished.
        on_shard: called for every shard that is finished after that.
        loaded: the model of `run.model` on `run.backend`, where the caller holds it; used when `jobs` is 1.

    Raises:
        InputError, ConfigError, ResourceError, ProvenanceError, DeploymentError: see `errors.CODES`.
    """
    check_run(run)
    model = ModelDirectory.open(run.model)
    backend = resolve_backend(run.backend)
    reference = Reference(run.reference)
    status = guard.status()
    level = "none" if status is None else status.enforced_by
    emit(
        "run_planned",
        backend=backend,
        heads=run.options.heads,
        both_strands=run.options.both_strands,
        phases=run.options.phases,
        jobs=run.jobs,
    )
    fingerprint = _fingerprint(run, model, reference, backend)
    counts: Counter[tuple[str, str | None]] = Counter()
    levels: set[str] = {level}
    n_tok = resumed = 0

    def account(outcome: ShardOutcome) -> None:
        nonlocal n_tok
        counts.update(outcome.counts)
        levels.add(outcome.guard)
        n_tok += outcome.n_tok

    with Parts.take(run.outputs.name, fresh=run.fresh, files=run.outputs.all) as parts:
        parts.begin(fingerprint, fresh=run.fresh)
        tasks: list[Task[ShardFile]] = []
        paths: list[Path] = []
        total = 0
        for shard in shards_of(run.regions, run.options.geometry.cell_bp):
            path = parts.shard(shard.index)
            paths.append(path)
            total += shard.n_bp
            outcome = parts.finished(shard.index)
            if outcome is None:
                if path.exists():
                    emit("shard_damaged", index=shard.index)
                tasks.append(Task(f"shard {shard.index}", ShardFile(shard, path)))
            else:
                resumed += 1
                log_resumed_shard(outcome)
                account(outcome)
        on_start(total, counts.total())
        here = run.jobs == 1
        work = SaturateWork(
            model=run.model,
            reference=run.reference,
            backend=backend,
            options=run.options,
            guard_level=level,
            loaded=loaded if here else None,
        )
        with closing(run_tasks(work, tasks, Here() if here else Processes(run.jobs))) as outcomes:
            for finished in outcomes:
                outcome = finished.value()
                account(outcome)
                on_shard(outcome)
        summary = SaturateSummary(run.outputs, backend, dict(counts), n_tok, resumed)
        started = time.monotonic()
        about = {"schema": "1.0.0", "model_id": model.manifest.model_id, "fingerprint": fingerprint}
        staged = stage_tables(
            paths,
            run.outputs,
            parts.folder,
            n_rows=3 * (counts.total() - counts["skipped", "reference_n"]),
            metadata={"genolewm": json.dumps(about)},
            longest_bp=max(reference.contigs.values()),
        )
        receipt = parts.folder / "receipt"
        with writing(run.outputs.receipt):
            receipt.write_text(_receipt(run, summary, model.manifest, weakest(levels)))
        staged.append((receipt, run.outputs.receipt))
        parts.publishing(fingerprint)
        # As for a score table: the receipt comes last, and what would belong to none goes first.
        publish(staged, obsolete=[p for p in run.outputs.all if p not in run.outputs.tables])
        emit(
            "published",
            rows=summary.n_snv,
            shards=len(paths),
            seconds=time.monotonic() - started,
        )
        parts.remove()
    return summary


def _fingerprint(run: SaturateRun, model: ModelDirectory, reference: Reference, backend: str) -> str:
    """Digest of everything that decides the outputs' bytes."""
    return digest_of(
        {
            "command": "saturate",
            "regions": [list(region) for region in run.regions],
            "endings": list(run.outputs.endings),
            "reference": about_reference(reference),
            "model_id": model.manifest.model_id,
            "backend": backend,
            "options": asdict(run.options),
            "versions": computing_versions(),
        }
    )


def _receipt(run: SaturateRun, summary: SaturateSummary, manifest: Manifest, level: str) -> str:
    """The account as JSON; docs/formats/saturation.md, field by field."""
    bases: Counter[str] = Counter()
    for (status, reason), n in summary.bases.items():
        bases[reason or status] += n
    fields = {
        "schema_version": "1.0.0",
        "guard": level,
        "model_name": manifest.name,
        "model_id": manifest.model_id,
        "weights_sha256": manifest.weights_sha256,
        "demonstration": manifest.demonstration,
        "contract": asdict(manifest.contract),
        "options": asdict(run.options),
        "backend": summary.backend,
        "runtime_version": __version__,
        "regions": len(run.regions),
        "bases": dict(sorted(bases.items())),
        "snvs": {name: 3 * n for name, n in sorted(bases.items()) if name != "reference_n"},
        "n_tok": summary.n_tok,
    }
    return stamped(fields)
