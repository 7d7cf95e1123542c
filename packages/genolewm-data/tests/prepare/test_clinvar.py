"""ClinVar's records, in the layouts of then and now."""

import polars as pl
import pysam
import pytest

from genolewm_core.errors import InputError
from genolewm_data.prepare.labels import read_significance, read_stars
from genolewm_data.prepare.make import clinvar_shard

from .release_headers import clinvar_header, gnomad_header

_REVIEWED = "CLNREVSTAT=criteria_provided,_single_submitter"


def test_every_field_is_read(write, tmp_path):
    consequences = "MC=SO:0001583|missense_variant,SO:0001583|missense_variant,SO:0001627|intron_variant"
    conflict = "CLNSIG=Conflicting_classifications_of_pathogenicity"
    records = [
        f"1 100 7 A G . . {_REVIEWED};CLNSIG=Pathogenic/Likely_pathogenic;GENEINFO=AB:1|C-D:2;{consequences}",
        f"1 120 . A G . . CLNREVSTAT=criteria_provided,_conflicting_classifications;{conflict}",
        "X 5 9 A AC . . CLNSIGINCL=1:Pathogenic;ONC=Oncogenic",
    ]
    path, info = clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path)
    assert path == tmp_path / "clinvar" / "2024-05-02" / "variants.parquet"
    assert pl.read_parquet(path).rows() == [
        (
            *("1", 100, "A", "G", "LP", "Pathogenic/Likely_pathogenic", False, 1),
            *("criteria_provided,_single_submitter", "AB|C-D", "missense_variant|intron_variant", "7"),
        ),
        (
            *("1", 120, "A", "G", "OTHER", "Conflicting_classifications_of_pathogenicity", True, 1),
            *("criteria_provided,_conflicting_classifications", None, None, None),
        ),
        ("X", 5, "A", "AC", "OTHER", None, False, None, None, None, None, "9"),
    ]
    assert info.labels == {"LP": 1, "OTHER": 2}
    assert info.rows == {"kept": 3}
    assert info.about["file_dates"] == ["2024-05-01"]


def test_numbers_belong_to_the_alleles_that_clnalle_names(write, tmp_path):
    records = [
        "1 100 rs1 G A,C . . CLNALLE=2;CLNSIG=5|255;CLNREVSTAT=single|mult",  # the first ALT is not classified
        "1 110 rs2 G A,C . . CLNALLE=1,2;CLNSIG=2,0|5;CLNREVSTAT=single,exp|single",
        "1 120 rs3 G A . . CLNALLE=1,1;CLNSIG=4,5;CLNREVSTAT=single,not",
        "1 130 rs4 G A . . CLNALLE=-1;CLNSIG=5;CLNREVSTAT=single",
        "1 140 rs5 G A,C . . CLNALLE=1,2;CLNSIG=5;CLNREVSTAT=single",  # who is meant cannot be told
    ]
    path, info = clinvar_shard([write(clinvar_header(more=["CLNALLE"]), records)], "2015-02-04", tmp_path)
    rows = pl.read_parquet(path).select("pos", "alt", "label", "significance", "conflicting", "stars").rows()
    assert rows == [
        (100, "C", "P", "5|255", False, 2),
        (110, "A", "B", "2", False, 1),
        (110, "C", "OTHER", "0|5", True, 3),
        (120, "A", "LP", "4|5", False, 1),
    ]
    assert info.rows == {"kept": 4, "allele_not_classified": 2, "allele_not_named": 2}


def test_several_alts_without_clnalle_are_not_guessed(write, tmp_path):
    records = [f"1 100 . A G,T . . CLNSIG=Pathogenic,Benign;{_REVIEWED}"]
    _, info = clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path)
    assert info.rows == {"allele_not_named": 2}


def test_one_spelling_twice_is_one_row(write, tmp_path):
    records = [
        f"1 100 a C CA . . CLNSIG=Benign;{_REVIEWED}",
        "1 100 b CT CAT . . CLNSIG=Benign;CLNREVSTAT=reviewed_by_expert_panel",
        f"1 200 c C CA . . CLNSIG=Benign;{_REVIEWED}",
        f"1 200 d CT CAT . . CLNSIG=Pathogenic;{_REVIEWED}",
    ]
    path, info = clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path)
    rows = pl.read_parquet(path).select("pos", "ref", "alt", "label", "conflicting", "stars", "id").rows()
    assert rows == [
        (100, "C", "CA", "B", False, 3, "b"),
        (200, "C", "CA", "OTHER", True, 1, "c"),
    ]
    assert info.rows == {"kept": 2, "duplicate": 1, "duplicate_conflicting": 1}


