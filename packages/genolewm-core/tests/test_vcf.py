"""Every record and alternate allele comes back as one row with its outcome."""

from __future__ import annotations

import itertools
import pickle
import random
import subprocess
from collections import Counter
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_core.genome.vcf import FAILED_REASONS, SKIPPED_REASONS, SV_MIN_LEN, Row, read_rows, row_of

BASES = "GATTACAACA" + "cacacgtNNN" + "NRCATGAAAA" + "ACTGGGGGGT" + "CATC"
LONG = "".join(random.Random(5).choices("ACGT", k=2_000))
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture(scope="module", params=["plain", "bgzip"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    path = tmp_path_factory.mktemp("reference") / "ref.fa"
    path.write_text(f">chr1\n{BASES}\n>chrM\n{'ACGT' * 20}\n>chr2\n{LONG}\n")
    if request.param == "bgzip":
        pysam.tabix_compress(str(path), f"{path}.gz")
        path = Path(f"{path}.gz")
    return Reference(path)


def rows_of(reference: Reference, tmp_path: Path, *lines: str, header: str = "") -> list[Row]:
    path = tmp_path / "in.vcf"
    body = "".join("\t".join([*line.split(), *"..."]) + "\n" for line in lines)
    path.write_text(f"##fileformat=VCFv4.2\n{header}{COLUMNS}{body}")
    return list(read_rows(path, reference))


@pytest.mark.parametrize(
    ("line", "variant", "replacement", "edit_class"),
    [
        ("chr1 1 . G A", Variant("chr1", 1, "G", "A"), Replacement(0, 1, "A"), "substitution"),
        ("1 1 . G A", Variant("chr1", 1, "G", "A"), Replacement(0, 1, "A"), "substitution"),
        ("chr1 1 . g a", Variant("chr1", 1, "G", "A"), Replacement(0, 1, "A"), "substitution"),
        ("chr1 12 . A t", Variant("chr1", 12, "A", "T"), Replacement(11, 12, "T"), "substitution"),
        ("chr1 2 . ATT ACT", Variant("chr1", 3, "T", "C"), Replacement(2, 3, "C"), "substitution"),
        ("chr1 2 . ATT GTC", Variant("chr1", 2, "ATT", "GTC"), Replacement(1, 4, "GTC"), "substitution"),
        # The five A of 27 to 31: one less is written at the G before them and shows at the fifth.
        ("chr1 28 . AA A", Variant("chr1", 26, "GA", "G"), Replacement(30, 31, ""), "indel_out_of_phase"),
        ("chr1 26 . G GA", Variant("chr1", 26, "G", "GA"), Replacement(31, 31, "A"), "indel_out_of_phase"),
        # All six G of 34 to 39; six T behind the last base.
        (
            "chr1 34 . GGGGGGT T",
            Variant("chr1", 33, "TGGGGGG", "T"),
            Replacement(33, 39, ""),
            "indel_in_phase",
        ),
        (
            "chr1 44 . C CTTTTTT",
            Variant("chr1", 44, "C", "CTTTTTT"),
            Replacement(44, 44, "TTTTTT"),
            "indel_in_phase",
        ),
        ("chr1 1 . GA A", Variant("chr1", 1, "GA", "A"), Replacement(0, 1, ""), "indel_out_of_phase"),
        ("chr1 1 . G CCG", Variant("chr1", 1, "G", "CCG"), Replacement(0, 0, "CC"), "indel_out_of_phase"),
        ("chr1 3 . TTA C", Variant("chr1", 3, "TTA", "C"), Replacement(2, 5, "C"), "indel_out_of_phase"),
    ],
)
def test_scorable(
    reference: Reference,
    tmp_path: Path,
    line: str,
    variant: Variant,
    replacement: Replacement,
    edit_class: str,
) -> None:
    (row,) = rows_of(reference, tmp_path, line)
    chrom, pos, _, ref, alt = line.split()
    assert row == Row(
        *(1, 1, chrom, int(pos), ref, alt, "scorable", None, "chr1", variant, replacement, edit_class)
    )
    assert row_of(chrom, int(pos), ref, alt, reference) == row


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("chr1 1 . G .", "no_alternate"),
        ("chr1 1 . G <NON_REF>", "no_alternate"),
        ("chr1 1 . G <*>", "no_alternate"),
        ("chr1 1 . G <DEL>", "symbolic_allele"),
        ("chr1 1 . G <INS:ME:ALU>", "symbolic_allele"),
        ("chr1 1 . G C<ctg1>", "symbolic_allele"),
        ("chr1 1 . G G]chr2:5]", "breakend"),
        ("chr1 1 . G [chr2:5[G", "breakend"),
        ("chr1 1 . G G.", "breakend"),
        ("chr1 1 . G .G", "breakend"),
        ("chr1 1 . G *", "spanning_deletion"),
        ("chr1 1 . G R", "iupac_allele"),
        ("chr1 1 . G N", "iupac_allele"),
        ("chr1 1 . G GN", "iupac_allele"),
        ("chr1 1 . N A", "iupac_allele"),
        ("chr1 1 . S A", "iupac_allele"),
        ("chr1 1 . . A", "allele_malformed"),
        ("chr1 1 . G,A A", "allele_malformed"),
        ("chr1 1 . <DEL> A", "allele_malformed"),
        ("chr1 1 . G ß", "allele_malformed"),
        ("chr1 1 . ß G", "allele_malformed"),
        ("chr1 1 . G C>T", "allele_malformed"),
        ("chr1 1 . G -", "allele_malformed"),
        ("chr1 18 . G 0", "allele_malformed"),
        ("chr1 1 . G <odd[name].>", "symbolic_allele"),
        ("chr1 1 . G G[<ctg1>:7[", "breakend"),
        ("chr3 1 . G A", "contig_not_in_reference"),
        ("MT 1 . A C", "contig_not_in_reference"),
        ("chr1 18 . N A", "reference_n"),
        ("chr1 18 . A C", "reference_n"),
        ("chr1 22 . A C", "reference_n"),
        ("chr1 17 . TNA T", "reference_n"),
        ("chr1 1 . A G", "ref_mismatch"),
        ("chr1 17 . CN C", "ref_mismatch"),
        ("chr1 1 . GNC G", "ref_mismatch"),
        ("chr1 0 . G A", "position_outside_contig"),
        ("chr1 46 . C A", "position_outside_contig"),
        ("chr1 44 . CC C", "position_outside_contig"),
        ("chr1 999999999999999999 . C A", "position_outside_contig"),
    ],
)
def test_not_scorable(reference: Reference, tmp_path: Path, line: str, reason: str) -> None:
    (row,) = rows_of(reference, tmp_path, line)
    chrom, pos, _, ref, alt = line.split()
    status = "skipped" if reason in SKIPPED_REASONS else "failed"
    contig = "chr1" if chrom == "chr1" else None
    assert row == Row(1, 0 if alt == "." else 1, chrom, int(pos), ref, alt, status, reason, contig)
    assert row_of(chrom, int(pos), ref, alt, reference) == row


