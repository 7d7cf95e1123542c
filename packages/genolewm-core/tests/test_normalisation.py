"""`bcftools norm -m -any -f` splits and spells every allele that can be scored as our rows do."""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row, read_rows

FILES = {
    "clinvar": 41_000,
    "personal": 7_000,
    "population": 50_000,
    "species": 40_000,
}
"""Folder of the shared data, and fewest alleles of it that are compared."""


def compared(rows: list[Row], fasta: Path, folder: Path, bcftools: str) -> int:
    """Write the scorable alleles as records again, let bcftools norm split and spell them, and compare.

    Only alleles that we do not score are left out of their records; the others stay together, as given.
    """
    mine: Counter[tuple[int, str, int, str, str]] = Counter()
    lines = []
    for number, group in itertools.groupby(rows, key=lambda row: row.row):
        alleles = [row for row in group if row.variant is not None and row.status == "scorable"]
        if not alleles:
            continue
        first = alleles[0]
        alts = ",".join(row.alt for row in alleles)
        lines.append(f"{first.contig}\t{first.pos}\t{number}\t{first.ref}\t{alts}\t.\t.\t.\n")
        mine.update(
            (number, v.chrom, v.pos, v.ref, v.alt) for v in (row.variant for row in alleles) if v is not None
        )
    names = dict.fromkeys(line.split("\t", 1)[0] for line in lines)
    header = "".join(f"##contig=<ID={name}>\n" for name in names)
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path = folder / "rows.vcf"
    path.write_text(f"##fileformat=VCFv4.2\n{header}{columns}{''.join(lines)}")
    done = subprocess.run(
        [bcftools, "norm", "-m", "-any", "-f", str(fasta), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs: Counter[tuple[int, str, int, str, str]] = Counter()
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            chrom, pos, number_text, ref, alt = line.split("\t", 5)[:5]
            theirs[int(number_text), chrom, int(pos), ref, alt] += 1
    assert mine == theirs
    return mine.total()


def in_reference(path: Path, data: Path, assembly: str, folder: Path, bcftools: str) -> Path:
    """The records of a large file that lie in called stretches of the reference, found through its index."""
    regions = data / "reference" / f"{assembly}.shared.regions.bed"
    target = folder / "in_reference.vcf"
    arguments = ["view", "--drop-genotypes", "-R", str(regions), "-o", str(target), str(path)]
    subprocess.run([bcftools, *arguments], capture_output=True, check=True)
    return target


@pytest.mark.parametrize("name", FILES)
def test_every_real_allele_in_the_reference(
    shared_data: Path, tmp_path: Path, bcftools: str, name: str
) -> None:
    total = 0
    for path in sorted((shared_data / name).glob("*.vcf.gz")):
        assembly = "GRCh38" if "GRCh38" in path.name else "GRCh37"
        fasta = shared_data / "reference" / f"{assembly}.shared.fa.gz"
        if name == "species":
            fasta = shared_data / "species" / "sacCer3.fa.gz"
        if name == "personal":
            path = in_reference(path, shared_data, assembly, tmp_path, bcftools)
        total += compared(list(read_rows(path, Reference(fasta))), fasta, tmp_path, bcftools)
    assert total >= FILES[name]


_REPEATS = st.lists(
    st.tuples(st.text("ACGT", min_size=1, max_size=4), st.integers(1, 8)), min_size=2, max_size=6
).map(lambda units: "".join(unit * times for unit, times in units))


@st.composite
def _records(draw: st.DrawFn) -> tuple[str, list[tuple[int, str, list[str]]]]:
    """A reference full of repeats, and records on it with one to three alternate alleles, not normalised."""
    bases = draw(_REPEATS.filter(lambda text: len(text) >= 4))
    records = []
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(bases) - 1))
        end = draw(st.integers(start + 1, min(len(bases), start + 8)))
        ref = bases[start:end]
        alts = []
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(ref)))
            cut = draw(st.integers(at, len(ref)))
            alts.append(ref[:at] + draw(st.text("ACGT", max_size=4)) + ref[cut:])
        kept = list(dict.fromkeys(alt for alt in alts if alt not in ("", ref)))
        if kept:
            records.append((start + 1, ref, kept))
    return bases, records


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_records())
def test_generated_alleles(
    tmp_path: Path, bcftools: str, made: tuple[str, list[tuple[int, str, list[str]]]]
) -> None:
    bases, records = made
    fasta, vcf = tmp_path / "ref.fa", tmp_path / "in.vcf"
    for old in tmp_path.glob("ref.fa*"):
        old.unlink()
    fasta.write_text(f">c\n{bases}\n")
    body = "".join(f"c\t{pos}\t.\t{ref}\t{','.join(alts)}\t.\t.\t.\n" for pos, ref, alts in records)
    vcf.write_text(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{body}")
    with Reference(fasta) as reference:
        rows = list(read_rows(vcf, reference))
    assert len(rows) == sum(len(alts) for _, _, alts in records)
    assert {row.status for row in rows} <= {"scorable"}
    if rows:
        compared(rows, fasta, tmp_path, bcftools)
