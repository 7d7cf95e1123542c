"""The two studies from a model directory and a data folder to JSON, page and plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.errors import ConfigError
from genolewm_core.scoring.backend import load_backend, resolve_backend
from genolewm_core.scoring.cells import Geometry
from genolewm_train.card import machine_class
from genolewm_train.studies import contract as settings
from genolewm_train.studies import contract_page, contract_summary, phases, phases_page
from genolewm_train.studies.layers import LayerBackend
from genolewm_train.studies.parts import compute_cells
from genolewm_train.studies.variants import (
    brca1_cells,
    clinvar_missense_cells,
    common_and_synthetic_cells,
    in_phase_indel_cells,
    open_references,
    personal_cells,
)

__all__ = ["run_contract", "run_phases"]

MOST_LAYERS = 8


def run_phases(
    model_path: Path,
    data: Path,
    output: Path,
    *,
    variants: int,
    resamples: int,
    backend: str = "auto",
    threads: int | None = None,
    pages: Path | None = None,
    show_progress: bool = False,
) -> str:
    """The phase study; writes `phases.json`, `phases.md` and `phases.png`.

    Returns:
        The verdict, one paragraph.

    Raises:
        GenoLeWMError: model or data cannot be used.
    """
    model = ModelDirectory.open(model_path)
    contract = model.manifest.contract
    geometry = Geometry(contract.window_bp, contract.cell_bp)
    references = open_references(data)
    cells = [
        *personal_cells(data, references, geometry, variants),
        *in_phase_indel_cells(data, references, geometry, _indels(variants)),
        *brca1_cells(data, references, geometry, 2 * variants),
    ]
    runner = load_backend(backend, model, threads=threads)
    key = {**_key("phases", model), "backend": resolve_backend(backend)}
    first = references[cells[0].assembly].contig(cells[0].contig)
    phases.score_passes(runner, first, cells[0], contract)  # the first passes of a process are slow
    results = phases.gather(
        compute_cells(
            cells,
            lambda cell: phases.score_passes(
                runner, references[cell.assembly].contig(cell.contig), cell, contract
            ),
            output / "parts",
            key,
            show_progress=show_progress,
        )
    )
    summary = {**_head(model, variants, resamples, key["backend"]), **phases.summarise(results, resamples)}
    page, plot = phases_page.render(summary), phases_page.plot
    for folder in (output, pages):
        if folder is not None:
            _publish(folder, "phases", summary, page)
            plot(summary, folder / "phases.png")
    return phases_page.verdict(summary)


def run_contract(
    model_path: Path,
    data: Path,
    output: Path,
    *,
    variants: int,
    resamples: int,
    layers: Sequence[int] | None = None,
    threads: int | None = None,
    pages: Path | None = None,
    show_progress: bool = False,
) -> str:
    """The ablation of the state contract; writes `contract.json`, `contract.md` and `contract.png`.

    Returns:
        The verdict, one paragraph.

    Raises:
        ConfigError: `config-invalid`, the model has no such layer.
        GenoLeWMError: model or data cannot be used.
    """
    model = ModelDirectory.open(model_path)
    contract, depth = model.manifest.contract, model.manifest.architecture.n_layers
    wanted = _some_layers(depth) if layers is None else layers
    if not wanted or not all(1 <= layer <= depth for layer in wanted):
        raise ConfigError(
            "config-invalid",
            "The model has no such layer.",
            where="layers",
            expected=f"numbers from 1 to {depth}",
            found=", ".join(map(str, wanted)),
        )
    grid = settings.Grid.around(contract, wanted)
    geometry = Geometry(contract.window_bp, contract.cell_bp)
    references = open_references(data)
    repeated = ("common_and_synthetic", "in_phase_indels")
    cells = [
        *common_and_synthetic_cells(data, references, geometry, variants),
        *in_phase_indel_cells(data, references, geometry, _indels(variants)),
        *brca1_cells(data, references, geometry, 2 * variants),
        *clinvar_missense_cells(data, references, geometry, variants),
    ]
    backend = LayerBackend(model, grid.layers, threads=threads)
    key = {**_key("contract", model), "grid": asdict(grid)}
    results = contract_summary.gather(
        compute_cells(
            cells,
            lambda cell: settings.displacements(
                backend,
                references[cell.assembly].contig(cell.contig),
                cell,
                contract,
                grid,
                settings.AGREEMENT_SHIFTS if cell.group in repeated else (0,),
            ),
            output / "parts",
            key,
            show_progress=show_progress,
        )
    )
    personal = personal_cells(data, references, geometry, variants)
    tokens = settings.tokens_per_variant(
        ((cell, references[cell.assembly].contig(cell.contig)) for cell in personal), contract, grid.radii
    )
    summary = {
        **_head(model, variants, resamples, "torch"),
        **contract_summary.summarise(results, grid, contract, tokens, resamples),
    }
    page = contract_page.render(summary)
    for folder in (output, pages):
        if folder is not None:
            _publish(folder, "contract", summary, page)
            contract_page.plot(summary, folder / "contract.png")
    return contract_page.verdict(summary)


def _head(model: ModelDirectory, variants: int, resamples: int, backend: str) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "weights_sha256": manifest.weights_sha256,
            "demonstration": manifest.demonstration,
            "radius_tok": manifest.contract.radius_tok,
            "state_layer": manifest.contract.state_layer,
            "phases": manifest.contract.phases,
            "strands": manifest.contract.strands,
        },
        "variants": variants,
        "resamples": resamples,
        "backend": backend,
        "machine": machine_class(),
    }


def _key(study: str, model: ModelDirectory) -> dict[str, Any]:
    """What of a model its scores depend on; its calibration, for one, they do not."""
    manifest = model.manifest
    return {"study": study, "weights": manifest.weights_sha256, "contract": asdict(manifest.contract)}


def _some_layers(depth: int) -> tuple[int, ...]:
    """Every layer of a shallow model; evenly spread ones, the last among them, of a deep one."""
    step = -(-depth // MOST_LAYERS)
    return tuple(sorted({*range(step, depth + 1, step), depth}))


def _indels(variants: int) -> int:
    """How many indels in phase: fewer, because nearly each of them needs a trunk of its own."""
    return max(20, variants // 10)


def _publish(folder: Path, name: str, summary: dict[str, Any], page: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.json", _json(summary).encode())
    write_atomic(folder / f"{name}.md", page.encode())


def _json(summary: dict[str, Any]) -> str:
    """JSON with a line for each entry of the first level and of a list in it."""
    lines = []
    for name, value in sorted(summary.items()):
        if isinstance(value, list):
            inner = ",\n".join(json.dumps(item, sort_keys=True, allow_nan=False) for item in value)
            text = f"[\n{inner}\n]"
        else:
            text = json.dumps(value, sort_keys=True, allow_nan=False)
        lines.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
