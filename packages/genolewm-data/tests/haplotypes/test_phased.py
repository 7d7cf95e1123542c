"""Genotypes by hand, and 1000 Genomes against bcftools consensus."""

import pickle
import subprocess
from collections import Counter

import pysam
import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.edits import apply_edits
from genolewm_core.genome.reference import Reference
from genolewm_data.haplotypes.phased import LEFT_OUT_REASONS, PhasedVcf

#        0         1         2         3         4         5         6
BASES = "ACGTTGCAAAAGTCCATGACTAGCATCGATTTGCACATACGGATCTTAGCCATACGATTACAGG"


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference.fa"
    path.write_text(f">chr1\n{BASES}\n>chr2\n{BASES}\n")
    return Reference(path)


@pytest.fixture
def phased(tmp_path, reference):
    """Makes a PhasedVcf of records given as `POS REF ALT FORMAT GENOTYPE...`."""

    def make(*records, samples=("P",), header=""):
        path = tmp_path / "phased.vcf"
        columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
        lines = ["##fileformat=VCFv4.2", *([header] if header else []), "\t".join((*columns, *samples))]
        for record in records:
            pos, ref, alt, *rest = record.split()
            lines.append("\t".join(("1", pos, ".", ref, alt, ".", "PASS", ".", *rest)))
        path.write_text("\n".join(lines) + "\n")
        return PhasedVcf(pysam.tabix_index(str(path), preset="vcf", force=True), reference)

    return make


def carried(window):
    return {(h.sample, h.copy): [str(call.key) for call in h.calls] for h in window.haplotypes}


WINDOW = Region("chr1", 0, len(BASES))


@pytest.mark.parametrize(
    ("genotype", "copies", "left_out", "n_copies"),
    [
        ("0|0", {}, {}, 2),
        ("0|1", {1: "G"}, {}, 2),
        ("1|2", {0: "G", 1: "T"}, {}, 2),
        ("1/1", {0: "G", 1: "G"}, {}, 2),
        ("0/0", {}, {}, 2),
        ("1", {0: "G"}, {}, 1),
        ("|0|1", {1: "G"}, {}, 2),
        ("0|1|2", {1: "G", 2: "T"}, {}, 3),
        ("0/1", {}, {"unphased": 2}, 2),
        ("1/2", {}, {"unphased": 2}, 2),
        ("./.", {}, {"missing": 2}, 2),
        (".", {}, {"missing": 1}, 1),
        (".|1", {1: "G"}, {"half_called": 1}, 2),
        ("0|.", {}, {"half_called": 1}, 2),
        ("./1", {}, {"half_called": 2}, 2),
        ("0|3", {}, {"malformed": 1}, 2),
        ("0|x", {}, {"malformed": 2}, 2),
        ("", {}, {"malformed": 2}, 2),
    ],
)
def test_genotypes(phased, genotype, copies, left_out, n_copies):
    # A second sample, which carries nothing, keeps the record whole when the first one's genotype is empty.
    rows = f"10\tA\tG,T\tGT:DP\t{genotype}:7\t0|0:9"
    window = phased(rows, samples=("P", "Q")).read(WINDOW)
    assert carried(window) == {("P", copy): [f"chr1:10:A:{alt}"] for copy, alt in copies.items()}
    assert window.left_out == left_out
    assert window.n_copies == n_copies + 2


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "reason"),
    [
        (10, "A", "<DEL>", "symbolic_allele"),
        (10, "A", "*", "spanning_deletion"),
        (10, "A", "A[chr2:5[", "breakend"),
        (10, "A", "R", "iupac_allele"),
        (10, "C", "G", "ref_mismatch"),
        (4, BASES[3:20], "T", "allele_too_long"),
        (10, "A", "A" + "CGT" * 6, "allele_too_long"),
        (1, "AC", "A", None),
    ],
)
def test_alleles_that_cannot_be_spelled_are_counted(phased, pos, ref, alt, reason):
    window = phased(f"{pos} {ref} {alt} GT 0|1", "50 C T GT 1|1").read(WINDOW)
    kept = {h.copy: (len(h.calls), h.n_left_out) for h in window.haplotypes}
    assert kept == {0: (1, 0), 1: (1, 1) if reason else (2, 0)}
    assert window.left_out == ({reason: 1} if reason else {})


def test_of_overlapping_alleles_the_first_is_kept(phased):
    records = ["10 AAG A GT 1|1", "11 A T GT 0|1", "12 G GA GT 1|0", "14 C G GT 1|1"]
    window = phased(*records).read(WINDOW)
    # "AAG>A" deletes bases 10 and 11 (0-based); the insertion comes behind the deleted bases.
    assert {h.copy: ([c.called.pos for c in h.calls], h.n_left_out) for h in window.haplotypes} == {
        0: ([10, 12, 14], 0),
        1: ([10, 14], 1),
    }
    assert window.left_out == {"overlapping": 1}


def test_trimming_may_change_the_order_of_records(phased):
    # The first record changes its last base only, behind the second record.
    window = phased("8 AAAA AAAC GT 1|0", "9 A G GT 1|0").read(WINDOW)
    assert carried(window) == {("P", 0): ["chr1:9:A:G", "chr1:11:A:C"]}
    assert window.left_out == {}


def test_an_indel_is_applied_where_it_was_called(phased):
    """Left-aligned, the deletion would fall on the base that the other record substitutes."""
    window = phased("8 A C GT 1|0", "10 AA A GT 1|0").read(WINDOW)
    (haplotype,) = window.haplotypes
    assert [str(call.key) for call in haplotype.calls] == ["chr1:8:A:C", "chr1:7:CA:C"]
    assert apply_edits(BASES, haplotype.edits()) == BASES[:7] + "C" + BASES[8:10] + BASES[11:]