def test_identity(reference: Reference, tmp_path: Path) -> None:
    rows = rows_of(reference, tmp_path, "chr1 2 . A A", "chr1 2 . ATT att", "chr1 2 . G G", "chr1 18 . N N")
    assert [(row.status, row.reason) for row in rows] == [
        *(("identity", None), ("identity", None), ("failed", "ref_mismatch"), ("skipped", "iupac_allele"))
    ]
    assert rows[1].variant == Variant("chr1", 2, "ATT", "ATT")
    assert rows[1].replacement is rows[1].edit_class is None


@pytest.mark.parametrize("extra", [0, 1])
def test_structural_length_is_counted_after_trimming(
    reference: Reference, tmp_path: Path, extra: int
) -> None:
    size = SV_MIN_LEN - 1 + extra
    other = LONG[110 : 110 + size].translate(str.maketrans("ACGT", "TGCA"))
    lines = [
        f"chr2 100 . {LONG[99 : 100 + size]} {LONG[99]}",
        f"chr2 100 . {LONG[99]} {LONG[99] + 'A' * size}",
        f"chr2 111 . {LONG[110 : 110 + size]} {other}",
        # A hundred bases of context around one changed base are no length.
        f"chr2 100 . {LONG[99:300]} {LONG[99:199] + ('A' if LONG[199] != 'A' else 'C') + LONG[200:300]}",
    ]
    rows = rows_of(reference, tmp_path, *lines)
    expected = ["allele_too_long"] * 3 if extra else [None] * 3
    assert [row.reason for row in rows] == [*expected, None]
    assert rows[3].replacement is not None
    assert (rows[3].replacement.start, rows[3].replacement.ref_len) == (199, 1)
    assert {row.status for row in rows} == ({"skipped", "scorable"} if extra else {"scorable"})


