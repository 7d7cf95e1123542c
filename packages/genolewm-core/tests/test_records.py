"""VCF text in every wrapping; what is refused, after which record, and that no allele shows in an error."""

from __future__ import annotations

import gzip
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genolewm_core.genome.records as module
from genolewm_core.errors import InputError
from genolewm_core.genome.records import VcfRecords

HEADER = (
    "##fileformat=VCFv4.2\n"
    "##reference=file:///refs/hg38.fa\n"
    "##contig=<ID=chr1,length=248956422,assembly=GRCh38>\n"
    '##contig=<length=5,Description="a, b",ID=HLA-A*01:01>\n'
    "##contig=<ID=nolength>\n"
    "##contig=<ID=zero,length=0>\n"
    f"##contig=<ID=absurd,length={'9' * 1_000}>\n"
    "##contig=nonsense\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
)
UNKNOWN = ("nolength", "zero", "absurd")
BODY = "".join(f"chr1\t{pos}\t.\tA\tC,<DEL>\t.\tPASS\t.\tGT\t0/1\n" for pos in range(1, 2_001))
RECORDS = [("chr1", pos, "A", "C,<DEL>") for pos in range(1, 2_001)]


def bgzip(path: Path, text: bytes) -> Path:
    plain = path.with_suffix(".plain")
    plain.write_bytes(text)
    pysam.tabix_compress(str(plain), str(path), force=True)
    return path


@pytest.mark.parametrize(
    "wrapping", ["plain", "bgzip", "gzip", "two gzip members", "crlf", "bom", "no newline"]
)
def test_every_wrapping_reads_the_same(tmp_path: Path, wrapping: str) -> None:
    text = (HEADER + BODY).encode()
    path = tmp_path / "in.vcf"
    match wrapping:
        case "plain":
            path.write_bytes(text)
        case "bgzip":
            bgzip(path, text)
        case "gzip":
            path.write_bytes(gzip.compress(text))
        case "two gzip members":
            path.write_bytes(gzip.compress(text[:5_000]) + gzip.compress(text[5_000:]))
        case "crlf":
            path.write_bytes(text.replace(b"\n", b"\r\n"))
        case "bom":
            path.write_bytes(b"\xef\xbb\xbf" + text)
        case "no newline":
            path.write_bytes(text[:-1])
    with VcfRecords(path) as records:
        assert records.contig_lengths == {"chr1": 248_956_422, "HLA-A*01:01": 5, **dict.fromkeys(UNKNOWN)}
        assert records.stated_assemblies == {"GRCh38"}
        assert list(records) == RECORDS


def test_blank_lines_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "\n" + BODY.splitlines()[0] + "\n\n \n" + BODY.splitlines()[1] + "\n\n")
    assert list(VcfRecords(path)) == RECORDS[:2]


def test_alleles_and_names_come_back_as_given(tmp_path: Path) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "HLA-A*01:01\t0\t.\tn\ta,*,G]chr1:5],<INS:ME>,.A,\t.\t.\t.\n")
    assert list(VcfRecords(path)) == [("HLA-A*01:01", 0, "n", "a,*,G]chr1:5],<INS:ME>,.A,")]


@pytest.mark.parametrize(
    ("text", "what", "place", "found"),
    [
        ("", "is not a VCF", "", "an empty file"),
        ("chr1\t1\t.\tA\tC\t.\t.\t.\n", "is not a VCF", "", "other text"),
        ("##fileformat=BCF\n", "is not a VCF", "", "a header without its first line"),
        ("BCF\x02\x02", "is not a VCF", "", "a BCF"),
        ("##fileformat=VCFv3.3\n", "is of a version that cannot be read", ", line 1", None),
        ("##fileformat=VCFv5.0\n", "is of a version that cannot be read", ", line 1", None),
        ("##fileformat=VCF\n", "is of a version that cannot be read", ", line 1", None),
        ("##fileformat=VCFv4.2\n", "has no column line", "", "the file's end"),
        ("##fileformat=VCFv4.2\nchr1\t1\t.\tA\tC\t.\t.\t.\n", "has no column line", ", line 2", "a record"),
        ("##fileformat=VCFv4.2\nsay\n", "has a line in its header", ", line 2", "another beginning"),
        ("##fileformat=VCFv4.2\n##a=\n#CHROM POS ID REF\n", "malformed column line", ", line 3", "no tabs"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\n", "malformed column line", ", line 2", "4 columns"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tREF\tALT\n", "column line", ", line 2", "column 3 is not ID"),
    ],
)
def test_not_a_vcf(tmp_path: Path, text: str, what: str, place: str, found: str | None) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        VcfRecords(path)
    error = caught.value
    assert (error.code, error.where, error.found) == ("vcf-unreadable", f"in.vcf{place}", found)
    assert error.expected
    assert error.next_step


