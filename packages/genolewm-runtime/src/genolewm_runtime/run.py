"""One run over a VCF: survey, shards in a hidden folder beside the output, publish, receipt.

The folder `.NAME.parts` holds finished shards and the run's fingerprint. A run that was cut off goes on
from there when the same command is given again; a folder with another fingerprint is reported, not touched.
Results go to the output's folder and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from genolewm_core.artifacts.atomic import publishing, write_atomic
from genolewm_core.artifacts.manifest import ModelDirectory, canonical_json
from genolewm_core.errors import ConfigError, InputError, ResourceError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.survey import Survey, survey
from genolewm_core.genome.vcf import read_rows
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime import __version__, guard
from genolewm_runtime.receipt import Receipt, write_receipt
from genolewm_runtime.scoring import Shard, shards_of
from genolewm_runtime.shards import ScorerSpec, ShardOutcome, ShardScorer, score_shards
from genolewm_runtime.writers import read_shard_outcome, writer_for

__all__ = ["RunSummary", "VcfRun", "run_vcf"]


@dataclass(frozen=True, slots=True)
class VcfRun:
    """What to score and where to put it.

    Attributes:
        jobs: processes, each with its own copy of the model.
        fresh: drop an unfinished run and replace an existing output.
    """

    vcf: Path
    reference: Path
    output: Path
    model: Path
    options: PassOptions
    backend: str = "auto"
    jobs: int = 1
    fresh: bool = False


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
) -> RunSummary:
    """Score a VCF.

    Args:
        run: what to do.
        on_survey: called once the VCF was read through and found to fit the reference.
        on_shard: called for every finished shard, for a progress display.

    Raises:
        InputError, ConfigError, ResourceError, ProvenanceError, DeploymentError: see `errors.CODES`.
    """
    write = writer_for(run.output)
    _check_output(run)
    model = ModelDirectory.open(run.model)
    reference = Reference(run.reference)
    found = survey(run.vcf, reference)
    on_survey(found)
    status = guard.status()
    spec = ScorerSpec(
        model=run.model,
        reference=run.reference,
        backend=run.backend,
        options=run.options,
        threads=None if run.jobs == 1 else max(1, (os.cpu_count() or 1) // run.jobs),
        enforced_by=None if status is None else status.enforced_by,
    )
    scorer = ShardScorer(spec)
    parts = run.output.with_name(f".{run.output.name}.parts")
    fingerprint = _fingerprint(run, model, reference, scorer.backend.name)
    resumed = _open_parts(parts, fingerprint, fresh=run.fresh)
    counts: Counter[tuple[str, str | None]] = Counter()
    n_tok = 0
    paths: list[Path] = []

    def unfinished() -> Iterator[tuple[Shard, Path]]:
        for shard in shards_of(read_rows(run.vcf, reference), run.options.geometry):
            path = parts / f"{shard.index:06d}.parquet"
            paths.append(path)
            if path.name in resumed:
                account(ShardOutcome.from_json(shard.index, read_shard_outcome(path)))
            else:
                yield shard, path

    def account(outcome: ShardOutcome) -> None:
        nonlocal n_tok
        counts.update(outcome.counts)
        n_tok += outcome.n_tok
        on_shard(outcome)

    for outcome in score_shards(spec, scorer, unfinished(), run.jobs):
        account(outcome)
    receipt = Receipt(
        guard="none" if status is None else status.enforced_by,
        model_name=model.manifest.name,
        model_id=model.manifest.model_id,
        weights_sha256=model.manifest.weights.sha256,
        backend=scorer.backend.name,
        runtime_version=__version__,
        options=asdict(run.options),
        rows=_totals(counts, 0),
        reasons=_totals(counts, 1),
        n_tok=n_tok,
        demonstration=model.manifest.demonstration,
    )
    metadata = {
        "genolewm": json.dumps({"schema": "1.0.0", "model_id": receipt.model_id, "fingerprint": fingerprint})
    }
    with publishing(run.output) as temporary:
        write(paths, temporary, metadata)
    receipt_file = write_receipt(run.output, receipt)
    shutil.rmtree(parts)
    return RunSummary(run.output, receipt_file, scorer.backend.name, dict(counts), n_tok, len(resumed))


def _check_output(run: VcfRun) -> None:
    folder = run.output.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ResourceError(
            "output-unwritable",
            "The output's folder does not exist or cannot be written to.",
            where=str(folder),
            next_step="create the folder, or choose another --output",
        )
    if run.output.exists() and not run.fresh:
        raise ConfigError(
            "output-exists",
            "The output exists already; it was not touched.",
            where=str(run.output),
            next_step="choose another --output, or give --fresh to replace it",
        )
    if run.jobs < 1:
        raise ConfigError(
            "config-invalid",
            "This number of processes cannot be used.",
            where="--jobs",
            expected="1 or more",
            found=str(run.jobs),
        )


def _fingerprint(run: VcfRun, model: ModelDirectory, reference: Reference, backend: str) -> str:
    """Digest of everything that decides the output's bytes; stays in the user's own folder."""
    try:
        with run.vcf.open("rb") as file:
            vcf_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            "vcf-unreadable", "The VCF cannot be read.", where=str(run.vcf), found=error.strerror
        ) from error
    parts = {
        "vcf_sha256": vcf_sha256,
        "reference": [run.reference.stat().st_size, sorted(reference.contigs.items())],
        "model_id": model.manifest.model_id,
        "backend": backend,
        "options": asdict(run.options),
        "runtime_version": __version__,
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def _open_parts(parts: Path, fingerprint: str, *, fresh: bool) -> frozenset[str]:
    """Create or take up the folder of shards; returns the names of finished ones."""
    plan = parts / "run.json"
    if fresh and parts.exists():
        shutil.rmtree(parts)
    if parts.exists():
        try:
            found = json.loads(plan.read_text())["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if found != fingerprint:
            raise ConfigError(
                "resume-conflict",
                "An unfinished run with other inputs, options or versions is in the way.",
                where=str(parts),
                next_step="finish it with its own command, or give --fresh to drop it",
            )
        return frozenset(path.name for path in parts.glob("[0-9]*.parquet"))
    try:
        parts.mkdir()
    except OSError as error:
        raise ResourceError(
            "output-unwritable", "The folder for partial results cannot be made.", where=str(parts)
        ) from error
    write_atomic(plan, canonical_json({"fingerprint": fingerprint}))
    return frozenset()


def _totals(counts: Counter[tuple[str, str | None]], part: int) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for key, n in counts.items():
        name = key[part]
        if name is not None:
            totals[name] += n
    return dict(sorted(totals.items()))