def test_one_row_per_alternate_allele(reference: Reference, tmp_path: Path) -> None:
    rows = rows_of(
        reference, tmp_path, "chr1 1 . G A,<NON_REF>,*,GA,G,.,", "chr1 2 . A .", "chr1 1 . G <*>,<NON_REF>"
    )
    assert [(row.row, row.allele, row.alt, row.status, row.reason) for row in rows] == [
        (1, 1, "A", "scorable", None),
        (1, 2, "<NON_REF>", "skipped", "unspecified_allele"),
        (1, 3, "*", "skipped", "spanning_deletion"),
        (1, 4, "GA", "scorable", None),
        (1, 5, "G", "identity", None),
        (1, 6, ".", "skipped", "no_alternate"),
        (1, 7, ".", "failed", "allele_malformed"),
        (2, 0, ".", "skipped", "no_alternate"),
        (3, 1, "<*>", "skipped", "no_alternate"),
        (3, 2, "<NON_REF>", "skipped", "no_alternate"),
    ]


def test_an_allele_is_judged_before_its_place(reference: Reference, tmp_path: Path) -> None:
    rows = rows_of(reference, tmp_path, "chr9 1 . G <DEL>", "chr1 0 . G *", "chr1 1 . T A,<DEL>")
    assert [row.reason for row in rows] == [
        *("symbolic_allele", "spanning_deletion", "ref_mismatch", "symbolic_allele")
    ]


def test_declared_lengths_decide_about_mitochondria(reference: Reference, tmp_path: Path) -> None:
    right, wrong = "##contig=<ID=MT,length=80>\n", "##contig=<ID=chrM,length=16571>\n"
    assert rows_of(reference, tmp_path, "MT 1 . A C", header=right)[0].contig == "chrM"
    assert rows_of(reference, tmp_path, "chrM 1 . A C", header=wrong)[0].reason == "contig_not_in_reference"


def test_every_reason_has_a_test_and_rows_are_values(reference: Reference, tmp_path: Path) -> None:
    marks = test_not_scorable.pytestmark[0].args[1]
    elsewhere = {"unspecified_allele", "allele_too_long"}
    assert {reason for _, reason in marks} | elsewhere == SKIPPED_REASONS.keys() | FAILED_REASONS.keys()
    assert not SKIPPED_REASONS.keys() & FAILED_REASONS.keys()
    (row,) = rows_of(reference, tmp_path, "chr1 1 . G A")
    assert pickle.loads(pickle.dumps(row)) == row
    with pytest.raises(AttributeError):
        row.status = "failed"  # type: ignore[misc]


