"""Share of `score` that is not the network's forward pass, on 10,000 variants of people.

    python bench/profile_score.py --data DATA

The workload: every scorable record of NA12878 on chromosomes 20 and 21 (GRCh38) and of HG02102 on chromosome
21 (GRCh37), filled up to 10,000 with people drawn from the 1000 Genomes sites of 20:1-2 Mb, each site carried
with the probability that its allele frequency gives. A run per person, as a user would do it: survey, reading,
normalising, planning, scoring, writing, publishing, receipt. Loading the model is reported beside it.

"Inside" is the time within ONNX Runtime's `session.run` and nothing else; making masks, copying arrays and
collecting rows is outside. Wall time compares the two as the user waits for them; processor time counts all
threads. Before a time is reported, every record of the workload must have come back scored.
"""

from __future__ import annotations

import argparse
import cProfile
import gzip
import pstats
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import publish

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows
from genolewm_runtime.models import embedded_model
from genolewm_runtime.onnx_backend import load
from genolewm_runtime.run import VcfRun, run_vcf
from genolewm_runtime.runtime import options_of

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
LIMIT = 0.10


@dataclass
class Clock:
    """Seconds inside `session.run`, on the wall and on the processor."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    calls: int = 0


@dataclass
class TimedSession:
    """An inference session that adds up the time of its runs."""

    session: Any
    clock: Clock = field(default_factory=Clock)

    def run_with_ort_values(self, *arguments: Any) -> Any:
        """The session's own call, timed."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = self.session.run_with_ort_values(*arguments)
        self.clock.wall_s += time.perf_counter() - wall
        self.clock.cpu_s += time.process_time() - cpu
        self.clock.calls += 1
        return found


@dataclass(frozen=True)
class Person:
    """One run of the workload."""

    name: str
    vcf: Path
    reference: Path
    variants: int


def scorable(vcf: Path, reference: Path) -> Iterator[tuple[str, int, str, str]]:
    """Records with one alternate allele that can be scored, sorted as in the file."""
    for row in read_rows(vcf, Reference(reference)):
        if row.status == "scorable":
            yield row.chrom, row.pos, row.ref, row.alt


def carried(vcf: Path, reference: Path, rng: np.random.Generator) -> Iterator[tuple[str, int, str, str]]:
    """Scorable records of a person drawn from a list of sites with allele frequencies."""
    with gzip.open(vcf, "rt") as file:
        columns = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    af = {(c[0], int(c[1]), c[3], c[4]): _af(c[7]) for c in columns}
    for record in scorable(vcf, reference):
        frequency = af.get(record)  # None where a record has several alternates
        if frequency is not None and rng.random() < 1 - (1 - frequency) ** 2:
            yield record


def _af(info: str) -> float | None:
    text = next((part[3:] for part in info.split(";") if part.startswith("AF=")), "")
    return float(text) if text and "," not in text else None