def test_phase_sets_are_not_mixed(phased):
    records = ["5 T A GT:PS 0|1:5", "10 A G GT:PS 0|1:5", "14 C G GT:PS 0|1:14", "20 C G GT:PS 1|1:."]
    window = phased(*records).read(WINDOW)
    assert carried(window) == {
        ("P", 0): ["chr1:20:C:G"],
        ("P", 1): ["chr1:5:T:A", "chr1:10:A:G", "chr1:20:C:G"],
    }
    assert window.left_out == {"other_phase_set": 1}


def test_a_window_holds_whole_alleles(phased):
    records = ["5 T A GT 1|1", "10 AAG A GT 1|0", "16 A G GT 1|0", "20 CT C GT 1|0"]
    vcf = phased(*records)
    inner = vcf.read(Region("chr1", 10, 20))
    assert carried(inner) == {("P", 0): ["chr1:16:A:G"]}
    # Base 20 is the first that the last deletion takes, and lies behind the window.
    assert inner.left_out == {"across_window_edge": 1}
    assert vcf.read(Region("chr2", 0, 60)).n_copies == 0


def test_reading_is_repeatable_and_picklable(phased):
    vcf = phased("5 T A GT 1|0", "10 A G GT 1|0")
    assert pickle.loads(pickle.dumps(vcf)).read(WINDOW) == vcf.read(WINDOW) == vcf.read(WINDOW)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.with_name(path.name + ".tbi").unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b"no VCF"),
    ],
)
def test_files_that_cannot_be_read_are_refused(phased, reference, damage):
    vcf = phased("5 T A GT 1|0")
    vcf.close()
    damage(vcf.path)
    with pytest.raises(InputError) as caught:
        PhasedVcf(vcf.path, reference).read(WINDOW)
    assert caught.value.code == "vcf-unreadable"


def test_a_file_without_samples_is_refused(phased):
    with pytest.raises(InputError) as caught:
        phased("5 T A", samples=())
    assert caught.value.code == "vcf-unreadable"


def test_a_record_with_too_few_columns_is_refused(phased):
    with pytest.raises(InputError) as caught:
        phased("5 T A GT 0|1", samples=("P", "Q")).read(WINDOW)
    assert caught.value.code == "vcf-unreadable"


@pytest.fixture(scope="module")
def panel(shared_data):
    reference = Reference(shared_data / "reference" / "GRCh37.shared.fa.gz")
    return PhasedVcf(
        shared_data / "population" / "1000G_phase3.BRCA1.2504samples.phased.GRCh37.vcf.gz", reference
    )


PANEL_WINDOW = Region("17", 41_197_000, 41_203_144)


@pytest.fixture(scope="module")
def panel_window(panel):
    return panel.read(PANEL_WINDOW)


def test_the_panel_by_its_own_counts(panel, panel_window):
    """Alleles carried and left out are those that a plain count of the genotypes finds."""
    assert len(panel.samples) == 2_504
    assert panel_window.n_copies == 5_008
    assert set(panel_window.left_out) <= {*LEFT_OUT_REASONS, "symbolic_allele"}
    expected: Counter[str] = Counter()
    with pysam.VariantFile(str(panel.path)) as records:
        for record in records.fetch(*PANEL_WINDOW):
            for alt, count in zip(record.alts, record.info["AC"], strict=True):
                if len(record.ref) == len(alt) == 1:
                    expected[f"17:{record.pos}:{record.ref}:{alt}"] += count
    found = Counter(str(call.key) for haplotype in panel_window.haplotypes for call in haplotype.calls)
    snvs = {key: count for key, count in found.items() if key in expected}
    lost = sum(expected.values()) - sum(snvs.values())
    assert sum(expected.values()) > 5_000
    assert 0 <= lost <= panel_window.left_out.get("overlapping", 0)


def test_the_panel_against_consensus(panel, panel_window, bcftools, tmp_path):
    reference = panel.reference.fetch(*PANEL_WINDOW)
    fasta = tmp_path / "window.fa"
    fasta.write_text(f">17:{PANEL_WINDOW.start + 1}-{PANEL_WINDOW.end}\n{reference}\n")
    whole = [h for h in panel_window.haplotypes if h.n_left_out == 0]
    with_indels = [h for h in whole if any(len(c.key.ref) != len(c.key.alt) for c in h.calls)]
    many = sorted(whole, key=lambda h: (-len(h.calls), h.sample, h.copy))
    chosen = [*with_indels[:3], *many[:2], whole[0]]
    assert len(with_indels) >= 3
    assert len(many[0].calls) > 5
    for haplotype in chosen:
        command = [bcftools, "consensus", "-f", fasta, "-s", haplotype.sample, "-H", str(haplotype.copy + 1)]
        run = subprocess.run([*command, panel.path], capture_output=True, text=True, check=True)
        consensus = "".join(run.stdout.split("\n")[1:])
        assert apply_edits(reference, haplotype.edits()) == consensus
        assert consensus != reference


def test_blocks_of_the_panel_do_not_depend_on_how_it_is_read(panel, monkeypatch):
    region = Region("17", 41_197_000, 41_201_000)
    at_once = panel.blocks([region])
    monkeypatch.setattr("genolewm_data.haplotypes.phased._TILE_BP", 1_500)
    assert panel.blocks([region]) == at_once
    assert all(2 <= len(block.calls) <= 8 for block in at_once)
    assert all(b.calls[-1].called.end - b.calls[0].called.start <= 1_000 for b in at_once)
    assert len(at_once) > 30