_ALLELE = st.text("ACGTacgtN", max_size=6) | st.sampled_from(
    ["*", ".", "<DEL>", "<*>", "<NON_REF>", "G[1:1[", "R"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["chr1", "1", "chr2", "x", "chrM"]),
            st.integers(0, 60),
            _ALLELE,
            st.lists(_ALLELE, min_size=1, max_size=3),
        ),
        max_size=8,
    )
)
def test_every_row_is_accounted_for(
    reference: Reference, tmp_path: Path, records: list[tuple[str, int, str, list[str]]]
) -> None:
    path = tmp_path / "in.vcf"
    body = "".join(f"{c}\t{p}\t.\t{r}\t{','.join(alts)}\t.\t.\t.\n" for c, p, r, alts in records)
    path.write_text("##fileformat=VCFv4.2\n" + COLUMNS + body)
    rows = list(read_rows(path, reference))
    expected = [(n, c, p, r, alt) for n, (c, p, r, alts) in enumerate(records, 1) for alt in alts]
    assert [(row.row, row.chrom, row.pos, row.ref) for row in rows] == [item[:4] for item in expected]
    assert [row.alt for row in rows] == [alt or "." for *_, alt in expected]
    for row in rows:
        scorable = row.status == "scorable"
        assert (row.replacement is not None) == (row.edit_class is not None) == scorable
        assert (row.variant is not None) == (row.status in ("scorable", "identity"))
        assert (row.reason in SKIPPED_REASONS) == (row.status == "skipped")
        assert (row.reason in FAILED_REASONS) == (row.status == "failed")
        if row.variant is not None and row.contig is not None:
            found = reference.fetch(row.contig, row.variant.start, row.variant.end)
            assert found == row.variant.ref


COVERED = {
    "personal/NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz": (148_242, 5_003),
    "personal/HG02102.chr21.1000G_phase3.GRCh37.vcf.gz": (60_694, 2_416),
    "clinvar/clinvar_2016-09.GRCh37.shared.vcf.gz": (75_908, 41_852),
    "population/1000G_phase3.BRCA1.2504samples.phased.GRCh37.vcf.gz": (2_052, 2_052),
}


@pytest.mark.parametrize("file", COVERED)
def test_real_files(shared_data: Path, file: str) -> None:
    assembly = "GRCh38" if "GRCh38" in file else "GRCh37"
    reference = Reference(shared_data / "reference" / f"{assembly}.shared.fa.gz")
    records, covered, reasons = set(), set(), Counter()
    for row in read_rows(shared_data / file, reference):
        records.add(row.row)
        reasons[row.reason] += 1
        if row.reason != "reference_n":
            covered.add(row.row)
    # Symbolic alleles are judged before the reference is, so a few more than the covered records show.
    assert len(records) == COVERED[file][0] == max(records)
    assert COVERED[file][1] <= len(covered) <= COVERED[file][1] + reasons["symbolic_allele"]
    assert not FAILED_REASONS.keys() & reasons.keys()


@pytest.mark.parametrize(
    ("file", "assembly", "at_most"),
    [
        ("personal/NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz", "GRCh38", 1_500),
        ("population/1000G_phase3.chr20_1-2Mb.sites.GRCh37.vcf.gz", "GRCh37", 1_500),
        ("population/gnomAD_v2.1.1_genomes.chr1_first1000.stripped.GRCh37.vcf.gz", "GRCh37", 1_500),
    ],
)
def test_bcftools_norm_spells_real_variants_the_same(
    shared_data: Path, tmp_path: Path, bcftools: str, file: str, assembly: str, at_most: int
) -> None:
    fasta = shared_data / "reference" / f"{assembly}.shared.fa.gz"
    rows = read_rows(shared_data / file, Reference(fasta))
    # Substitutions of one base are the many that nothing can go wrong with.
    wanted = (row for row in rows if row.variant is not None and len(row.ref) + len(row.alt) > 2)
    rows = list(itertools.islice(wanted, at_most))
    vcf = tmp_path / "rows.vcf"
    contigs = "".join(f"##contig=<ID={name}>\n" for name in dict.fromkeys(row.chrom for row in rows))
    body = "".join(f"{r.chrom}\t{r.pos}\t{i}\t{r.ref}\t{r.alt}\t.\t.\t.\n" for i, r in enumerate(rows))
    vcf.write_text(f"##fileformat=VCFv4.2\n{contigs}{COLUMNS}{body}")
    done = subprocess.run(
        [bcftools, "norm", "-f", str(fasta), str(vcf)], capture_output=True, text=True, check=True
    )
    theirs = {}
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            chrom, pos, index, ref, alt = line.split("\t")[:5]
            theirs[int(index)] = Variant(chrom, int(pos), ref, alt)
    assert len(rows) > 100
    assert theirs == {i: row.variant for i, row in enumerate(rows)}
