"""Regions out of BED files: what is read, what is merged, and what is refused with its line."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_core.genome.bed import Bed, Region, merge_regions, read_bed, whole_genome
from genolewm_core.genome.contigs import ContigTable

CONTIGS = ContigTable({"chr2": 500, "chr1": 1_000, "chrM": 16_569})


def bed(tmp_path, text, name="regions.bed"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


READABLE = {
    "one": ("chr1\t10\t20\n", [("chr1", 10, 20)]),
    "no end of line": ("chr1\t10\t20", [("chr1", 10, 20)]),
    "more columns": ("chr1\t10\t20\tname\t0\t+\n", [("chr1", 10, 20)]),
    "empty columns after": ("chr1\t10\t20\t\t\n", [("chr1", 10, 20)]),
    "blanks for tabs": ("chr1 10  20 a name\n", [("chr1", 10, 20)]),
    "windows ends": ("chr1\t10\t20\r\nchr1\t30\t40\r\n", [("chr1", 10, 20), ("chr1", 30, 40)]),
    "byte order mark": (b"\xef\xbb\xbfchr1\t10\t20\n", [("chr1", 10, 20)]),
    "headers": (
        'browser position chr1:1-9\ntrack name="t" x=1\n#chrom\tstart\n\nchr1\t0\t1000\n',
        [("chr1", 0, 1_000)],
    ),
    "other style": ("1\t10\t20\nchrM\t0\t5\n", [("chr1", 10, 20), ("chrM", 0, 5)]),
    "reference's order": ("chr1\t1\t2\nchr2\t1\t2\n", [("chr2", 1, 2), ("chr1", 1, 2)]),
    "unsorted": ("chr1\t30\t40\nchr1\t1\t2\n", [("chr1", 1, 2), ("chr1", 30, 40)]),
    "overlapping": ("chr1\t10\t20\nchr1\t15\t30\n", [("chr1", 10, 30)]),
    "touching": ("chr1\t10\t20\nchr1\t20\t30\n", [("chr1", 10, 30)]),
    "inside": ("chr1\t10\t40\nchr1\t15\t20\n", [("chr1", 10, 40)]),
    "twice": ("chr1\t10\t20\n1\t10\t20\n", [("chr1", 10, 20)]),
}


@pytest.mark.parametrize("case", READABLE)
def test_what_is_read(case, tmp_path):
    text, expected = READABLE[case]
    assert read_bed(bed(tmp_path, text), CONTIGS) == tuple(Region(*place) for place in expected)


def test_compressed(tmp_path):
    packed = bed(tmp_path, gzip.compress(b"chr1\t1\t9\n"), "regions.bed.gz")
    assert read_bed(packed, CONTIGS) == (Region("chr1", 1, 9),)


REFUSED = {
    "no region": ("# nothing\n\n", None, "lists no region"),
    "empty": ("", None, "lists no region"),
    "two columns": ("chr1\t1\t9\nchr1\t1\n", 2, "too few columns"),
    "a word": ("chr1\tten\t20\n", 1, "is no region"),
    "below zero": ("chr1\t-1\t20\n", 1, "is no region"),
    "a fraction": ("chr1\t1\t2.5\n", 1, "is no region"),
    "huge": ("chr1\t1\t" + "9" * 40 + "\n", 1, "is no region"),
    "an empty column": ("chr1\t\t20\n", 1, "is no region"),
    "no bases": ("#\nchr1\t20\t20\n", 2, "without bases"),
    "backwards": ("chr1\t20\t10\n", 1, "without bases"),
    "beyond the end": ("chr1\t20\t1001\n", 1, "beyond the end"),
    "no such contig": ("chr7\t1\t9\n", 1, "a contig that the reference does not have"),
    "no text": (bytes(range(128, 200)) + b"\n", 1, "too few columns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, tmp_path):
    text, line, words = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read_bed(bed(tmp_path, text), CONTIGS)
    error = caught.value
    assert (error.code, error.exit_code) == ("bed-invalid", 2)
    assert words in error.what
    assert error.expected
    assert error.next_step
    assert error.where == ("regions.bed" if line is None else f"regions.bed, line {line}")


@pytest.mark.parametrize("damage", ["missing", "folder", "cut"])
def test_what_cannot_be_read(damage, tmp_path):
    path = tmp_path / "regions.bed.gz"
    if damage == "folder":
        path.mkdir()
    elif damage == "cut":
        path.write_bytes(gzip.compress(b"chr1\t1\t9\n" * 9_000)[:-9])
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_bed(path, CONTIGS)
    assert caught.value.code == "bed-invalid"


def test_what_was_done_is_told(tmp_path):
    messy = Bed.read(bed(tmp_path, "chr1\t30\t40\nchr1\t1\t2\nchr1\t35\t50\n"), CONTIGS)
    assert (messy.n_lines, messy.n_merged, messy.in_order) == (3, 1, False)
    neat = Bed.read(bed(tmp_path, "chr2\t1\t2\nchr1\t1\t2\n"), CONTIGS)
    assert (neat.n_lines, neat.n_merged, neat.in_order) == (2, 0, True)


def test_the_whole_genome():
    assert whole_genome(ContigTable({"a": 3, "b": 0, "c": 1})) == (Region("a", 0, 3), Region("c", 0, 1))


@given(
    st.lists(
        st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 60), st.integers(1, 20)), max_size=30
    )
)
def test_merging_keeps_every_base_and_no_other(places):
    regions = [Region(name, start, start + length) for name, start, length in places]
    merged = merge_regions(regions, CONTIGS)

    def bases(of):
        return [(r.contig, base) for r in of for base in range(r.start, r.end)]

    assert set(bases(merged)) == set(bases(regions))
    assert len(set(bases(merged))) == len(bases(merged))
    for left, right in itertools.pairwise(merged):
        assert left.contig != right.contig or left.end < right.start