def test_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.vcf").mkdir()
    for name in ("missing.vcf", "folder.vcf"):
        with pytest.raises(InputError, match="could not be opened") as caught:
            VcfRecords(tmp_path / name)
        assert caught.value.code == "vcf-unreadable"


CANARY = "GATTACAGATTACA"


@pytest.mark.parametrize(
    "line",
    [
        f"chr1\t31415926\t.\t{CANARY}",
        f"chr1 31415926 . {CANARY} C . . .",
        f"chr1\t31415926\t.\t{CANARY}\tC\t.\t.",
        f"chr1\t31415926x\t.\t{CANARY}\tC\t.\t.\t.",
        f"chr1\t-31415926\t.\t{CANARY}\tC\t.\t.\t.",
        f"chr1\t{'3' * 19}\t.\t{CANARY}\tC\t.\t.\t.",
        f"chr1\t{'3' * 9_000}\t.\t{CANARY}\tC\t.\t.\t.",
        f"chr1\t²\t.\t{CANARY}\tC\t.\t.\t.",
        f"chr1\t\t.\t{CANARY}\tC\t.\t.\t.",
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
        f"##fileformat={CANARY}",
    ],
)
def test_malformed_record_names_the_last_good_one_and_shows_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "".join(BODY.splitlines(keepends=True)[:7]) + line + "\n" + BODY)
    seen = []
    with pytest.raises(InputError) as caught:
        seen.extend(VcfRecords(path))
    error = caught.value
    assert (error.code, error.where) == ("vcf-unreadable", "in.vcf, after record 7")
    assert error.details == {"record": 7}
    for text in (str(error), repr(error), repr(error.__cause__), repr(error.__context__ and str(error))):
        assert CANARY not in text
        assert "31415926" not in text


def test_cut_and_damaged_compressed_files(tmp_path: Path) -> None:
    whole = bgzip(tmp_path / "whole.vcf.gz", (HEADER + BODY * 20).encode()).read_bytes()
    zipped = gzip.compress((HEADER + BODY * 20).encode())
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    cases = {
        "no_end_marker.vcf.gz": whole[:-28],
        "half.vcf.gz": whole[: len(whole) // 2],
        "half_gzip.vcf.gz": zipped[: len(zipped) // 2],
        "no_checksum_gzip.vcf.gz": zipped[:-4],
        "garbage_after.vcf.gz": zipped + b"garbage",
        "flipped.vcf.gz": bytes(flipped),
        "head_only.vcf.gz": whole[:20],
        "magic_only.vcf.gz": whole[:2],
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            list(VcfRecords(path))
        assert caught.value.code == "vcf-unreadable", name
        assert caught.value.where is not None
        assert caught.value.where.startswith(name)


def test_endless_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_LIMIT_BYTES", 4_096)
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + BODY.splitlines()[0] + "\nchr1\t2\t.\t" + "A" * 10_000)
    with pytest.raises(InputError, match="too long") as caught:
        list(VcfRecords(path))
    assert caught.value.details == {"record": 1}


@settings(max_examples=150)
@given(st.binary(max_size=300), st.integers(0, 3), st.data())
def test_no_bytes_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, kind: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.vcf"
    good = (HEADER + "".join(BODY.splitlines(keepends=True)[:5])).encode()
    at = data.draw(st.integers(0, len(good)))
    content = [junk, good[:at] + junk + good[at:], good[:at] + junk, good[:at]][kind]
    path.write_bytes(gzip.compress(content) if data.draw(st.booleans()) else content)
    try:
        for chrom, pos, ref, alt in VcfRecords(path):
            assert isinstance(chrom + ref + alt, str)
            assert 0 <= pos < 10**18
    except InputError as error:
        code = error.code
    else:
        code = "vcf-unreadable"
    assert code == "vcf-unreadable"
