"""The pass before scoring: counts, order, and a stop when VCF and reference do not belong together."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.survey import Survey, survey
from genolewm_core.genome.vcf import read_rows

BASES = "".join(random.Random(8).choices("ACGT", k=1_000)) + "N" * 100
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    path = tmp_path / "ref.fa"
    path.write_text(f">chr1\n{BASES}\n>chr2\n{BASES}\n")
    return Reference(path)


def vcf(tmp_path: Path, records: list[tuple[str, int, str, str]], header: str = "") -> Path:
    path = tmp_path / "in.vcf"
    body = "".join(f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for chrom, pos, ref, alt in records)
    path.write_text(f"##fileformat=VCFv4.2\n{header}{COLUMNS}{body}")
    return path


def snvs(count: int, wrong: int, chrom: str = "chr1") -> list[tuple[str, int, str, str]]:
    """Records of which the first `wrong` have another REF than the reference."""
    bases = [(BASES[i], OTHER[BASES[i]]) for i in range(count)]
    return [(chrom, i + 1, b if i < wrong else a, a if i < wrong else b) for i, (a, b) in enumerate(bases)]


def test_counts(reference: Reference, tmp_path: Path) -> None:
    records = [
        ("chr1", 1, BASES[0], "<DEL>,*"),
        ("chr1", 2, BASES[1], "."),
        ("chr1", 1_050, "A", "C"),
        ("chr1", 5_000, "A", "C"),
        ("2", 3, OTHER[BASES[2]], BASES[2] + ",N,A"),
        ("un", 3, "A", "C"),
    ]
    path = vcf(tmp_path, records)
    found = survey(path, reference)
    assert found == Survey(
        records=6,
        rows=9,
        checked=3,
        mismatched=1,
        rows_matched=3,
        outcomes={
            "reference_n": 1,
            "position_outside_contig": 1,
            "ref_mismatch": 1,
            "contig_not_in_reference": 1,
        },
        contigs_seen=("chr1", "2", "un"),
        contigs_matched=("chr1", "chr2"),
        sorted=True,
        vcf_assembly=None,
        reference_assembly=None,
    )
    assert found.rows == len(list(read_rows(path, reference)))


@pytest.mark.parametrize(
    ("places", "in_order"),
    [
        ([("chr1", 5), ("chr1", 5), ("chr1", 9), ("chr2", 1)], True),
        ([("chr2", 5), ("chr1", 1)], True),
        ([("chr1", 9), ("chr1", 5)], False),
        ([("chr1", 5), ("chr2", 5), ("chr1", 9)], False),
        ([], True),
    ],
)
def test_order(reference: Reference, tmp_path: Path, places: list[tuple[str, int]], in_order: bool) -> None:
    path = vcf(tmp_path, [(chrom, pos, BASES[pos - 1], "A") for chrom, pos in places])
    assert survey(path, reference).sorted is in_order


@pytest.mark.parametrize(
    ("checked", "wrong", "stops"),
    [(49, 49, False), (50, 1, False), (50, 2, True), (100, 2, False), (100, 3, True), (1_000, 20, False)],
)
def test_two_percent_of_fifty(
    reference: Reference, tmp_path: Path, checked: int, wrong: int, stops: bool
) -> None:
    path = vcf(tmp_path, snvs(checked, wrong))
    if not stops:
        assert survey(path, reference).mismatched == wrong
        return
    with pytest.raises(InputError) as caught:
        survey(path, reference)
    assert caught.value.code == "reference-mismatch"
    assert f"{wrong} of {checked}" in str(caught.value)
    result = caught.value.details["survey"]
    assert isinstance(result, Survey)
    assert (result.checked, result.mismatched) == (checked, wrong)


def test_only_called_bases_count(reference: Reference, tmp_path: Path) -> None:
    uncalled = [("chr1", 1_001 + i, "A", "C") for i in range(90)] + [("un", 1, "A", "C")] * 90
    assert survey(vcf(tmp_path, uncalled), reference).checked == 0


def test_no_contig_matches(reference: Reference, tmp_path: Path) -> None:
    header = "##contig=<ID=NC_000001.11,length=248956422>\n"
    records = [("NC_000001.11", 1, "A", "C"), ("NC_000002.12", 1, "A", "C")]
    with pytest.raises(InputError, match="none of the VCF's contigs") as caught:
        survey(vcf(tmp_path, records, header), reference)
    error = caught.value
    assert error.code == "reference-mismatch"
    for text in ("'chr1'", "'NC_000001'", "GRCh38", "in.vcf", "ref.fa"):
        assert text in str(error)
    assert survey(vcf(tmp_path, []), reference).records == 0


@pytest.mark.parametrize(
    ("header", "assembly"),
    [
        ("", None),
        ("##reference=file:///data/hg19.fa\n", "GRCh37"),
        ("##reference=GRCh38_full_analysis_set\n", "GRCh38"),
        ("##reference=GRCh38\n##reference=hg19\n", None),
        # Lengths before text: the header was copied, the lengths are the file's.
        ("##reference=hg19\n##contig=<ID=1,length=248956422>\n", "GRCh38"),
    ],
)
def test_assembly_of_the_header(
    reference: Reference, tmp_path: Path, header: str, assembly: str | None
) -> None:
    assert survey(vcf(tmp_path, snvs(3, 0), header), reference).vcf_assembly == assembly


def test_real_file_against_its_own_and_the_other_assembly(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "personal" / "NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz"
    found = survey(path, Reference(shared_data / "reference" / "GRCh38.shared.fa.gz"))
    assert (found.records, found.checked, found.mismatched, found.sorted) == (148_242, 5_003, 0, True)
    assert found.outcomes == {"reference_n": 143_239}
    assert (found.vcf_assembly, found.reference_assembly) == ("GRCh38", "GRCh38")
    with pytest.raises(InputError) as caught:
        survey(path, Reference(shared_data / "reference" / "GRCh37.shared.fa.gz"))
    assert caught.value.code == "reference-mismatch"
    assert "GRCh37" in str(caught.value)
    assert "GRCh38" in str(caught.value)
