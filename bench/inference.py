"""Time of the branch pass against two full passes per variant, on one backend and in one process.

    python bench/inference.py --shape carbon-500m --backend onnx
    python bench/inference.py --shape mini --backend torch --data DIR

The baseline is what a caller of a plain language model does: run the reference window and the edited window
in full, 2,049 tokens each, all layers, and the product with the full vocabulary's output layer (155,776 rows for
Carbon's shape). It runs on the same backend with the same threads. Weights are random: time does not depend
on them. Workloads: `isolated` (one variant a cell), `personal` (cells of NA12878 in the demo slice), `brca1` (with
--data: the fullest cell of the BRCA1 saturation set; without: all SNVs of 302 consecutive bases).
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from harness import paired, publish

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows
from genolewm_core.scoring.backend import Backend, Trunk
from genolewm_core.scoring.cells import Contig, Geometry
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.sixmer import K, Vocabulary
from genolewm_core.testing.conformance import random_model

WINDOW_TOK = 2_048
FULL_VOCABULARY = {"carbon-500m": 155_776}
STATE_LAYERS = {"carbon-500m": 20}


@dataclass(frozen=True)
class Cell:
    """A cell of a contig and its edits."""

    contig: Contig
    index: int
    edits: list[Replacement]


class TwoFullPasses:
    """The baseline: reference and edited window in full, with logits of the whole vocabulary."""

    def __init__(self, backend: Backend, d_model: int, vocabulary_rows: int) -> None:
        self._backend = backend
        self._head_VD = np.random.default_rng(0).standard_normal((vocabulary_rows, d_model), dtype=np.float32)

    def run(self, cell: Cell, geometry: Geometry) -> None:
        """Two passes for the first edit of a cell."""
        edit = cell.edits[0]
        start = max(0, edit.start - geometry.window_bp // 2)
        bases = cell.contig.fetch(start, start + geometry.window_bp + K)
        edited = bases[: edit.start - start] + edit.alt + bases[edit.end - start :]
        for text in (bases, edited):
            ids = np.concatenate([[0], Vocabulary(0).encode(text[: K * WINDOW_TOK])]).astype(np.int32)
            rows = np.arange(len(ids))
            nothing = np.zeros(0, dtype=np.int64)
            passed = self._backend.open(Trunk(ids, rows, nothing, full_depth=True, keep=False))
            np.matmul(passed.rows.states, self._head_VD.T)


def load(kind: str, shape: str, threads: int | None) -> tuple[Backend, Backend, int]:
    """The backend with the shape's state layer, one with states of the last layer, and the vocabulary's rows."""
    architecture = ARCHITECTURES[shape]
    tensors = random_model(architecture)
    backend_class: Any
    if kind == "onnx":
        from genolewm_runtime.onnx_backend import OnnxBackend as backend_class
    else:
        from genolewm_encoder.llama import TorchBackend as backend_class
    layer = STATE_LAYERS.get(shape, architecture.n_layers - 2)
    ours = backend_class(architecture, tensors, layer, threads=threads)
    plain = backend_class(architecture, tensors, architecture.n_layers, threads=threads)
    return ours, plain, FULL_VOCABULARY.get(shape, architecture.vocab_rows)


def personal_cells(geometry: Geometry) -> list[Cell]:
    """Cells of NA12878 in the demo slice, with all their edits."""
    demo = Path(str(files("genolewm_mini"))) / "demo"
    reference = Reference(demo / "reference.fa.gz")
    cells: dict[tuple[str, int], list[Replacement]] = {}
    for row in read_rows(demo / "NA12878.vcf.gz", reference):
        if row.replacement is not None and row.contig is not None:
            edits = cells.setdefault((row.contig, geometry.cell(row.replacement.start)), [])
            if row.replacement not in edits:
                edits.append(row.replacement)
    return [Cell(reference.contig(chrom), index, edits) for (chrom, index), edits in cells.items()]


def isolated_cells(cells: list[Cell]) -> list[Cell]:
    """One substitution a cell."""
    alone = ([e for e in cell.edits if e.net == 0][:1] for cell in cells)
    return [replace(cell, edits=edits) for cell, edits in zip(cells, alone, strict=True) if edits]


def saturated_cell(cells: list[Cell], data: Path | None, geometry: Geometry) -> Cell:
    """The fullest cell of the BRCA1 set, or 906 SNVs of consecutive bases of the demo slice."""
    if data is not None:
        return max(brca1_cells(data, geometry), key=lambda cell: len(cell.edits))
    cell = cells[len(cells) // 2]
    start = cell.index * geometry.cell_bp + geometry.cell_bp // 2
    bases = cell.contig.fetch(start, start + 302)
    edits = [
        Replacement(start + i, start + i + 1, alt)
        for i, ref in enumerate(bases)
        for alt in "ACGT"
        if alt != ref
    ]
    return replace(cell, edits=edits)


def brca1_cells(data: Path, geometry: Geometry) -> Iterator[Cell]:
    """Cells of the BRCA1 saturation genome editing set (Findlay et al. 2018), GRCh37."""
    contig = Reference(data / "reference/GRCh37.shared.fa.gz").contig("17")
    cells: dict[int, list[Replacement]] = {}
    with gzip.open(data / "benchmark/BRCA1_SGE_Findlay2018.GRCh37.tsv.gz", "rt") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            start = int(row["pos37"]) - 1
            cells.setdefault(geometry.cell(start), []).append(Replacement(start, start + 1, row["alt"]))
    return (Cell(contig, index, edits) for index, edits in cells.items())


def compare(
    ours: Backend, baseline: TwoFullPasses, cells: list[Cell], options: PassOptions, pairs: int
) -> dict[str, Any]:
    """Time a workload against the baseline."""
    n_variants = sum(len(cell.edits) for cell in cells)
    n_tok = 0

    def candidate() -> float:
        nonlocal n_tok
        n_tok = sum(score_cell(ours, c.contig, c.index, c.edits, options).n_tok for c in cells)
        return n_variants

    def two_passes() -> float:
        baseline.run(cells[0], options.geometry)
        return 1

    timing = paired(
        two_passes, candidate, check=lambda: check(ours, cells[0], options), pairs=pairs, warm_up=False
    )
    return {
        **timing.summary(),
        "variants": n_variants,
        "cells": len(cells),
        "tokens_per_variant": n_tok / n_variants,
        "token_ratio": 2 * (WINDOW_TOK + 1) * n_variants / n_tok,
    }


def check(ours: Backend, cell: Cell, options: PassOptions) -> None:
    """The branch pass gives the displacement that two full passes over the cell's window give."""
    edit = next(e for e in cell.edits if e.net == 0)
    from genolewm_core.scoring.cells import StrandView

    start = options.geometry.window(cell.index, StrandView(cell.contig)).start
    first = (edit.start - start) // K
    end = start + K * (first + options.radius_tok + 1)
    bases = cell.contig.fetch(start, end)
    edited = bases[: edit.start - start] + edit.alt + bases[edit.end - start :]
    units = []
    for text in (bases, edited):
        ids = np.concatenate([[0], Vocabulary(0).encode(text)]).astype(np.int32)
        trunk = Trunk(
            ids, np.arange(first + 1, len(ids)), np.zeros(0, np.int64), full_depth=False, keep=False
        )
        mean = ours.open(trunk).rows.states.astype(np.float64).mean(axis=0)
        units.append(mean / np.linalg.norm(mean))
    expected = np.linalg.norm(units[1] - units[0])
    found = score_cell(ours, cell.contig, cell.index, [edit], options).values["displacement"][0]
    # The tests hold 1e-5 on rows; random weights leave the difference of two means a few digits less.
    assert abs(found - expected) <= 1e-3 * expected + 1e-6, (found, expected)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["mini", "carbon-500m"], default="mini")
    parser.add_argument("--backend", choices=["onnx", "torch"], default="onnx")
    parser.add_argument("--data", type=Path, help="folder with reference/ and benchmark/")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cells", type=int, default=8, help="cells of the personal and isolated workloads")
    arguments = parser.parse_args()
    options = PassOptions(geometry=Geometry())
    ours, plain, vocabulary_rows = load(arguments.backend, arguments.shape, arguments.threads)
    baseline = TwoFullPasses(plain, plain.d_state, vocabulary_rows)
    cells = personal_cells(options.geometry)
    some = cells[:: max(1, len(cells) // arguments.cells)][: arguments.cells]
    workloads = {
        "isolated": isolated_cells(some),
        "personal": some,
        "brca1": [saturated_cell(cells, arguments.data, options.geometry)],
    }
    results = {
        name: compare(ours, baseline, work, options, arguments.pairs) for name, work in workloads.items()
    }
    publish(
        f"inference-{arguments.shape}-{arguments.backend}",
        {
            "shape": arguments.shape,
            "backend": arguments.backend,
            "dtype": "fp32",
            "threads": arguments.threads,
            "saturation": "BRCA1" if arguments.data else "demo slice",
            "ratios": {name: result["ratio"]["median"] for name, result in results.items()},
            "workloads": results,
        },
    )


if __name__ == "__main__":
    main()
