"""Which contig of a reference a name means; nothing is guessed."""

from __future__ import annotations

import gzip
import pickle
import re
from pathlib import Path

import pytest

from genolewm_core.genome.contigs import ContigTable, detect_assembly, naming_style

CHR1_37, CHR1_38 = 249_250_621, 248_956_422

UCSC_38 = {
    "chr1": CHR1_38,
    "chr21": 46_709_983,
    "chrX": 156_040_895,
    "chrM": 16_569,
    "chrUn_KI270302v1": 2_274,
}
PLAIN_37 = {"1": CHR1_37, "21": 48_129_895, "X": 155_270_560, "MT": 16_569, "GL000207.1": 4_262}
UCSC_19 = {"chr1": CHR1_37, "chr21": 48_129_895, "chrM": 16_571}
YEAST = {"chrI": 230_218, "chrM": 85_779}


@pytest.mark.parametrize(
    ("table", "name", "length", "expected"),
    [
        (UCSC_38, "chr1", None, "chr1"),
        (UCSC_38, "1", None, "chr1"),
        (UCSC_38, "1", CHR1_38, "chr1"),
        (UCSC_38, "X", None, "chrX"),
        (PLAIN_37, "chr21", None, "21"),
        (PLAIN_37, "chr21", 48_129_895, "21"),
        # Another assembly's length refuses another spelling, and not the reference's own: REF bases tell.
        (UCSC_38, "1", CHR1_37, None),
        (UCSC_38, "chr1", CHR1_37, "chr1"),
        # Mitochondria: the rCRS has 16,569 bp, hg19's chrM 16,571.
        (UCSC_38, "MT", None, "chrM"),
        (UCSC_38, "M", None, "chrM"),
        (UCSC_38, "MT", 16_569, "chrM"),
        (UCSC_38, "chrM", 16_571, None),
        (UCSC_38, "NC_012920.1", None, "chrM"),
        (PLAIN_37, "chrM", 16_569, "MT"),
        (PLAIN_37, "chrM", 16_571, None),
        (PLAIN_37, "chrM", None, None),
        (PLAIN_37, "M", None, "MT"),
        (UCSC_19, "MT", None, None),
        (UCSC_19, "MT", 16_569, None),
        (UCSC_19, "MT", 16_571, "chrM"),
        (UCSC_19, "chrM", None, "chrM"),
        (YEAST, "I", None, "chrI"),
        (YEAST, "MT", None, None),
        # RefSeq accessions say the assembly with their version.
        (UCSC_38, "NC_000001.11", None, "chr1"),
        (UCSC_38, "NC_000001.10", None, None),
        (PLAIN_37, "NC_000021.8", None, "21"),
        (PLAIN_37, "NC_000023.10", None, "X"),
        ({"NC_000001.11": CHR1_38}, "chr1", None, "NC_000001.11"),
        ({"NC_000001.11": CHR1_38}, "1", None, "NC_000001.11"),
        ({"NC_000001.11": CHR1_38}, "1", CHR1_37, None),
        # Unknown names stay unknown.
        (UCSC_38, "2", None, None),
        (UCSC_38, "CHR1", None, None),
        (UCSC_38, "01", None, None),
        (UCSC_38, "23", None, None),
        (UCSC_38, "", None, None),
        (UCSC_38, "chr", None, None),
        (UCSC_38, "HLA-A*01:01:01:01", None, None),
        (PLAIN_37, "chrGL000207.1", None, "GL000207.1"),
    ],
)
def test_resolve(table: dict[str, int], name: str, length: int | None, expected: str | None) -> None:
    assert ContigTable(table).resolve(name, length) == expected


@pytest.mark.parametrize(
    ("lengths", "assembly"),
    [
        (UCSC_38, "GRCh38"),
        (PLAIN_37, "GRCh37"),
        (UCSC_19, "GRCh37"),
        (YEAST, None),
        ({}, None),
        ({"chr1": None}, None),
        ({"1": CHR1_37, "2": 242_193_529}, None),
        ({"2": CHR1_38}, None),
        ({"NC_000001.11": CHR1_38}, "GRCh38"),
    ],
)
def test_detect_assembly(lengths: dict[str, int | None], assembly: str | None) -> None:
    assert detect_assembly(lengths) == assembly


@pytest.mark.parametrize(
    ("names", "style"),
    [
        (UCSC_38, "chr1"),
        (PLAIN_37, "1"),
        ({"NC_000001.11": 1, "NC_012920.1": 1}, "NC_000001"),
        ({"scaffold_1": 1}, "other"),
        ({"1": 1, **{f"KI{n}": 1 for n in range(50)}}, "1"),
        ({}, "other"),
    ],
)
def test_naming_style(names: dict[str, int], style: str) -> None:
    assert naming_style(names) == style


def test_table_is_a_mapping_in_the_reference_order() -> None:
    table = ContigTable(PLAIN_37)
    assert list(table) == list(PLAIN_37)
    assert (table["MT"], len(table), "chr1" in table) == (16_569, 5, False)
    assert (table.assembly, table.style) == ("GRCh37", "1")
    again = pickle.loads(pickle.dumps(table))
    assert dict(again) == PLAIN_37
    assert again.assembly == "GRCh37"


@pytest.mark.parametrize(
    ("file", "assembly"),
    [
        ("population/gnomAD_v2.1.1_exomes.PCSK9.GRCh37.vcf.gz", "GRCh37"),
        ("population/gnomAD_v4.0_exomes.PCSK9.GRCh38.vcf.gz", "GRCh38"),
    ],
)
def test_all_24_chromosome_lengths_are_those_of_published_headers(
    shared_data: Path, file: str, assembly: str
) -> None:
    with gzip.open(shared_data / file, "rt") as lines:
        found = re.findall(r"##contig=<ID=((?:chr)?(?:\d+|X|Y)),length=(\d+)", lines.read())
    assert len(found) == 24
    assert {detect_assembly({name: int(length)}) for name, length in found} == {assembly}
