"""Lifting, by hand and against the real chain."""

import csv
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_core.genome.variant import Variant
from genolewm_data.holdouts.chain import JOIN_BP, Block, Chain
from genolewm_data.holdouts.intervals import Intervals

CHAIN = """\
# two blocks of 100 with a gap of 10 / 20, then one reversed block: 0-50 of chr2 is 950-1000 of chr9
chain 1 chr1 1000 + 100 310 chr1 2000 + 500 720 1
100 10 20
100

chain 1 chr2 1000 + 0 50 chr9 1000 - 0 50 2
50
"""


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "a.chain.gz"
    path.write_bytes(gzip.compress(CHAIN.encode()))
    return Chain.read(path)


@pytest.mark.parametrize(
    ("contig", "span", "image"),
    [
        ("chr1", (100, 150), {"chr1": [(500, 550)]}),
        ("1", (210, 220), {"chr1": [(620, 630)]}),
        ("chr1", (190, 220), {"chr1": [(590, 630)]}),  # joined over the gap
        ("chr1", (200, 210), {}),
        ("chr2", (0, 10), {"chr9": [(990, 1000)]}),
        ("chr3", (0, 10), {}),
    ],
)
def test_lift(chain, contig, span, image):
    assert chain.lift(Intervals.of({contig: [span]})) == Intervals.of(image)


def test_the_inverse_brings_back(chain):
    back = chain.inverse()
    assert back.lift(Intervals.of({"chr1": [(500, 550)]})) == Intervals.of({"chr1": [(100, 150)]})
    assert back.lift(Intervals.of({"chr9": [(990, 1000)]})) == Intervals.of({"chr2": [(0, 10)]})


@pytest.mark.parametrize(
    ("variant", "image"),
    [
        ("chr1:101:A:G", "chr1:501:A:G"),
        ("1:200:A:G", "chr1:600:A:G"),
        ("chr1:200:AT:A", None),  # its second base lies in no block
        ("chr1:205:A:G", None),
        ("chr2:1:AC:A", "chr9:999:GT:T"),
        ("chr3:1:A:G", None),
    ],
)
def test_lift_a_variant(chain, variant, image):
    assert chain.lift_variant(Variant.parse(variant)) == (image and Variant.parse(image))


BLOCKS = st.lists(
    st.builds(
        Block,
        st.just("chr1"),
        st.integers(0, 60),
        st.sampled_from(["chr1", "chr2"]),
        st.integers(0, 60),
        st.integers(1, 20),
        st.sampled_from([1, -1]),
    ),
    max_size=6,
)


@given(BLOCKS, st.integers(0, 80), st.integers(1, 20))
def test_images_are_those_of_each_base(blocks, start, size):
    images = {
        (b.target_contig, b.target_start + (at if b.sign > 0 else b.size_bp - 1 - at))
        for base in range(start, start + size)
        for b in blocks
        if 0 <= (at := base - b.source_start) < b.size_bp
    }
    lifted = Chain(tuple(blocks)).lift(Intervals.of({"chr1": [(start, start + size)]}))
    by_base = Intervals.of({c: [(x, x + 1) for n, x in images if n == c] for c, _ in images}, gap_bp=JOIN_BP)
    assert lifted == by_base


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"12 1 1\n"), gzip.compress(b"chain 1\n"), gzip.compress(b""),
                gzip.compress(CHAIN.encode())[:-12]]
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "b.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Chain.read(path)
    assert caught.value.code == "training-data-missing"


def test_places_of_real_variants_agree_with_the_table(shared_data):
    chain = Chain.read(shared_data / "reference" / "hg19ToHg38.over.chain.gz")
    with gzip.open(shared_data / "clinvar" / "clinvar_labelled.covered.shared.tsv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["pos38"]][:3_000:7]
    for row in rows:
        lifted = chain.lift_variant(Variant(row["chrom"], int(row["pos37"]), row["ref"][0], row["alt"][0]))
        assert lifted is not None
        assert lifted.pos == int(row["pos38"])
