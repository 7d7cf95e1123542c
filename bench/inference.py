"""Time of the branch pass against two full passes per variant, on one backend and in one process.

    python bench/inference.py --shape carbon-500m --backend onnx
    python bench/inference.py --shape mini --backend torch --data DIR

The baseline is what a caller of a plain language model does: run the reference window and the edited window
in full, 2,049 tokens each, all layers, and the product with the full vocabulary's output layer (155,776 rows
for Carbon's shape). It runs on the same backend, on all cores like ours. Weights are random: time does not
depend on them. Before anything is timed, both must give the same log-likelihood difference.

Workloads: `isolated` (one variant a cell), `personal` (cells of NA12878 in the demo slice), `brca1` (with --data:
the fullest cell of the BRCA1 saturation set; without: all SNVs of 302 consecutive bases).
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import paired, publish

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows
from genolewm_core.scoring.backend import Backend, Trunk
from genolewm_core.scoring.cells import Contig, Geometry, StrandView
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.sixmer import N_SIXMERS, K, Vocabulary
from genolewm_core.testing.conformance import random_model

Float32 = npt.NDArray[np.float32]

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

    def __init__(self, backend: Backend, tensors: Mapping[str, Float32], vocabulary_rows: int) -> None:
        """`backend` reads states after the last layer, where a row is the final norm without its weight."""
        self._backend = backend
        embedding = tensors["model.embed_tokens.weight"]
        # The rows beyond the DNA vocabulary cost time and are never read.
        rng = np.random.default_rng(0)
        self._head_VD = rng.standard_normal((vocabulary_rows, embedding.shape[1]), dtype=np.float32)
        self._head_VD[: len(embedding)] = embedding * tensors["model.norm.weight"]

    def run(self, cell: Cell, edit: Replacement, geometry: Geometry) -> tuple[list[Float32], list[Any]]:
        """Logits (T, V) and six-mer codes of the reference window and of the edited one."""
        start = geometry.window(cell.index, StrandView(cell.contig)).start
        bases = cell.contig.fetch(start, start + geometry.window_bp + K)
        edited = bases[: edit.start - start] + edit.alt + bases[edit.end - start :]
        logits, codes = [], []
        for text in (bases, edited):
            ids = np.concatenate([[0], Vocabulary(0).encode(text[: K * WINDOW_TOK])]).astype(np.int32)
            nothing = np.zeros(0, dtype=np.int64)
            trunk = Trunk(ids, np.arange(len(ids)), nothing, full_depth=True, keep=False)
            logits.append(self._backend.open(trunk).rows.states @ self._head_VD.T)
            codes.append(ids[1:] - Vocabulary(0).sixmer_start)
        return logits, codes


def load(kind: str, shape: str) -> tuple[Backend, TwoFullPasses]:
    """Ours with the shape's state layer, and the baseline on the same backend and weights."""
    architecture = ARCHITECTURES[shape]
    tensors = random_model(architecture)
    backend_class: Any
    if kind == "onnx":
        from genolewm_runtime.onnx_backend import OnnxBackend as backend_class
    else:
        from genolewm_encoder.llama import TorchBackend as backend_class
    layer = STATE_LAYERS.get(shape, architecture.n_layers - 2)
    ours = backend_class(architecture, tensors, layer)
    plain = backend_class(architecture, tensors, architecture.n_layers)
    rows = FULL_VOCABULARY.get(shape, architecture.vocab_rows)
    return ours, TwoFullPasses(plain, tensors, rows)


def personal_cells(geometry: Geometry) -> list[Cell]:
    """Cells of NA12878 in the demo slice, with all their edits."""
    demo = Path(str(files("genolewm_mini"))) / "demo"
    return cells_of(demo / "NA12878.vcf.gz", demo / "reference.fa.gz", geometry)


def cells_of(vcf: Path, fasta: Path, geometry: Geometry) -> list[Cell]:
    """Cells of a VCF, with all their edits, in its order."""
    reference = Reference(fasta)
    cells: dict[tuple[str, int], list[Replacement]] = {}
    for row in read_rows(vcf, reference):
        if row.replacement is not None and row.contig is not None:
            edits = cells.setdefault((row.contig, geometry.cell(row.replacement.start)), [])
            if row.replacement not in edits:
                edits.append(row.replacement)
    return [Cell(reference.contig(chrom), index, edits) for (chrom, index), edits in cells.items()]


