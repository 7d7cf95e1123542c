"""Training batches a second, from a dataset release with cached states, through PyTorch's DataLoader.

    python bench/loader.py [--windows 2048] [--repeats 5] [--width 1024] [--folder FOLDER] [--data DIR]

A release is made with windows of 12,288 bp, 40 common variants each, of which one in twenty is held out, and a
haplotype block every 3 kb, one in ten held out. Windows are random bases, or, with the folder of test data, those of
1 Mb of chromosome 20 and its variants, again and again. States of every edit of the stream are put into a `StateCache`
first, and what one worker makes is compared with what two make. Then an epoch is read with one worker and with two, in
turn: rates are of tuples that arrived in the main process, of runs beside which the machine did little else.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import torch
from harness import publish, spread
from torch.utils.data import DataLoader

from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_core.scoring.states import Encoding, ReferenceWindow, StateKey, WindowBlock
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.loader import GenoLeWMDataset, TrainingBatch
from genolewm_data.release.manifest import ReleaseFile, ReleaseManifest
from genolewm_data.release.release import HOLDOUTS, Release, haplotype_file, variant_file
from genolewm_data.release.windows import write_windows
from genolewm_data.tuples import realised_mix
from genolewm_encoder.cache import StateBatch, StateCache

WINDOW_BP = 12_288
TARGET = 5_000
QUIET = 0.05
"""Most of the machine that other processes may have for a run to count, if there is such a run."""
ENCODING = Encoding(hashlib.sha256(b"an encoder").digest(), 20, "span_mean", 8, "fp32")
OPTIONS = {
    "seed": 1,
    "edits_per_window": 8,
    "mix": {"gnomad": 40, "synthetic_snv": 40, "synthetic_indel": 20},
    "multi_percent": 10,
    "spread_bp": 1_000,
    "radius_tok": 8,
    "haplotype_percent": 50,
}


@dataclass(frozen=True)
class Cached:
    """Opens the cache in a worker."""

    folder: Path

    def __call__(self) -> StateCache:
        """The cache."""
        return StateCache(self.folder, create=False)


def random_windows(n: int) -> tuple[list[ReferenceWindow], list[Variant]]:
    """Random windows side by side, and 40 SNVs in each."""
    rng = np.random.Generator(np.random.PCG64(1))
    windows, variants = [], []
    for number in range(n):
        text = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, WINDOW_BP)].tobytes().decode()
        start = number * WINDOW_BP
        windows.append(ReferenceWindow("chr1", start, start + WINDOW_BP, text))
        variants += [snv(windows[-1], place) for place in np.unique(rng.integers(0, WINDOW_BP, 40)).tolist()]
    return windows, variants


def real_windows(n: int, data: Path) -> tuple[list[ReferenceWindow], list[Variant]]:
    """Windows of chromosome 20 and its common variants, repeated on contigs of other names."""
    with pysam.VariantFile(str(data / "population" / "1000G_phase3.chr20_1-2Mb.sites.GRCh37.vcf.gz")) as file:
        common = [
            (record.pos, record.ref, alt)
            for record in file
            for alt, af in zip(record.alts or (), record.info["AF"], strict=True)
            if af >= 0.01 and set(record.ref + alt) <= set("ACGT")
        ]
    with Reference(data / "reference" / "GRCh37.shared.fa.gz") as reference:
        starts = range(1_000_000, 1_980_000, 8_192)
        texts = [reference.fetch("20", start, start + WINDOW_BP).upper() for start in starts]
    windows: list[ReferenceWindow] = []
    variants: list[Variant] = []
    while len(windows) < n:
        contig = f"chrcopy{len(windows)}"
        windows += [
            ReferenceWindow(contig, start, start + WINDOW_BP, text)
            for start, text in zip(starts, texts, strict=True)
        ]
        variants += [Variant(contig, *fields) for fields in common]
    return windows[:n], variants


def snv(window: ReferenceWindow, place: int) -> Variant:
    """A substitution at a place of a window."""
    base = window.sequence[place]
    return Variant(window.contig, window.start + place + 1, base, "ACGT"["ACGT".index(base) - 1])


def write_release(folder: Path, windows: list[ReferenceWindow], variants: list[Variant]) -> Release:
    """A release as the loader reads it."""
    for name in ("windows", "variants", "haplotypes"):
        (folder / name).mkdir(parents=True)
    write_windows(folder / "windows/train-00000.parquet", ((window, "") for window in windows))
    rows = [{"chrom": v.chrom, "pos": v.pos, "ref": v.ref, "alt": v.alt, "af": 0.1} for v in variants]
    pq.write_table(pa.Table.from_pylist(rows), folder / variant_file("train", "gnomad"))
    blocks = []
    for window in windows:
        for at in range(1_000, WINDOW_BP - 1_000, 3_000):
            calls = [snv(window, at + step) for step in (0, 150, 420) if window.sequence[at + step] != "N"]
            blocks += [Block(tuple(Call(v, v) for v in calls))] if len(calls) > 1 else []
    blocks = list(dict.fromkeys(blocks))
    HaplotypeTable(dict.fromkeys(blocks, 2)).write(folder / haplotype_file("train"))
    held = HeldOut(
        "GRCh38",
        variants={"clinvar": frozenset(variants[::20])},
        blocks={"haplotypes": frozenset(block.keys for block in blocks[::10])},
    )
    holdouts = Holdouts({"GRCh38": held})
    holdouts.write(folder / HOLDOUTS)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = tuple(
        ReleaseFile(
            str(path.relative_to(folder)),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_size,
        )
        for path in paths
    )
    ReleaseManifest(
        "bench", "1", "GRCh38", WINDOW_BP, OPTIONS, {}, {}, {}, holdouts.digest, (), files, {}
    ).write(folder)
    return Release.open(folder)


def fill(folder: Path, release: Release, width: int) -> int:
    """A cache with a state for every edit of an epoch; how many."""
    rng = np.random.default_rng(width)
    e = ENCODING
    keys: dict[StateKey, ReferenceWindow] = {}
    for batch in GenoLeWMDataset(release, epochs=1):
        for index, row in enumerate(batch.tuple_window.tolist()):
            ref = batch.windows[row]
            for locus in batch.locus[batch.edit_offset[index] : batch.edit_offset[index + 1]].tolist():
                key = StateKey(
                    ref.hash, e.encoder_hash, e.state_layer, e.pool_type, e.pool_radius, locus // 6, e.dtype
                )
                keys.setdefault(key, ref)
    items = sorted(keys.items(), key=lambda item: (item[1].place.start, item[0].center_tok))
    with StateCache(folder) as cache:
        for block, first in enumerate(range(0, len(items), 8_192)):
            part = items[first : first + 8_192]
            starts = np.array([ref.place.start for _, ref in part], dtype=np.int64)
            states = rng.standard_normal((len(part), width), dtype=np.float32)
            cache.put_many(
                WindowBlock("chr1", block),
                StateBatch(
                    [key for key, _ in part],
                    "chr1",
                    starts,
                    starts + WINDOW_BP,
                    np.zeros(len(part), np.bool_),
                    states,
                ),
            )
    return len(items)


def loader(dataset: GenoLeWMDataset, n_workers: int) -> DataLoader[TrainingBatch]:
    """Batches as a trainer gets them."""
    return DataLoader(dataset, batch_size=None, num_workers=n_workers)


@dataclass(frozen=True)
class Run:
    """A stretch of an epoch.

    Attributes:
        per_s: tuples that arrived in a second.
        worker_s, main_s: processor seconds of all workers and of the main process for a tuple.
        others: share of the machine's processors that other processes had meanwhile.
    """

    per_s: float
    worker_s: float
    main_s: float
    others: float


def run(dataset: GenoLeWMDataset, n_workers: int) -> Run:
    """Read most of an epoch: not the first batches, and not the last ones, when workers have nothing left to do."""
    batches = iter(loader(dataset, n_workers))
    workers = [psutil.Process(child.pid) for child in multiprocessing.active_children()]
    assert len(workers) == n_workers
    for _ in range(3 * n_workers):
        next(batches)
    assert dataset.n_steps is not None
    before = sum(sum(worker.cpu_times()[:2]) for worker in workers)
    busy = busy_s()
    started, main = time.perf_counter(), time.process_time()
    n = sum(next(batches).n_tuples for _ in range(dataset.n_steps - 6 * n_workers))
    seconds, main = time.perf_counter() - started, time.process_time() - main
    used = sum(sum(worker.cpu_times()[:2]) for worker in workers) - before
    busy = busy_s() - busy
    for _ in batches:
        pass
    others = (busy - used - main) / (seconds * (os.cpu_count() or 1))
    return Run(n / seconds, used / n, main / n, others)


def busy_s() -> float:
    """Seconds that all processors have worked since the machine started."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def alone(dataset: GenoLeWMDataset) -> tuple[float, Counter[str]]:
    """Tuples a processor second without any worker, and the tally of an epoch."""
    tally: Counter[str] = Counter()
    next(iter(dataset))
    started, n = time.process_time(), 0
    for batch in dataset:
        n += batch.n_tuples
        tally += batch.tally
    return n / (time.process_time() - started), tally


