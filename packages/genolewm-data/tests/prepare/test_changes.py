"""Labels of one ClinVar release against those of an earlier one."""

from collections import Counter

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from genolewm_core.errors import InputError
from genolewm_data.prepare import make as make_module
from genolewm_data.prepare.changes import label_changes
from genolewm_data.prepare.command import prepare
from genolewm_data.prepare.make import clinvar_shard, gnomad_shard

from .release_headers import clinvar_header, gnomad_header

_SINGLE, _EXPERT = "criteria_provided,_single_submitter", "reviewed_by_expert_panel"


def _record(chrom, pos, alt, significance, review=_SINGLE):
    return f"{chrom} {pos} . A {alt} . . CLNSIG={significance};CLNREVSTAT={review}"


EARLIER = [
    _record("1", 100, "G", "Pathogenic"),
    _record("1", 100, "T", "Pathogenic"),
    _record("1", 200, "G", "Benign"),
    _record("1", 300, "G", "Uncertain_significance"),
    _record("1", 400, "G", "Pathogenic"),
    _record("MT", 7, "G", "Benign"),
    _record("Y", 7, "G", "Benign"),
]
LATER = [
    _record("1", 100, "G", "Uncertain_significance", _EXPERT),
    _record("1", 100, "T", "Pathogenic", _EXPERT),  # stars alone are no change
    _record("1", 200, "T", "Benign"),
    _record("1", 300, "G", "Likely_benign"),
    _record("1", 400, "G", "Uncertain_significance"),
    _record("chrM", 7, "G", "Pathogenic", "unheard_of"),  # the same contig by another name
    _record("2", 100, "G", "Pathogenic"),
]
CHANGED = [
    ("1", 100, "A", "G", "P", "VUS", 1, 3),
    ("1", 300, "A", "G", "VUS", "LB", 1, 1),
    ("1", 400, "A", "G", "P", "VUS", 1, 1),
    ("chrM", 7, "A", "G", "B", "P", 1, None),
]


@pytest.fixture
def earlier(write, tmp_path):
    return clinvar_shard([write(clinvar_header(), EARLIER)], "2023-05-02", tmp_path)[0]


def test_a_table_of_changes_is_written_and_told(write, tmp_path, earlier):
    vcf = write(clinvar_header(), LATER)
    arguments = ["clinvar", "--input-vcf", str(vcf), "--release", "2024-05-02", "--output", str(tmp_path)]
    done = CliRunner().invoke(prepare, [*arguments, "--previous", str(earlier), "--no-progress"])
    assert done.exit_code == 0, done.output
    told = [line.split() for line in done.output.splitlines()[-6:]]
    assert told == [
        ["added", "2"],
        ["withdrawn", "2"],
        ["unchanged", "1"],
        ["P", "->", "VUS", "2"],
        ["B", "->", "P", "1"],
        ["VUS", "->", "LB", "1"],
    ]
    file = tmp_path / "clinvar" / "2024-05-02" / "label_changes.parquet"
    assert pl.read_parquet(file).rows() == CHANGED
    metadata = pq.read_schema(file).metadata[b"genolewm"]
    assert b'"labels":{"B -> P":1,"P -> VUS":2,"VUS -> LB":1}' in metadata

    before = file.read_bytes()
    again = CliRunner().invoke(prepare, [*arguments, "--previous", str(earlier), "--no-progress", "--fresh"])
    assert (again.exit_code, file.read_bytes()) == (0, before)
    alone = CliRunner().invoke(prepare, [*arguments, "--no-progress", "--fresh"])
    assert (alone.exit_code, file.exists()) == (0, False)  # it would be of another comparison


def test_a_comparison_that_was_cut_off_is_made_by_the_next_run(write, tmp_path, earlier, monkeypatch):
    vcf = write(clinvar_header(), LATER)

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(make_module, "write_changes", cut)
        with pytest.raises(KeyboardInterrupt):
            clinvar_shard([vcf], "2024-05-02", tmp_path, previous=earlier)
    assert not list(tmp_path.rglob("2024-05-02/*.parquet"))
    path, _ = clinvar_shard([vcf], "2024-05-02", tmp_path, previous=earlier)
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["label_changes.parquet", "variants.parquet"]


def test_shards_that_cannot_be_compared_are_refused_before_the_work(write, tmp_path, earlier):
    common, _ = gnomad_shard([write(gnomad_header(), [], "gnomad.vcf")], "v4.0", tmp_path)
    fasta = tmp_path / "x.fa"
    fasta.write_text(">1\nACGT\n")
    vcf = write(clinvar_header(), LATER)
    other = [line.replace("GRCh38", "GRCh37") for line in clinvar_header()]
    cases = [
        (vcf, "2024-05-02", None, common, "no ClinVar shard"),
        (vcf, "2023-05-02", None, earlier, "not of an earlier release"),
        (vcf, "2022-05-02", None, earlier, "not of an earlier release"),
        (vcf, "2024-05-02", fasta, earlier, "spells its alleles in another way"),
        (write(other, LATER, "other.vcf"), "2024-05-02", None, earlier, "of another assembly"),
        (vcf, "2024-05-02", None, vcf, "training-data-missing"),
    ]
    for file, release, reference, previous, message in cases:
        with pytest.raises(InputError, match=message):
            clinvar_shard([file], release, tmp_path / "new", reference=reference, previous=previous)
    assert not (tmp_path / "new").exists()


@pytest.mark.shared_data
def test_real_releases_agree_with_a_comparison_by_hand(shared_data, tmp_path):
    files = {
        "2015-02-04": "ncbi_clinvar_2015.BRCA1.numericCLNSIG.GRCh37.vcf.gz",
        "2016-09-10": "clinvar_2016-09.GRCh37.shared.vcf.gz",
    }
    shards, labels = [], []
    for release, name in files.items():
        shards.append(clinvar_shard([shared_data / "clinvar" / name], release, tmp_path)[0])
        rows = pl.read_parquet(shards[-1], columns=["chrom", "pos", "ref", "alt", "label"])
        labels.append({row[:4]: row[4] for row in rows.iter_rows()})
    old, new = labels
    expected = {key: (old[key], new[key]) for key in old.keys() & new.keys() if old[key] != new[key]}
    assert len(expected) > 100
    changes = label_changes(*shards)
    assert {row[:4]: row[4:6] for row in changes.rows.iter_rows()} == expected
    assert changes.labels == Counter(expected.values())
    assert list(changes.labels.values()) == sorted(changes.labels.values(), reverse=True)
    assert changes.added == len(new.keys() - old.keys())
    assert changes.withdrawn == len(old.keys() - new.keys())
    assert changes.unchanged == len(old.keys() & new.keys()) - len(expected)