def test_words_that_are_not_known_are_counted(write, tmp_path):
    records = [f"1 {pos} . A G . . CLNSIG=Dubious|Pathogenic;CLNREVSTAT=by_nobody" for pos in (100, 200, 300)]
    _, info = clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path)
    assert info.notes == {"CLNSIG Dubious": 3, "CLNREVSTAT by_nobody": 3}
    assert info.labels == {"OTHER": 3}


def test_letters_other_than_ascii_move_no_field(write, tmp_path):
    records = [f"1 100 . A G . . CLNDN=Ménière_æøå;CLNSIG=Benign;{_REVIEWED};GENEINFO=AB:1"]
    path, _ = clinvar_shard([write(clinvar_header(), records)], "2024-05-02", tmp_path)
    assert pl.read_parquet(path).select("label", "stars", "gene").row(0) == ("B", 1, "AB")


@pytest.mark.parametrize("lacking", ["CLNSIG", "CLNREVSTAT"])
def test_a_file_without_clinvar_s_fields_is_refused(write, tmp_path, lacking):
    with pytest.raises(InputError) as caught:
        clinvar_shard([write(clinvar_header(lacking=[lacking]), [])], "2024-05-02", tmp_path)
    assert (caught.value.code, caught.value.found) == ("release-mismatch", f"no {lacking}")
    with pytest.raises(InputError) as caught:
        clinvar_shard([write(gnomad_header(), [])], "2024-05-02", tmp_path)
    assert "prepare gnomad" in caught.value.next_step


def test_a_file_that_does_not_say_its_assembly_is_refused(write, tmp_path):
    header = [line for line in clinvar_header() if not line.startswith("##reference")]
    with pytest.raises(InputError, match="assembly of a release is not clear"):
        clinvar_shard([write(header, [])], "2024-05-02", tmp_path)


def test_a_header_of_two_assemblies_is_refused(write, tmp_path):
    header = [*clinvar_header(), "##contig=<ID=1,length=249250621>"]
    with pytest.raises(InputError, match="different assemblies"):
        clinvar_shard([write(header, [])], "2024-05-02", tmp_path)


@pytest.mark.shared_data
def test_a_real_release_agrees_with_pysam(shared_data, tmp_path):
    vcf = shared_data / "clinvar" / "clinvar_2016-09.GRCh37.shared.vcf.gz"
    path, info = clinvar_shard([vcf], "2016-09-10", tmp_path)
    rows = pl.read_parquet(path).filter(pl.col("chrom").is_in(["20", "21"]))
    found = {
        row[:4]: row[4:]
        for row in rows.select("chrom", "pos", "ref", "alt", "label", "stars", "gene").iter_rows()
    }
    expected = {}
    with pysam.VariantFile(str(vcf)) as file:
        for chrom in ("20", "21"):
            for record in file.fetch(chrom):
                said = read_significance(",".join(record.info["CLNSIG"]))
                stars = (
                    read_stars(",".join(record.info["CLNREVSTAT"])) if "CLNREVSTAT" in record.info else None
                )
                key = (record.chrom, record.pos, record.ref, record.alts[0])
                expected[key] = (said.label, stars, record.info.get("GENEINFO"))
    shorter = {key: value for key, value in expected.items() if max(map(len, key[2:])) == 1}
    assert len(shorter) > 1000
    assert {key: found[key] for key in shorter} == shorter
    assert info.records == 75_908
    assert info.rows == {"kept": 75_900, "allele_too_long": 8}
    assert set(rows["label"]) == {"P", "LP", "VUS", "LB", "B", "OTHER"}


@pytest.mark.shared_data
def test_a_real_file_with_numbers_is_read(shared_data, tmp_path):
    vcf = shared_data / "clinvar" / "ncbi_clinvar_2015.BRCA1.numericCLNSIG.GRCh37.vcf.gz"
    path, info = clinvar_shard([vcf], "2015-02-04", tmp_path)
    with pysam.VariantFile(str(vcf)) as file:
        alts = sum(len(record.alts) for record in file)
    assert sum(info.rows.values()) == alts
    second = pl.read_parquet(path).filter(pl.col("pos") == 41197589)
    assert second.select("ref", "alt", "label").rows() == [("G", "C", "B")]  # CLNALLE=2 of the ALTs A and C
