"""gnomAD's headers and records."""

from collections import Counter
from pathlib import Path

import polars as pl
import pysam
import pytest

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.prepare.gnomad import gnomad_reader
from genolewm_data.prepare.header import read_header
from genolewm_data.prepare.make import gnomad_shard
from genolewm_data.prepare.shard import read_shard_info

from .release_headers import V2, V4, clinvar_header, gnomad_header


def test_populations_are_those_that_the_header_declares(write):
    strata = ("AF_raw", "AF_XX", "AF_afr_XX", "AF_grpmax", "AF_joint", "AF_joint_afr", "AF_non_ukb_afr")
    header = read_header(write(gnomad_header((*V4, "ami"), more=strata), []))
    reader = gnomad_reader([header], "v4.0")
    assert (reader.af_key, reader.unknown) == ("AF", ())
    assert set(reader.populations) == {*V4, "ami"}


def test_joint_files_of_v4_1_have_keys_of_their_own(write):
    more = ("AF_exomes", "AF_exomes_afr", "AF_genomes_afr", "AF_joint_XX", "AF_joint_raw", "AF_grpmax_joint")
    header = read_header(write(gnomad_header(V4, "AF_joint", more=more), []))
    reader = gnomad_reader([header], "v4.1")
    assert (reader.af_key, set(reader.populations)) == ("AF_joint", set(V4))
    with pytest.raises(InputError, match="release-mismatch"):
        gnomad_reader([header], "v4.0")  # which has no such files


def test_a_population_nobody_knows_keeps_its_name_and_is_reported(write):
    header = read_header(write(gnomad_header((*V4, "xyz", "xyz_XX", "new_group")), []))
    reader = gnomad_reader([header], "v4.1")
    assert reader.unknown == ("new_group", "xyz")
    assert set(reader.populations) == {*V4, "xyz", "new_group"}


@pytest.mark.parametrize("lacking", ["AF", "AF_nfe", "AF_oth"])
def test_a_release_file_without_a_required_field_is_refused_by_name(write, lacking):
    lines = [line for line in gnomad_header(V2, assembly="GRCh37") if f"ID={lacking}," not in line]
    with pytest.raises(InputError) as caught:
        gnomad_shard([write(lines, [])], "v2.1.1", Path("nowhere"))
    assert caught.value.code == "release-mismatch"
    assert caught.value.found == f"none such as {lacking}"


def test_a_frequency_declared_otherwise_is_not_taken_for_one(write):
    lines = [line.replace("Type=Float", "Type=String") for line in gnomad_header()]
    with pytest.raises(InputError, match="release-mismatch"):
        gnomad_reader([read_header(write(lines, []))], "v4.0")


def test_every_row_has_one_reason(write, tmp_path):
    records = [
        "chr1 100 . A G . PASS AF=0.5;AN=10;AF_afr=0.25;AF_nfe=1",
        "chr1 110 . A G,T . PASS AN=10;AF=0.02,0.001;AF_afr=0.1,0.2",
        "chr1 120 . A G . AC0 AF=0.5",
        "chr1 121 . A G . AC0;RF AF=0.5",
        "chr1 122 . A G . . AF=0.5",
        "chr1 130 . A G . PASS AN=10",
        "chr1 131 . A G . PASS AF=.",
        "chr1 132 . A G,T . PASS AF=0.5",
        "chr1 133 . A G . PASS AF=lots",
        "chr1 134 . A G . PASS AF=1.5",
        "chr1 135 . A G . PASS AF=nan",
        "chr1 140 . A G . PASS AF=0.00999",
        "chr1 141 . A G . PASS AF=1e-2",
        "chr1 150 . A <DEL> . PASS AF=0.5",
        "chr1 151 . A * . PASS AF=0.5",
        "chr1 152 . N G . PASS AF=0.5",
        "chr1 153 . A R . PASS AF=0.5",
        "chr1 160 . CAA CAAA,CA . PASS AF=0.3,0.4;AF_afr=.,0.5",
        f"chr1 170 . A A{'C' * 60} . PASS AF=0.5",
        "chr1 180 . A G . PASS AF=0.2",
        "chr1 180 . A G . PASS AF=0.3",
        "chr1 190 . A A . PASS AF=0.3",
        "chr1 248956422 . AT A . PASS AF=0.3",
        "chr2 7 . c t . PASS AF=0.9;AF_afr=odd",
    ]
    path, info = gnomad_shard([write(gnomad_header(), records)], "v4.1", tmp_path)
    assert path == tmp_path / "gnomad" / "v4.1" / "variants.parquet"
    assert info.rows == {
        "kept": 7,
        "below_min_af": 2,
        "not_pass": 2,
        "filter_missing": 1,
        "af_missing": 2,
        "af_malformed": 5,
        "symbolic_allele": 1,
        "spanning_deletion": 1,
        "iupac_allele": 2,
        "allele_too_long": 1,
        "duplicate": 1,
        "identity": 1,
        "position_outside_contig": 1,
    }
    assert info.records == len(records)
    assert sum(info.rows.values()) == sum(1 + record.split(" ")[4].count(",") for record in records)
    assert info.notes == {"af_afr malformed": 1}
    rows = pl.read_parquet(path)
    assert rows.select("chrom", "pos", "ref", "alt", "af", "af_afr", "filters").rows() == [
        ("chr1", 100, "A", "G", 0.5, 0.25, "PASS"),
        ("chr1", 110, "A", "G", 0.02, pytest.approx(0.1), "PASS"),
        ("chr1", 141, "A", "G", 0.01, None, "PASS"),
        ("chr1", 160, "C", "CA", 0.3, None, "PASS"),
        ("chr1", 160, "CA", "C", 0.4, 0.5, "PASS"),
        ("chr1", 180, "A", "G", 0.3, None, "PASS"),
        ("chr2", 7, "C", "T", 0.9, None, "PASS"),
    ]
    assert read_shard_info(path) == info
    assert (info.spelling, info.reference, info.assembly) == ("trimmed", None, "GRCh38")


