"""One run over a VCF: survey, shards in a hidden folder beside the output, publish, receipt.

The folder `.NAME.parts` holds the run's fingerprint, its finished shards and what is being written. A run
that was cut off at any moment goes on from there when the same command is given again. A folder with another
fingerprint is reported, not touched. Results go to the output's folder and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from genolewm_core.artifacts.atomic import publish
from genolewm_core.artifacts.manifest import ModelDirectory, digest_file
from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.survey import Survey, survey
from genolewm_core.genome.vcf import read_rows
from genolewm_core.logs import emit
from genolewm_core.scoring.backend import Backend, resolve_backend
from genolewm_core.scoring.calibration import key_of
from genolewm_core.scoring.calibration_file import load_calibration
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import __version__, guard
from genolewm_runtime.fingerprint import about_reference, computing_versions, digest_of
from genolewm_runtime.parts import Parts, check_places
from genolewm_runtime.receipt import ClusterConsent, Receipt, receipt_path, stage_receipt, weakest
from genolewm_runtime.run_log import log_accounts, log_plan, log_published, log_resumed_shard, log_survey
from genolewm_runtime.scoring import Shard, shards_of
from genolewm_runtime.shards import ScorerSpec, ShardOutcome, score_shards
from genolewm_runtime.writers import FinishedShards, format_of, stage_table

__all__ = ["RunSummary", "VcfRun", "run_vcf"]


@dataclass(frozen=True, slots=True)
class VcfRun:
    """What to score and where to put it.

    Attributes:
        vcf: a file, or an open binary stream, which is copied beside the output while the run lasts.
        annotation: GFF3 of transcripts on the reference's assembly, for genes, consequences and regions.
        jobs: processes, each with its own copy of the model.
        fresh: start anew: drop unfinished work of any run, and replace an existing output.
        cluster: consent, where the run is on a cluster; part of what is resumed, so that a receipt can say it.
    """

    vcf: Path | BinaryIO
    reference: Path
    output: Path
    model: Path
    options: PassOptions
    annotation: Path | None = None
    backend: str = "auto"
    jobs: int = 1
    fresh: bool = False
    cluster: ClusterConsent | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The account of a finished run: every row is in exactly one entry of `counts`.

    Attributes:
        counts: (status, reason) -> rows.
        n_tok: tokens run through the model.
        resumed_shards: shards found finished from an earlier, interrupted run.
    """

    output: Path
    receipt: Path
    backend: str
    counts: dict[tuple[str, str | None], int]
    n_tok: int
    resumed_shards: int

    def rows(self, status: str) -> int:
        """Rows with a status: "scored", "skipped" or "failed"."""
        return sum(n for (found, _), n in self.counts.items() if found == status)


