"""The whole job of `calibrate`: sites, scores, table, check on held-back sites, into the model directory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import ModelDirectory, digest_file, read_verified, write_manifest
from genolewm_core.errors import InputError
from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.backend import load_backend, resolve_backend
from genolewm_core.scoring.calibration import (
    MIN_ROWS,
    CalibrationTable,
    key_of,
)
from genolewm_core.scoring.calibration_file import parse_calibration, render_calibration
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.heads import CHOICES
from genolewm_core.scoring.passes import PassOptions
from genolewm_train.calibration.fit import fit_table, ks_uniform, percentiles
from genolewm_train.calibration.scored import Scored, score_sites
from genolewm_train.calibration.sites import common_sites, is_held_back, synthetic_sites

__all__ = ["CalibrationRun", "calibrate_model"]

N_SYNTHETIC = 2 * MIN_ROWS
CLASSES = ("substitution", "indel_in_phase", "indel_out_of_phase")


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """What a table is built from.

    Attributes:
        vcfs: sites with allele frequencies.
        annotation: GFF3 whose regions tell buckets apart; None leaves regions out.
        min_af: smallest frequency of the rarer allele.
        both_strands, phases: None for the contract's.
        seed: of the synthetic edits.
    """

    model: Path
    vcfs: tuple[Path, ...]
    reference: Path
    annotation: Path | None
    regions: tuple[Region, ...]
    min_af: float = 0.01
    backend: str = "auto"
    both_strands: bool | None = None
    phases: int | None = None
    seed: int = 0


def calibrate_model(
    run: CalibrationRun,
    on_stage: Callable[[str], None] = lambda _: None,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
) -> CalibrationTable:
    """Build the table of one key and add it to the model's calibration file, replacing one of the same key.

    Interrupted, the same call goes on where it stopped.

    Raises:
        GenoLeWMError: see `common_sites`, `Annotation.read`, `ModelDirectory`.
        InputError: `training-data-missing`, when there are no common variants in the regions.
    """
    model = ModelDirectory.open(run.model)
    backend_name = resolve_backend(run.backend)
    options = _options(model, run)
    key = key_of(model, options, backend_name)
    reference = Reference(run.reference)
    annotation = None if run.annotation is None else Annotation.read(run.annotation, reference.contigs)
    on_stage("reading common variants")
    rows, left_out = common_sites(run.vcfs, reference, run.regions, run.min_af)
    if not rows:
        raise InputError(
            "training-data-missing",
            "There are no common variants in the calibration regions.",
            where=", ".join(path.name for path in run.vcfs),
            expected=f"alleles with a frequency from {run.min_af} to {1 - run.min_af} in the regions",
            found=", ".join(f"{reason}: {n}" for reason, n in sorted(left_out.items()))
            or "no alleles at all",
            next_step="give sites of the regions' assembly with AF in INFO, or other regions with --region",
        )
    fitted = [row for row in rows if not is_held_back(row)]
    short = [name for name in CLASSES if sum(row.edit_class == name for row in fitted) < MIN_ROWS]
    synthetic = {name: synthetic_sites(name, N_SYNTHETIC, reference, run.regions, run.seed) for name in short}
    on_stage("loading the model")
    backend = load_backend(backend_name, model)
    kept = run.model / f".calibration.{backend_name}.parts.jsonl"
    everything = rows + [row for extra in synthetic.values() for row in extra]
    on_stage("scoring")
    scored = score_sites(
        everything, reference, backend, options, annotation, kept, [asdict(key), _digests(run)], on_cell
    )
    on_stage("fitting")
    table = _fit(key, run, model, rows, synthetic, scored, left_out)
    _publish(model, table)
    kept.unlink()
    return table


def _options(model: ModelDirectory, run: CalibrationRun) -> PassOptions:
    contract = model.manifest.contract
    return PassOptions(
        geometry=Geometry(contract.window_bp, contract.cell_bp),
        heads=CHOICES,
        radius_tok=contract.radius_tok,
        ll_tok=contract.ll_tok,
        both_strands=contract.strands == "+-" if run.both_strands is None else run.both_strands,
        phases=contract.phases if run.phases is None else run.phases,
    )


def _fit(
    key: Any,
    run: CalibrationRun,
    model: ModelDirectory,
    rows: Sequence[Any],
    synthetic: dict[str, list[Any]],
    scored: Sequence[Scored],
    left_out: Counter[str],
) -> CalibrationTable:
    held_back = {str(row.variant) for row in rows if is_held_back(row)}
    common = {str(row.variant) for row in rows}
    null_names = {name: {str(row.variant) for row in extra} for name, extra in synthetic.items()}
    fitted = [site for site in scored if site.name in common - held_back]
    checked = [site for site in scored if site.name in held_back]
    nulls = {
        name: [site for site in scored if site.name in names - common] for name, names in null_names.items()
    }
    heads = model.manifest.default_heads
    table = fit_table(key, fitted, nulls, {})
    about: dict[str, Any] = {
        "regions": [f"{r.contig}:{r.start + 1}-{r.end}" for r in run.regions],
        "min_af": run.min_af,
        "sources": _digests(run),
        "left_out": dict(sorted(left_out.items())),
        "common": dict(sorted(Counter(site.edit_class for site in fitted).items())),
        "synthetic": {name: len(sites) for name, sites in sorted(nulls.items())},
        "held_back": _uniformity(table, checked, heads),
        "across_contigs": _across(key, [*fitted, *checked], nulls, heads),
    }
    return replace(table, about=about)


def _uniformity(table: CalibrationTable, sites: Sequence[Scored], heads: Any) -> dict[str, Any]:
    """edit class -> column -> {"n", "ks"} of percentiles against the uniform distribution."""
    return {
        edit_class: {
            name: {"n": len(values), "ks": round(ks_uniform(values), 4)} for name, values in columns.items()
        }
        for edit_class, columns in sorted(percentiles(table, sites, heads).items())
    }


def _across(key: Any, sites: Sequence[Scored], nulls: Any, heads: Any) -> dict[str, Any]:
    """The harder question: each contig's sites against a table of the other contigs' sites."""
    contigs = sorted({site.name.rsplit(":", 3)[0] for site in sites})
    if len(contigs) < 2:
        return {}
    found = {}
    for contig in contigs:
        inside = [site for site in sites if site.name.rsplit(":", 3)[0] == contig]
        outside = [site for site in sites if site.name.rsplit(":", 3)[0] != contig]
        found[contig] = _uniformity(fit_table(key, outside, nulls, {}), inside, heads)
    return found


def _digests(run: CalibrationRun) -> dict[str, str]:
    """Name -> SHA-256 of the inputs; the FASTA, which may be large, is known by the variants that match it."""
    files = [*run.vcfs, *([] if run.annotation is None else [run.annotation])]
    return {path.name: digest_file(path).sha256 for path in files}


def _publish(model: ModelDirectory, table: CalibrationTable) -> None:
    """The new file first, under a name of its own, then the manifest that names it, then the old one goes."""
    old = model.manifest.calibration
    tables = [] if old is None else parse_calibration(read_verified(model.path, old), model.path / old.name)
    weights = table.key.weights_sha256
    kept = [other for other in tables if other.key != table.key and other.key.weights_sha256 == weights]
    data = render_calibration(sorted([*kept, table], key=lambda t: (t.key.backend, str(t.key.contract))))
    name = f"calibration-{hashlib.sha256(data).hexdigest()[:12]}.json"
    write_atomic(model.path / name, data)
    write_manifest(model.path, replace(model.manifest, calibration=digest_file(model.path / name)))
    if old is not None and old.name != name:
        (model.path / old.name).unlink(missing_ok=True)