def test_an_assembly_other_than_the_release_s_is_refused(write):
    with pytest.raises(InputError) as caught:
        gnomad_shard([write(gnomad_header(V4, assembly="GRCh37"), [])], "v4.0", Path("nowhere"))
    assert caught.value.code == "release-mismatch"
    assert "GRCh37" in caught.value.found
    assert "--release" in caught.value.next_step


def test_files_of_two_layouts_do_not_make_one_shard(write):
    files = [
        write(gnomad_header(V4), [], "a.vcf"),
        write(gnomad_header((*V4, "ami")), [], "b.vcf"),
    ]
    with pytest.raises(InputError, match="release-mismatch") as caught:
        gnomad_shard(files, "v4.0", Path("nowhere"))
    assert "exomes" in caught.value.next_step


@pytest.mark.parametrize("release", ["v2.1.1", "v4.0"])
def test_a_file_of_clinvar_is_told_by_its_name(write, release):
    with pytest.raises(InputError, match="is of ClinVar") as caught:
        gnomad_shard([write(clinvar_header(), [])], release, Path("nowhere"))
    assert "prepare clinvar" in caught.value.next_step


def test_a_release_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="config-invalid"):
        gnomad_shard([], "v9", Path("nowhere"))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("gnomAD_v2.1.1_exomes.PCSK9.GRCh37.vcf.gz", "v2.1.1"),
        ("gnomAD_v4.0_exomes.PCSK9.GRCh38.vcf.gz", "v4.0"),
        ("gnomAD_v4.0_genomes.PCSK9.GRCh38.vcf.gz", "v4.0"),
    ],
)
def test_real_records_agree_with_pysam(shared_data, tmp_path, name, release):
    vcf = shared_data / "population" / name
    path, info = gnomad_shard([vcf], release, tmp_path, min_af=0.0)
    names = info.about["populations"]
    expected, reasons = {}, Counter()
    with pysam.VariantFile(str(vcf)) as file:
        for record in file:
            if list(record.filter) != ["PASS"]:
                reasons["not_pass"] += 1
            elif "AF" not in record.info:
                reasons["af_missing"] += 1
            else:
                frequencies = [record.info[key][0] if key in record.info else None for key in _keys(names)]
                expected[(record.pos, record.ref, record.alts[0])] = frequencies
    rows = pl.read_parquet(path)
    found = {
        (row["pos"], row["ref"], row["alt"]): [row[k.lower()] for k in _keys(names)]
        for row in rows.to_dicts()
    }
    assert found.keys() == expected.keys()
    assert len(found) > 10
    for key, frequencies in expected.items():
        assert found[key] == pytest.approx(frequencies, rel=1e-6)
    assert {k: v for k, v in info.rows.items() if k != "kept"} == dict(reasons)
    assert {"afr", "nfe"} <= set(names)
    assert not info.about["unknown_populations"]


def _keys(names):
    return ["AF", *(f"AF_{name}" for name in names)]


@pytest.mark.shared_data
def test_a_file_stripped_of_its_populations_is_refused(shared_data):
    vcf = shared_data / "population" / "gnomAD_v2.1.1_genomes.chr1_first1000.stripped.GRCh37.vcf.gz"
    with pytest.raises(InputError, match="release-mismatch"):
        gnomad_shard([vcf], "v2.1.1", Path("nowhere"))
