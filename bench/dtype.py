"""Scores in bf16 against fp32 over real variants: the rank correlation that decides what bf16 is offered for.

    python bench/dtype.py --data DATA --variants 2000 [--model DIR]

The first variants of NA12878 (chromosomes 20 and 21) that the reference covers; without --data those of the demo
slice. On the embedded model unless another is named, once on the backend `torch` and once on `torch-bf16`. A score
whose Spearman correlation is below 0.99 is not to be offered in bf16. Beside it: how far the scores of bf16 differ
from themselves when the same variants are packed otherwise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import publish
from inference import Cell, cells_of, personal_cells

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.scoring.backend import Backend, load_backend
from genolewm_core.scoring.heads import HEADS
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_runtime.models import embedded_model
from genolewm_runtime.runtime import options_of

Float64 = npt.NDArray[np.float64]


def spearman(a: Float64, b: Float64) -> float:
    """Correlation of mean ranks."""

    def ranks(values: Float64) -> Float64:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return ((ends - counts + ends - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def scores(backend: Backend, cells: list[Cell], options: PassOptions) -> dict[str, Float64]:
    """Head -> scores of every edit of the cells, in order."""
    found = [score_cell(backend, c.contig, c.index, c.edits, options).values for c in cells]
    return {head: np.concatenate([values[head] for values in found]) for head in HEADS}


def one_by_one(cells: list[Cell]) -> list[Cell]:
    """The first edit of each cell, scored alone: another packing."""
    return [Cell(c.contig, c.index, c.edits[:1]) for c in cells]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with reference/ and personal/")
    parser.add_argument("--variants", type=int, default=2_000)
    parser.add_argument("--model", type=Path, default=embedded_model())
    arguments = parser.parse_args()
    model = ModelDirectory.open(arguments.model)
    options = options_of(model.manifest.contract)
    cells: list[Cell] = []
    if arguments.data is None:
        found_cells = personal_cells(options.geometry)
    else:
        vcf = next((arguments.data / "personal").glob("NA12878.*.GRCh38.vcf.gz"))
        found_cells = cells_of(vcf, arguments.data / "reference/GRCh38.shared.fa.gz", options.geometry)
    for cell in found_cells:
        room = arguments.variants - sum(len(c.edits) for c in cells)
        if room > 0:
            cells.append(Cell(cell.contig, cell.index, sorted(cell.edits, key=lambda e: e.start)[:room]))
    found, seconds, alone = {}, {}, {}
    for name in ("torch", "torch-bf16"):
        backend = load_backend(name, model)
        started = time.perf_counter()
        found[name] = scores(backend, cells, options)
        seconds[name] = time.perf_counter() - started
        alone[name] = scores(backend, one_by_one(cells), options)
    firsts = np.cumsum([0, *(len(c.edits) for c in cells[:-1])])
    nets = np.array([edit.net for cell in cells for edit in cell.edits])
    results: dict[str, Any] = {}
    for head in HEADS:
        a, b = found["torch"][head], found["torch-bf16"][head]
        entry = {}
        for kind, chosen in {
            "all": np.ones(len(nets), bool),
            "substitutions": nets == 0,
            "indels": nets != 0,
        }.items():
            both = chosen & ~np.isnan(a) & ~np.isnan(b)
            if both.sum() >= 50:
                entry[kind] = {"spearman": spearman(a[both], b[both]), "variants": int(both.sum())}
        repeat = alone["torch-bf16"][head]
        known = ~np.isnan(repeat)
        entry["median_difference"] = float(np.nanmedian(np.abs(a - b)))
        entry["median_score"] = float(np.nanmedian(np.abs(a)))
        entry["median_difference_of_packings_bf16"] = float(np.median(np.abs(repeat - b[firsts])[known]))
        results[head] = entry
    publish(
        f"dtype-{model.manifest.name}",
        {
            "model": model.manifest.name,
            "variants": len(nets),
            "cells": len(cells),
            "scores": results,
            "seconds": seconds,
        },
    )


if __name__ == "__main__":
    main()