def run_vcf(
    run: VcfRun,
    *,
    on_survey: Callable[[Survey], None] = lambda _: None,
    on_shard: Callable[[ShardOutcome], None] = lambda _: None,
    loaded: Backend | None = None,
) -> RunSummary:
    """Score a VCF.

    Args:
        run: what to do.
        on_survey: called once the VCF was read through and found to fit the reference.
        on_shard: called for every finished shard, for a progress display.
        loaded: the model of `run.model` on `run.backend`, where the caller holds it; used when `jobs` is 1.

    Raises:
        InputError, ConfigError, ResourceError, ProvenanceError, DeploymentError: see `errors.CODES`.
    """
    _check(run)
    model = ModelDirectory.open(run.model)
    backend = resolve_backend(run.backend)
    reference = Reference(run.reference)
    status = guard.status()
    spec = ScorerSpec(
        model=run.model,
        reference=run.reference,
        annotation=run.annotation,
        calibration=load_calibration(model, key_of(model, run.options, backend)),
        backend=backend,
        options=run.options,
        threads=None if run.jobs == 1 else max(1, (os.cpu_count() or 1) // run.jobs),
        guard_level="none" if status is None else status.enforced_by,
    )
    log_plan(run, backend)
    counts: Counter[tuple[str, str | None]] = Counter()
    levels: set[str] = {spec.guard_level}
    n_tok = resumed = 0
    paths: list[Path] = []

    def account(outcome: ShardOutcome) -> None:
        nonlocal n_tok
        counts.update(outcome.counts)
        levels.add(outcome.guard)
        n_tok += outcome.n_tok
        on_shard(outcome)

    with Parts.take(run.output, fresh=run.fresh) as parts:
        vcf = run.vcf if isinstance(run.vcf, Path) else parts.spool(run.vcf)
        started = time.monotonic()
        found = survey(vcf, reference)
        log_survey(found, time.monotonic() - started)
        _check_order(run.output, vcf, found)
        on_survey(found)
        fingerprint = _fingerprint(run, vcf, model, reference, backend)
        parts.begin(fingerprint, fresh=run.fresh)

        def unfinished() -> Iterator[tuple[Shard, Path]]:
            nonlocal resumed
            for shard in shards_of(read_rows(vcf, reference), run.options.geometry):
                path = parts.shard(shard.index)
                paths.append(path)
                outcome = parts.finished(shard.index)
                if outcome is None:
                    if path.exists():
                        emit("shard_damaged", index=shard.index)
                    yield shard, path
                else:
                    resumed += 1
                    log_resumed_shard(outcome)
                    account(outcome)

        with closing(score_shards(spec, unfinished(), run.jobs, loaded)) as outcomes:
            for outcome in outcomes:
                account(outcome)
        receipt = Receipt(
            guard=weakest(levels),
            model_name=model.manifest.name,
            model_id=model.manifest.model_id,
            weights_sha256=model.manifest.weights_sha256,
            backend=backend,
            runtime_version=__version__,
            options=asdict(run.options),
            rows=_totals(counts, 0),
            reasons=_totals(counts, 1),
            n_tok=n_tok,
            demonstration=model.manifest.demonstration,
            calibrated=spec.calibration is not None,
            cluster=run.cluster,
        )
        about = {"schema": "1.0.0", "model_id": receipt.model_id, "fingerprint": fingerprint}
        started = time.monotonic()
        shards = FinishedShards(paths, vcf, {"genolewm": json.dumps(about)})
        staged = stage_table(shards, run.output, parts.folder, counts.total())
        staged.append(stage_receipt(run.output, receipt, parts.folder))
        parts.publishing(fingerprint)
        # The receipt comes last: where it lies, everything does. An old receipt or index goes before the
        # file it does not belong to appears; a kill in between is made good by the next run.
        publish(staged, obsolete=_belonging_to(run.output))
        log_published(run, counts.total(), len(paths), time.monotonic() - started)
        parts.remove()
    receipt_file = receipt_path(run.output)
    summary = RunSummary(run.output, receipt_file, backend, dict(counts), n_tok, resumed)
    log_accounts(summary, len(paths))
    return summary


def _check(run: VcfRun) -> None:
    """Refuse at once what could only fail after hours."""
    format_of(run.output)
    if run.jobs < 1:
        raise ConfigError(
            "config-invalid",
            "This number of processes cannot be used.",
            where="--jobs",
            expected="1 or more",
            found=str(run.jobs),
        )
    check_places([run.output, *_belonging_to(run.output)])


def _check_order(output: Path, vcf: Path, found: Survey) -> None:
    if format_of(output).needs_order and not found.sorted:
        raise InputError(
            "vcf-unsorted",
            "The VCF's records are not in order, so a VCF of scores could not be indexed.",
            where=vcf.name,
            expected="each contig's records in one block, by position",
            next_step="sort the VCF with: bcftools sort, or choose another format of --output",
        )


def _belonging_to(output: Path) -> list[Path]:
    """Files that say something about an output and are wrong beside any other."""
    return [receipt_path(output), *format_of(output).indexes_of(output)]


def _fingerprint(run: VcfRun, vcf: Path, model: ModelDirectory, reference: Reference, backend: str) -> str:
    """Digest of everything that decides the output's bytes; stays in the user's own folder."""
    try:
        with vcf.open("rb") as file:
            vcf_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            "vcf-unreadable", "The VCF cannot be read.", where=str(vcf), found=error.strerror
        ) from error
    parts: dict[str, object] = {
        "vcf_sha256": vcf_sha256,
        "reference": about_reference(reference),
        "model_id": model.manifest.model_id,
        "backend": backend,
        "options": asdict(run.options),
        "annotation_sha256": None if run.annotation is None else digest_file(run.annotation).sha256,
        "versions": computing_versions(),
    }
    if run.cluster is not None:
        parts["cluster"] = True
    return digest_of(parts)


def _totals(counts: Counter[tuple[str, str | None]], part: int) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for key, n in counts.items():
        name = key[part]
        if name is not None:
            totals[name] += n
    return dict(sorted(totals.items()))