def people(data: Path, folder: Path, wanted: int) -> list[Person]:
    """Files of exactly `wanted` scorable records in all."""
    grch37, grch38 = (data / f"reference/{name}.shared.fa.gz" for name in ("GRCh37", "GRCh38"))
    sites = data / "population/1000G_phase3.chr20_1-2Mb.sites.GRCh37.vcf.gz"
    rng = np.random.default_rng(0)
    found: list[Person] = []

    def add(name: str, reference: Path, records: Iterator[tuple[str, int, str, str]]) -> None:
        left = wanted - sum(person.variants for person in found)
        held = [record for record, _ in zip(records, range(left), strict=False)]
        if held:
            path = folder / f"{name}.vcf"
            path.write_text(
                HEADER + "".join(f"{c}\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for c, p, ref, alt in held)
            )
            found.append(Person(name, path, reference, len(held)))

    personal = data / "personal"
    na12878 = personal / "NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz"
    add("NA12878", grch38, scorable(na12878, grch38))
    add("HG02102", grch37, scorable(personal / "HG02102.chr21.1000G_phase3.GRCh37.vcf.gz", grch37))
    while sum(person.variants for person in found) < wanted:
        add(f"drawn-{len(found)}", grch37, carried(sites, grch37, rng))
    return found


def score(person: Person, folder: Path, model: ModelDirectory, backend: Any) -> int:
    """One run; returns its tokens."""
    run = VcfRun(
        vcf=person.vcf,
        reference=person.reference,
        output=folder / f"{person.name}.parquet",
        model=model.path,
        options=options_of(model.manifest.contract),
        backend="onnx",
        fresh=True,
    )
    summary = run_vcf(run, loaded=backend)
    assert summary.rows("scored") == person.variants, (person.name, summary.counts)
    return summary.n_tok


def head(person: Person, folder: Path, records: int) -> Person:
    """The first records of a person's file."""
    lines = person.vcf.read_text().splitlines(keepends=True)
    path = folder / "head.vcf"
    path.write_text("".join(lines[: HEADER.count("\n") + records]))
    return Person("head", path, person.reference, records)


def where_the_rest_goes(
    person: Person, folder: Path, model: ModelDirectory, backend: Any
) -> dict[str, float]:
    """Seconds of own time by file outside `session.run`, from a profiled run, and the largest functions."""
    profile = cProfile.Profile()
    profile.runcall(score, person, folder, model, backend)
    by_file: dict[str, float] = defaultdict(float)
    stats: Any = pstats.Stats(profile)
    largest = []
    for (path, line, name), (_, calls, own, _, _) in stats.stats.items():
        if "run_with_ort_values" in name:
            continue
        file = Path(path).name if "/" in path else "built-in"
        by_file[file] += own
        largest.append((own, calls, f"{file}:{line} {name}"))
    for own, calls, name in sorted(largest, reverse=True)[:25]:
        print(f"{own:8.2f} s {calls:9,d} calls  {name}")
    return dict(sorted(by_file.items(), key=lambda item: -item[1])[:12])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with reference/ and personal/")
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--threads", type=int, help="compute threads; default: the library's choice")
    parser.add_argument("--profile", action="store_true", help="also profile a run of 300 variants")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = people(arguments.data, folder, arguments.variants)
        model = ModelDirectory.open(embedded_model())
        started = time.perf_counter()
        backend: Any = load(model, threads=arguments.threads)
        loading_s = time.perf_counter() - started
        timed = TimedSession(backend._session)
        backend._session = timed
        short = head(work[-1], folder, min(300, work[-1].variants))
        score(short, folder, model, backend)
        timed.clock = clock = Clock()
        wall, cpu = time.perf_counter(), time.process_time()
        n_tok = 0
        rows = []
        for person in work:
            begun, inside = time.perf_counter(), clock.wall_s
            n_tok += score(person, folder, model, backend)
            seconds = time.perf_counter() - begun
            share = 1 - (clock.wall_s - inside) / seconds
            rows.append({"name": person.name, "variants": person.variants, "outside_wall_share": share})
            print(f"{person.name:10s} {person.variants:6,d} variants  outside {share:6.1%}", flush=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        timed.clock = Clock()
        rest = where_the_rest_goes(short, folder, model, backend) if arguments.profile else {}
    outside_wall, outside_cpu = 1 - clock.wall_s / wall, 1 - clock.cpu_s / cpu
    print(f"{'':22s}{'wall s':>9s}{'cpu s':>9s}")
    print(f"{'inside session.run':22s}{clock.wall_s:9.1f}{clock.cpu_s:9.1f}")
    print(f"{'outside':22s}{wall - clock.wall_s:9.1f}{cpu - clock.cpu_s:9.1f}")
    print(f"{'share outside':22s}{outside_wall:9.1%}{outside_cpu:9.1%}  limit {LIMIT:.0%}")
    publish(
        "profile-score",
        {
            "variants": sum(person.variants for person in work),
            "people": rows,
            "tokens": n_tok,
            "session_runs": clock.calls,
            "loading_s": loading_s,
            "wall_s": wall,
            "cpu_s": cpu,
            "outside_wall_share": outside_wall,
            "outside_cpu_share": outside_cpu,
            "limit": LIMIT,
            "own_seconds_outside_by_file": rest,
        },
    )


if __name__ == "__main__":
    main()
