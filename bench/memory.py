"""Peak memory of `geno-lewm score` from a thousand to a million records.

    python bench/memory.py
    python bench/memory.py --formats jsonl vcf.gz

The figure is the slope of the least-squares line of ln(peak resident memory) on ln(records), which is 0 when
memory does not grow; the limit is 0 ± 0.02, that is 15 % over the three decades.

Each block of 8,192 records, about a shard, has 8 that are scored on the embedded model; the others lie where the
reference is N. So all of them are read, normalised, sharded, written and published, and every shard runs the
network, without the days that a million scores would take. Every size is a process of its own, which loads the
model like any run. A time or a peak is reported only when the output holds every row with its outcome.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from harness import publish

from genolewm_core.genome.reference import Reference

BLOCK_ROWS = 8_192
SCORED_PER_BLOCK = 8
BASES_BP = 12_288
LIMIT = 0.02
SLICE = ("chr21", 25_100_000)


def write_reference(path: Path, records: int) -> str:
    """A contig of alternating N and real bases, a pair per block; returns the bases."""
    demo = Reference(Path(str(files("genolewm_mini"))) / "demo" / "reference.fa.gz")
    bases = demo.fetch(SLICE[0], SLICE[1], SLICE[1] + BASES_BP)
    blocks = -(-records // BLOCK_ROWS)
    with path.open("w") as file:
        file.write(">chr1\n")
        for _ in range(blocks):
            file.write(
                "N" * BLOCK_ROWS
                + "\n"
                + bases[:BLOCK_ROWS]
                + "\n"
                + bases[BLOCK_ROWS:].ljust(BLOCK_ROWS, "N")
                + "\n"
            )
    return bases


def write_vcf(path: Path, records: int, bases: str) -> int:
    """Sorted records; returns how many of them can be scored."""
    scorable = 0
    block_bp = 3 * BLOCK_ROWS
    with path.open("w") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for first in range(0, records, BLOCK_ROWS):
            start = first // BLOCK_ROWS * block_bp
            rows = min(BLOCK_ROWS, records - first)
            for i in range(rows - SCORED_PER_BLOCK):
                file.write(f"chr1\t{start + i + 1}\t.\tA\tC\t.\t.\t.\n")
            for i in range(SCORED_PER_BLOCK):
                place = 6_000 + 37 * i
                ref = bases[place]
                alt = "ACGT"[("ACGT".index(ref) + 1) % 4]
                file.write(f"chr1\t{start + BLOCK_ROWS + place + 1}\t.\t{ref}\t{alt}\t.\t.\t.\n")
                scorable += 1
    return scorable


def peak_mb(vcf: Path, reference: Path, output: Path) -> tuple[float, float]:
    """Peak resident memory in MB, and seconds, of a run of the command."""
    command = [sys.executable, "-c", "from genolewm_core.umbrella import main; main()", "score"]
    command += ["--vcf", str(vcf), "--reference", str(reference), "--output", str(output), "--no-progress"]
    started = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        told = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def slope(records: list[int], peaks: list[float]) -> float:
    """Of ln(peak) on ln(records)."""
    return float(np.polyfit(np.log(records), np.log(peaks), 1)[0])


def measure(ending: str, sizes: list[int], reference: Path, bases: str, folder: Path) -> dict[str, Any]:
    """Peaks of one output format."""
    found: list[dict[str, Any]] = []
    for records in sizes:
        vcf, output = folder / f"{records}.vcf", folder / f"{records}.{ending}"
        scored = write_vcf(vcf, records, bases)
        peak, seconds = peak_mb(vcf, reference, output)
        receipt = json.loads(output.with_name(f"{output.name}.receipt.json").read_text())
        assert receipt["rows"] == {"scored": scored, "skipped": records - scored}, receipt["rows"]
        found.append({"records": records, "scored": scored, "peak_mb": peak, "seconds": seconds})
        print(
            f"{ending:8s} {records:9,d} records {scored:5,d} scored {peak:8.1f} MB {seconds:8.1f} s",
            flush=True,
        )
        for path in folder.glob(f"{records}.*"):
            path.unlink()
    return {"runs": found, "slope": slope(sizes, [run["peak_mb"] for run in found])}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--formats", nargs="+", default=["parquet", "tsv"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = folder / "reference.fa"
        bases = write_reference(reference, max(arguments.sizes))
        results = {
            ending: measure(ending, arguments.sizes, reference, bases, folder) for ending in arguments.formats
        }
    for ending, result in results.items():
        print(f"{ending:8s} slope {result['slope']:+.4f}  limit ±{LIMIT}")
    publish("memory", {"formats": results, "limit": LIMIT})


if __name__ == "__main__":
    main()
