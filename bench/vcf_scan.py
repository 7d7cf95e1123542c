"""Peak memory and row rate of `geno-lewm score` on a large VCF, most of which the reference does not cover.

    python bench/vcf_scan.py --vcf VCF --reference FASTA

Scores the whole file and its first 10,000 records in separate processes on the embedded model and reports the
ratio of their peak memories; then times reading and accounting for the rows whose reference bases are N.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import publish

from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime.scoring import score_rows, shards_of
from genolewm_runtime.writers import write_shard


def head(vcf: Path, records: int, target: Path) -> None:
    """The header and the first records of a VCF."""
    with gzip.open(vcf, "rt") as source, target.open("w") as file:
        for line in source:
            if not line.startswith("#"):
                records -= 1
                if records < 0:
                    break
            file.write(line)


def peak_mb(vcf: Path, reference: Path, output: Path) -> tuple[float, float]:
    """Peak resident memory in MB and seconds of a run of the command."""
    command = [sys.executable, "-c", "from genolewm_core.umbrella import main; main()", "score"]
    command += ["--vcf", str(vcf), "--reference", str(reference), "--output", str(output), "--no-progress"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # 2 says that some rows failed, which this file's few odd REFs may.
    assert process.returncode in (0, 2), f"score ended with {process.returncode}"
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def skipped_rows_per_s(vcf: Path, reference: Path, folder: Path) -> tuple[float, int]:
    """Rows a second, from the file to written shards, over the rows whose reference is N."""
    opened = Reference(reference)
    options = PassOptions(geometry=Geometry())
    rows = [row for row in read_rows(vcf, opened) if row.reason == "reference_n"]
    wanted = {(row.row, row.allele) for row in rows}
    started = time.perf_counter()
    again = (row for row in read_rows(vcf, opened) if (row.row, row.allele) in wanted)
    done = 0
    no_model: Any = None  # rows without called reference bases never reach it
    for shard in shards_of(again, options.geometry):
        scored, _ = score_rows(shard.rows, opened, no_model, options, {})
        write_shard(folder / f"{shard.index}.parquet", scored, "{}")
        done += len(scored)
    seconds = time.perf_counter() - started
    assert done == len(rows)
    return done / seconds, done


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vcf", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        head(arguments.vcf, 10_000, folder / "head.vcf")
        small, small_s = peak_mb(folder / "head.vcf", arguments.reference, folder / "head.parquet")
        whole, whole_s = peak_mb(arguments.vcf, arguments.reference, folder / "whole.parquet")
        print(f"peak {small:.0f} MB on 10,000 records, {whole:.0f} MB on the whole file", flush=True)
        rate, rows = skipped_rows_per_s(arguments.vcf, arguments.reference, folder)
    publish(
        "vcf-scan",
        {
            "peak_mb_first_10000": small,
            "peak_mb_whole": whole,
            "peak_ratio": whole / small,
            "seconds_first_10000": small_s,
            "seconds_whole": whole_s,
            "skipped_rows": rows,
            "skipped_rows_per_s": rate,
            "peak_mb_of_this_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        },
    )


if __name__ == "__main__":
    main()
