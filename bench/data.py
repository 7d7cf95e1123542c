"""Rates of preparing training data, and of reading it.

    python bench/data.py --data DIR [--pairs N] [--only GROUP]

`prepare`: preparation of gnomAD and ClinVar shards is compared with pysam's bare iteration over the same file, in one
process and in up to two, and the most memory that one takes is measured. The files in DIR, real but small, are
repeated at rising positions until they are worth timing, and for the `_large` figures until they are long.

`loader`: training batches of a release of random windows, as `bench/loader.py` alone publishes them in full.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loader
import pysam
from harness import paired, publish

from genolewm_data.prepare.make import clinvar_shard, gnomad_shard
from genolewm_data.prepare.shard import ShardInfo

GNOMAD = "population/gnomAD_v2.1.1_exomes.PCSK9.GRCh37.vcf.gz"
CLINVAR = "clinvar/clinvar_2016-09.GRCh37.shared.vcf.gz"


def repeated(source: Path, copies: int, contigs: int, target: Path) -> Path:
    """A file with the records of another many times over, bgzip-compressed and indexed.

    Args:
        source: VCF.
        copies: how often each record comes in a contig, one stretch behind the other.
        contigs: on how many of GRCh37's first chromosomes; no contig lengths are declared for them.
        target: where to write it.
    """
    with gzip.open(source, "rt") as file:
        lines = list(file)
    header = [line for line in lines if line.startswith("#") and not line.startswith("##contig=")]
    records = [line.split("\t", 2)[1:] for line in lines if not line.startswith("#")]
    records.sort(key=lambda record: int(record[0]))
    first, last = int(records[0][0]), int(records[-1][0])
    with pysam.BGZFile(str(target), "w") as file:
        names = [str(number) for number in range(1, contigs + 1)]
        declared = ["##reference=GRCh37\n", *(f"##contig=<ID={name}>\n" for name in names)]
        file.write("".join([*header[:-1], *declared, header[-1]]).encode())
        for name in names:
            for copy in range(copies):
                moved = copy * (last - first + 1) - first + 1
                for pos, rest in records:
                    file.write(f"{name}\t{int(pos) + moved}\t{rest}".encode())
    pysam.tabix_index(str(target), preset="vcf", force=True)
    return target


def prepare_ratio(make: Callable[[Path], tuple[Path, ShardInfo]], vcf: Path, pairs: int) -> dict[str, Any]:
    """Time of pysam's bare iteration over a file, over the time of preparing its shard."""

    def bare() -> float:
        with pysam.VariantFile(str(vcf)) as file:
            return sum(1 for _ in file)

    def shard() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return make(Path(folder))[1].records

    def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            info = make(Path(folder))[1]
        assert info.records == bare(), "records were lost"
        assert sum(info.rows.values()) >= info.records, "rows were lost"
        assert info.rows["kept"] > 0, "nothing was kept"

    return paired(bare, shard, check=check, pairs=pairs).summary()


_PEAK = """
import sys
from pathlib import Path
from genolewm_data.prepare import make
getattr(make, sys.argv[1])([Path(sys.argv[2])], sys.argv[3], Path(sys.argv[4]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""


def peak_mb(maker: str, vcf: Path, release: str) -> float:
    """Most resident memory of a process that prepares a shard, in MB (Linux)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _PEAK, maker, str(vcf), release, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6


def prepare_figures(data: Path, pairs: int) -> dict[str, Any]:
    """`prepare.gnomad_ratio`, `prepare.clinvar_ratio` and their likes: `_2_jobs`, `_large`; `prepare.*_peak_mb`."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, copies in (("", ((10, 2), (1, 4))), ("_large", ((10, 6), (1, 12)))):
            gnomad = repeated(data / GNOMAD, *copies[0], folder / f"gnomad{size}.vcf.gz")
            clinvar = repeated(data / CLINVAR, *copies[1], folder / f"clinvar{size}.vcf.gz")
            for jobs, suffix in ((1, size), (2, f"{size}_2_jobs")):
                figures[f"prepare.gnomad_ratio{suffix}"] = prepare_ratio(
                    lambda output, jobs=jobs, vcf=gnomad: gnomad_shard([vcf], "v2.1.1", output, jobs=jobs),
                    gnomad,
                    pairs,
                )
                figures[f"prepare.clinvar_ratio{suffix}"] = prepare_ratio(
                    lambda output, jobs=jobs, vcf=clinvar: clinvar_shard(
                        [vcf], "2016-09-10", output, jobs=jobs
                    ),
                    clinvar,
                    pairs,
                )
            figures[f"prepare.gnomad_peak_mb{size}"] = peak_mb("gnomad_shard", gnomad, "v2.1.1")
            figures[f"prepare.clinvar_peak_mb{size}"] = peak_mb("clinvar_shard", clinvar, "2016-09-10")
    return figures


def loader_figures(_data: Path, pairs: int) -> dict[str, Any]:
    """`loader.tuples_per_s`, of one worker, and `loader.two_over_twice_one`."""
    with tempfile.TemporaryDirectory() as folder:
        found = loader.measure(Path(folder), *loader.random_windows(2_048), repeats=2 * pairs)
    return {
        "loader.tuples_per_s": found["loader.tuples_per_s"],
        "loader.two_over_twice_one": found["two_over_twice_one"],
        "loader.quiet_runs": {n: runs["quiet_runs"] for n, runs in found["workers"].items()},
    }


GROUPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "prepare": prepare_figures,
    "loader": loader_figures,
}
"""What is measured: a name, and a function of the folder with the real files and the number of pairs."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the real files")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=sorted(GROUPS), help="measure one group, and publish nothing")
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(GROUPS[arguments.only](arguments.data, arguments.pairs), sort_keys=True, indent=2))
        return
    figures: dict[str, Any] = {}
    for measure in GROUPS.values():
        figures |= measure(arguments.data, arguments.pairs)
    publish("data", figures)


if __name__ == "__main__":
    main()