def isolated_cells(cells: list[Cell]) -> list[Cell]:
    """One substitution a cell, drawn from the cell's: the first of each would have the shortest trunks."""
    rng = np.random.default_rng(0)
    found = ([e for e in cell.edits if e.net == 0] for cell in cells)
    return [
        replace(cell, edits=[edits[rng.integers(len(edits))]])
        for cell, edits in zip(cells, found, strict=True)
        if edits
    ]


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
    ours: Backend,
    baseline: TwoFullPasses,
    cells: list[Cell],
    options: PassOptions,
    *,
    pairs: int,
    warm_up: bool,
) -> dict[str, Any]:
    """Time a workload against the baseline."""
    n_variants = sum(len(cell.edits) for cell in cells)
    n_tok = 0

    def candidate() -> float:
        nonlocal n_tok
        n_tok = sum(score_cell(ours, c.contig, c.index, c.edits, options).n_tok for c in cells)
        return n_variants

    def two_passes() -> float:
        baseline.run(cells[0], cells[0].edits[0], options.geometry)
        return 1

    timing = paired(
        two_passes,
        candidate,
        check=lambda: check(ours, baseline, cells[0], options),
        pairs=pairs,
        warm_up=warm_up,
    )
    return {
        **timing.summary(),
        "variants": n_variants,
        "cells": len(cells),
        "tokens_per_variant": n_tok / n_variants,
        "token_ratio": 2 * (WINDOW_TOK + 1) * n_variants / n_tok,
    }


def check(ours: Backend, baseline: TwoFullPasses, cell: Cell, options: PassOptions) -> None:
    """Ours gives the log-likelihood difference that the baseline's logits give."""
    edit = next(e for e in cell.edits if e.net == 0)
    (ref_TV, alt_TV), (ref_T, alt_T) = baseline.run(cell, edit, options.geometry)
    first = int(np.flatnonzero(ref_T != alt_T)[0])
    places = np.arange(first, first + options.ll_tok)
    six = slice(Vocabulary(0).sixmer_start, Vocabulary(0).sixmer_start + N_SIXMERS)

    def log_likelihood(logits_TV: Float32, codes_T: Any) -> float:
        logits = logits_TV[places, six].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float(log_probs[np.arange(len(places)), codes_T[places]].sum())

    expected = log_likelihood(alt_TV, alt_T) - log_likelihood(ref_TV, ref_T)
    found = score_cell(ours, cell.contig, cell.index, [edit], options).values["delta_ll"][0]
    assert abs(found - expected) <= 1e-4 * max(1.0, abs(expected)), (found, expected)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["mini", "carbon-500m"], default="mini")
    parser.add_argument("--backend", choices=["onnx", "torch"], default="onnx")
    parser.add_argument("--data", type=Path, help="folder with reference/ and benchmark/")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cells", type=int, default=8, help="cells of the personal and isolated workloads")
    parser.add_argument("--no-warm-up", action="store_true", help="for shapes where a pass takes a minute")
    arguments = parser.parse_args()
    options = PassOptions(geometry=Geometry())
    ours, baseline = load(arguments.backend, arguments.shape)
    cells = personal_cells(options.geometry)
    some = cells[:: max(1, len(cells) // arguments.cells)][: arguments.cells]
    workloads = {
        "isolated": isolated_cells(some),
        "personal": some,
        "brca1": [saturated_cell(cells, arguments.data, options.geometry)],
    }
    results = {
        name: compare(ours, baseline, work, options, pairs=arguments.pairs, warm_up=not arguments.no_warm_up)
        for name, work in workloads.items()
    }
    publish(
        f"inference-{arguments.shape}-{arguments.backend}",
        {
            "shape": arguments.shape,
            "backend": arguments.backend,
            "dtype": "fp32",
            "saturation": "BRCA1" if arguments.data else "demo slice",
            "ratios": {name: result["ratio"]["median"] for name, result in results.items()},
            "workloads": results,
        },
    )


if __name__ == "__main__":
    main()
