"""One spelling for an allele, with a reference and without."""

import subprocess
from collections import Counter

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_data.prepare.make import clinvar_shard
from genolewm_data.prepare.spelling import Speller

from .release_headers import clinvar_header

_BASES = "TTACACACACGGGGGGATTTTTTTTACGACGACGNNACGTTGCA" * 3
_REVIEWED = "CLNSIG=Benign;CLNREVSTAT=criteria_provided,_single_submitter"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    path.write_text(f">1\n{_BASES}\n>2\n{_BASES[::-1]}\n")
    return Reference(path)


@pytest.mark.parametrize(
    ("given_", "spelled"),
    [
        ((100, "A", "G"), (100, "A", "G")),
        ((100, "a", "g"), (100, "A", "G")),
        ((100, "CAA", "CAAA"), (100, "C", "CA")),
        ((100, "AAA", "AA"), (100, "AA", "A")),  # an anchor stays, and no reference says what lies before
        ((100, "TCG", "TAG"), (101, "C", "A")),
        ((100, "TCGA", "TAAA"), (101, "CG", "AA")),
        ((100, "A", "A"), "identity"),
        ((0, "A", "G"), "position_outside_contig"),
        ((1000, "AC", "A"), "position_outside_contig"),
        ((100, "", "G"), "allele_malformed"),
        ((100, "A", "G-"), "allele_malformed"),
        ((100, "A", "<DEL>"), "symbolic_allele"),
        ((100, "A", "*"), "spanning_deletion"),
        ((100, "A", "."), "no_alternate"),
        ((100, "A", "G]2:5]"), "breakend"),
        ((100, "A", "N"), "iupac_allele"),
        ((100, "A" * 52, "A"), "allele_too_long"),
    ],
)
def test_without_a_reference(given_, spelled):
    speller = Speller("1", 1000, None)
    assert speller.spell(*given_) == spelled
    counts: Counter[str] = Counter()
    table = pl.DataFrame([given_], {"pos": pl.Int64, "ref": pl.String, "alt": pl.String}, orient="row")
    rows = speller.spell_all(table, counts).rows()
    assert (rows or [next(iter(counts))]) == [spelled]


def test_a_reference_refuses_what_contradicts_it(reference):
    speller = Speller("chr1", None, reference)
    assert speller.chrom == "1"
    assert speller.spell(1, "A", "G") == "ref_mismatch"
    assert speller.spell(35, "A", "G") == "reference_n"
    assert speller.spell(10_000, "A", "G") == "position_outside_contig"
    assert (speller.checked, speller.mismatched) == (1, 1)
    assert Speller("7", None, reference).spell(1, "T", "G") == "contig_not_in_reference"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    start=st.integers(0, 60),
    length=st.integers(1, 6),
    alt=st.text("ACGT", min_size=1, max_size=6),
    right=st.integers(0, 4),
)
def test_a_spelling_makes_the_same_sequence(reference, start, length, alt, right):
    """However an allele is given, its spelling edits the contig into the same bases."""
    ref = _BASES[start : start + length + right]
    alt += _BASES[start + length : start + length + right]
    edited = _BASES[:start] + alt + _BASES[start + len(ref) :]
    spelled = {}
    for name, speller in (("aligned", Speller("1", None, reference)), ("trimmed", Speller("1", None, None))):
        outcome = speller.spell(start + 1, ref, alt)
        if isinstance(outcome, str):
            assert outcome in ("identity", "reference_n", "iupac_allele")
            continue
        pos, new_ref, new_alt = spelled[name] = outcome
        assert _BASES[pos - 1 : pos - 1 + len(new_ref)] == new_ref
        assert _BASES[: pos - 1] + new_alt + _BASES[pos - 1 + len(new_ref) :] == edited
        assert min(len(new_ref), len(new_alt)) == 1 or new_ref[-1] != new_alt[-1]
    if len(spelled) == 2:
        assert spelled["aligned"][0] <= spelled["trimmed"][0]


def test_shards_are_left_aligned_as_bcftools_does(reference, bcftools, write, tmp_path):
    records = []
    for at in range(3, 100):
        for ref_len, alt in ((1, "insert"), (3, ""), (2, "CA"), (1, "repeat")):
            ref = _BASES[at : at + ref_len]
            if "N" in _BASES[at - 3 : at + 8]:
                continue
            spelled = {"insert": ref + "AC", "repeat": ref + ref, "": ref[:1]}.get(alt, alt)
            if spelled != ref:
                records.append(f"1 {at + 1} . {ref} {spelled} . . {_REVIEWED}")
    vcf = write([*clinvar_header(), f"##contig=<ID=1,length={len(_BASES)}>"], records)
    command = [bcftools, "norm", "-f", str(reference.path), str(vcf)]
    normed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split("\t") for line in normed.splitlines() if not line.startswith("#")]
    expected = {(int(line[1]), line[3], line[4]) for line in lines}
    path, info = clinvar_shard([vcf], "2024-05-02", tmp_path, reference=reference.path)
    found = pl.read_parquet(path).select("pos", "ref", "alt").rows()
    assert set(found) == expected
    assert found == sorted(found)
    assert info.rows == {"kept": len(found), "duplicate": len(records) - len(found)}
    assert (info.spelling, info.reference) == ("left-aligned", "x.fa")
    assert len(found) < len(records)


def test_records_of_another_assembly_stop_the_run(reference, write, tmp_path):
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    records = [
        f"1 {pos} . {other[_BASES[pos - 1]]} {_BASES[pos - 1]} . . {_REVIEWED}"
        for pos in range(1, 120)
        if _BASES[pos - 1] != "N"
    ]
    with pytest.raises(InputError, match="reference-mismatch"):
        clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path, reference=reference.path)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.shared_data
def test_real_records_match_their_reference(shared_data, tmp_path):
    vcf = shared_data / "clinvar" / "ncbi_clinvar_2015.BRCA1.numericCLNSIG.GRCh37.vcf.gz"
    fasta = shared_data / "reference" / "GRCh37.shared.fa.gz"
    _, info = clinvar_shard([vcf], "2015-02-04", tmp_path, reference=fasta)
    assert info.rows["kept"] > 2_000
    assert "ref_mismatch" not in info.rows
    assert info.assembly == "GRCh37"
    with pytest.raises(InputError, match="different assemblies"):
        clinvar_shard(
            [vcf],
            "2015-02-04",
            tmp_path / "other",
            reference=shared_data / "reference" / "GRCh38.shared.fa.gz",
        )
