"""Every substitution of a region by `saturate`, against `score`'s marginal-only path on the same substitutions.

    python bench/saturate.py

The region lies in the demo slice (chr21, GRCh38). The baseline is `score_cell` with the one head `marginal_llr`: it
also runs one trunk a cell and no branch, and plans and reads every substitution on its own. Both run in one process
on one loaded model, cell by cell in turn; before anything is timed, both must give the same bits.

Then one whole run of the command's library function is timed, with both tables, the index and the receipt. "Inside" is
the time within ONNX Runtime's `session.run` and nothing else; everything else is outside.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import paired, publish, spread
from profile_score import TimedSession

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Contig, Reference
from genolewm_core.scoring.backend import Backend
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.saturation import ALT_ORDER, CellSubstitutions, saturate_cell
from genolewm_core.scoring.sixmer import K
from genolewm_runtime.models import demo_directory, embedded_model
from genolewm_runtime.onnx_backend import load
from genolewm_runtime.runtime import options_of
from genolewm_runtime.saturate.run import SaturateRun, run_saturate
from genolewm_runtime.saturate.tables import outputs_of

CHROM, FIRST_CELL = "chr21", 4_090


def substitutions(contig: Contig, cell: int, options: PassOptions) -> list[Replacement]:
    """All substitutions of a cell, by position and base."""
    start = cell * options.geometry.cell_bp
    bases = contig.fetch(start, start + options.geometry.cell_bp)
    assert not bases.strip("ACGT"), "the benchmark's cells are called throughout"
    return [
        Replacement(start + i, start + i + 1, alt)
        for i, ref in enumerate(bases)
        for alt in ALT_ORDER
        if alt != ref
    ]


def check(
    backend: Backend, contig: Contig, cell: int, edits: list[Replacement], options: PassOptions
) -> None:
    """Both paths give the same bits."""
    scored = score_cell(backend, contig, cell, edits, options).values["marginal_llr"].astype(np.float32)
    found: CellSubstitutions = saturate_cell(backend, contig, cell, options)
    mine = [found.llr[e.start - found.start, ALT_ORDER.index(e.alt)] for e in edits]
    np.testing.assert_array_equal(mine, scored)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cells", type=int, default=32, help="cells of the whole run")
    parser.add_argument("--threads", type=int, help="compute threads; default: the library's choice")
    arguments = parser.parse_args()
    model = ModelDirectory.open(embedded_model())
    backend: Any = load(model, threads=arguments.threads)
    reference = Reference(demo_directory() / "reference.fa.gz")
    contig = reference.contig(CHROM)
    options = options_of(model.manifest.contract, heads=("marginal_llr",))
    cell_bp = options.geometry.cell_bp
    edits = substitutions(contig, FIRST_CELL, options)

    def baseline() -> float:
        score_cell(backend, contig, FIRST_CELL, edits, options)
        return len(edits)

    def candidate() -> float:
        saturate_cell(backend, contig, FIRST_CELL, options)
        return len(edits)

    timing = paired(
        baseline,
        candidate,
        check=lambda: check(backend, contig, FIRST_CELL, edits, options),
        pairs=arguments.pairs,
    )
    timed = TimedSession(backend._session)
    backend._session = timed
    start = FIRST_CELL * cell_bp
    region = Region(CHROM, start, start + arguments.cells * cell_bp)
    with tempfile.TemporaryDirectory() as folder:
        run = SaturateRun(
            reference.path,
            (region,),
            outputs_of(Path(folder) / "all"),
            model.path,
            options,
            backend="onnx",
        )
        wall, cpu = time.perf_counter(), time.process_time()
        summary = run_saturate(run, loaded=backend)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        sizes = {path.suffix: path.stat().st_size for path in run.outputs.tables}
    assert summary.n_snv == 3 * (region.end - region.start), summary.bases
    outside = 1 - timed.clock.wall_s / wall
    snv_per_s = {
        "score": 1 / spread(timing.baseline_s)["median"],
        "saturate": 1 / spread(timing.candidate_s)["median"],
    }
    for name, value in snv_per_s.items():
        print(f"{name:9s} {value:12,.0f} substitutions/s  {value / 3 / K:10,.0f} six-mers/s")
    print(f"ratio     {timing.summary()['ratio']['median']:12.2f}")
    print(f"whole run {summary.n_snv / wall:12,.0f} substitutions/s  outside the network {outside:.1%}")
    publish(
        "saturate-mini-onnx",
        {
            **timing.summary(),
            "substitutions_per_cell": len(edits),
            "snv_per_s": snv_per_s,
            "sixmers_per_s": {name: value / 3 / K for name, value in snv_per_s.items()},
            "whole_run": {
                "cells": arguments.cells,
                "snv": summary.n_snv,
                "tokens": summary.n_tok,
                "wall_s": wall,
                "cpu_s": cpu,
                "snv_per_s": summary.n_snv / wall,
                "sixmers_per_s": summary.n_snv / wall / 3 / K,
                "outside_wall_share": outside,
                "outside_cpu_share": 1 - timed.clock.cpu_s / cpu,
                "bytes": sizes,
            },
        },
    )


if __name__ == "__main__":
    main()
