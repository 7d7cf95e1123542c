"""Training tuples a second on one core, from windows in memory, after a check of what chance makes up.

    python bench/data_tuples.py [--edits 10000000] [--windows 1500]

First the distributions of synthetic edits of every kind are checked (chi-square, p above 0.01, fixed seed), as arrays
that give the samplers' very edits, which is checked too. Then tuples of random windows of 12,288 bp with 40 variants
each are built, and their targets laid out. No model runs, and no cached state is read. Seconds are of processor time,
since the windows lie in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import pickle
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import publish

from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.samplers import EditableWindow, TableSampler, VariantTable
from genolewm_data.tuples import TupleBuilder, TupleOptions, WindowTuples, plan_targets, realised_mix

WINDOW_BP = 12_288
TESTS = Path(__file__).parent.parent / "packages" / "genolewm-data" / "tests" / "samplers"
PARTS = 5


def p_values(n_edits: int) -> dict[str, float]:
    """The chi-square tests of the test suite, over more edits."""
    spec = importlib.util.spec_from_file_location("distributions", TESTS / "test_synthetic_distributions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_samplers_give_the_edits_that_arrays_give()
    return {name: round(float(p), 4) for name, p in module.p_values(n_edits, 20_261_121).items()}


def windows_and_variants(n: int) -> tuple[list[ReferenceWindow], VariantTable]:
    """Random windows, and 40 SNVs in each."""
    rng = np.random.Generator(np.random.PCG64(1))
    letters = np.array(list("ACGT"))
    windows, variants = [], []
    for number in range(n):
        text = "".join(letters[rng.integers(0, 4, WINDOW_BP)])
        start = number * WINDOW_BP
        windows.append(ReferenceWindow("chr1", start, start + WINDOW_BP, text))
        for place in rng.integers(0, WINDOW_BP, 40).tolist():
            alt = "ACGT"["ACGT".index(text[place]) - 1]
            variants.append(Variant("chr1", start + place + 1, text[place], alt))
    return windows, VariantTable.of(variants)


def built(builder: TupleBuilder, windows: Sequence[ReferenceWindow], first: int) -> list[WindowTuples]:
    """The tuples of windows."""
    return [builder.build(window, first + i) for i, window in enumerate(windows)]


def rates(builder: TupleBuilder, windows: Sequence[ReferenceWindow]) -> dict[str, Any]:
    """Tuples a second of building and of laying out targets, the median of some parts of the windows."""
    opened = [EditableWindow.of(window, builder.margin_bp) for window in windows]
    tally: Counter[str] = Counter()
    build_s, target_s, tokens, tuples = [], [], 0, 0
    step = len(windows) // PARTS
    for part in range(PARTS):
        held = range(part * step, (part + 1) * step)
        started = time.process_time()
        results = built(builder, [windows[i] for i in held], part * step)
        done = time.process_time()
        targets = [
            plan_targets(opened[i], result.tuples, builder.options.radius_tok)
            for i, result in zip(held, results, strict=True)
        ]
        ended = time.process_time()
        n = sum(len(result.tuples) for result in results)
        build_s.append(n / (done - started))
        target_s.append(n / (ended - done))
        tuples += n
        tokens += sum(target.n_tok for window in targets for target in window)
        for result in results:
            tally += result.tally
    return {
        "tuples": tuples,
        "build_tuples_per_s": round(statistics.median(build_s)),
        "target_tuples_per_s": round(statistics.median(target_s)),
        "both_tuples_per_s": round(
            statistics.median(1 / (1 / b + 1 / t) for b, t in zip(build_s, target_s, strict=True))
        ),
        "tokens_per_tuple": tokens / tuples,
        "mix": realised_mix(tally),
        "tally": dict(sorted(tally.items())),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=10_000_000)
    parser.add_argument("--windows", type=int, default=1_500)
    arguments = parser.parse_args()
    p = p_values(arguments.edits)
    assert min(p.values()) > 0.01, p
    windows, table = windows_and_variants(arguments.windows)
    builder = TupleBuilder(TupleOptions(seed=1), [TableSampler("gnomad", table)])
    again = pickle.loads(pickle.dumps(builder))
    assert built(builder, windows[:50], 0) == [again.build(windows[i], i) for i in reversed(range(50))][::-1]
    publish("data_tuples", {"edits_checked": arguments.edits, "p": p, **rates(builder, windows)})


if __name__ == "__main__":
    main()