def check(dataset: GenoLeWMDataset) -> None:
    """Two workers give what one gives, and every state is found."""
    for one, two in zip(loader(dataset, 1), loader(dataset, 2), strict=True):
        assert one.cursor == two.cursor
        columns = two.tensors()
        assert all(torch.equal(column, columns[name]) for name, column in one.tensors().items())
        assert one.found is not None
        assert one.found.all()


def measure(
    folder: Path,
    windows: list[ReferenceWindow],
    variants: list[Variant],
    *,
    real: bool = False,
    width: int = 1_024,
    repeats: int = 5,
) -> dict[str, Any]:
    """Everything about one release.

    Args:
        folder: empty; for the release and the cache.
        windows, variants: of the release.
        real: whether the windows are, for the record.
        width: of a state.
        repeats: pairs of runs.
    """
    release = write_release(folder / "release", windows, variants)
    n_states = fill(folder / "states", release, width)
    dataset = GenoLeWMDataset(release, epochs=1, states=Cached(folder / "states"), encoding=ENCODING)
    check(dataset)
    load_before = os.getloadavg()[0]
    runs: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(repeats):
        for n_workers, found in runs.items():
            found.append(run(dataset, n_workers))
    processor, tally = alone(dataset)
    one = statistics.median(found.per_s for found in quiet(runs[1]))
    pairs = list(zip(runs[1], runs[2], strict=True))
    still = [pair for pair in pairs if max(found.others for found in pair) < QUIET] or pairs
    return {
        "windows": len(windows),
        "real_windows": real,
        "states": n_states,
        "d_state": width,
        "state_source": "genolewm_encoder.cache.StateCache",
        "loader.tuples_per_s": one,
        "target_tuples_per_s": TARGET,
        "meets_target": one >= TARGET,
        "two_over_twice_one": spread([two.per_s / (2 * one.per_s) for one, two in still]),
        "workers": {str(n): figures(found) for n, found in runs.items()},
        "tuples_per_processor_s_without_workers": processor,
        "load": {"before": load_before, "after": os.getloadavg()[0]},
        "mix": realised_mix(tally),
        "tally": dict(sorted(tally.items())),
    }


def quiet(runs: list[Run]) -> list[Run]:
    """The runs beside which little else ran; all of them if there is none."""
    return [found for found in runs if found.others < QUIET] or runs


def figures(runs: list[Run]) -> dict[str, Any]:
    """Of all runs with a number of workers. Processor seconds are what a busy machine changes least."""
    return {
        "runs": len(runs),
        "quiet_runs": sum(found.others < QUIET for found in runs),
        "others_share": spread([found.others for found in quiet(runs)]),
        "tuples_per_s": spread([found.per_s for found in quiet(runs)]),
        "tuples_per_worker_processor_s": spread([1 / found.worker_s for found in runs]),
        "main_processor_us_per_tuple": spread([1e6 * found.main_s for found in runs]),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=2_048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=int, default=1_024)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    n = arguments.windows
    windows, variants = random_windows(n) if arguments.data is None else real_windows(n, arguments.data)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = measure(
            Path(folder),
            windows,
            variants,
            real=arguments.data is not None,
            width=arguments.width,
            repeats=arguments.repeats,
        )
    publish("loader", found)


if __name__ == "__main__":
    main()
