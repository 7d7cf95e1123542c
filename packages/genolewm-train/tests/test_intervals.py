import gzip

import pytest

from genolewm_core.errors import InputError
from genolewm_train.intervals import intersect, merge, subtract, union
from genolewm_train.liftover import read_chain


@pytest.mark.parametrize(
    ("intervals", "removed", "left"),
    [
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(3, 5)], [(0, 3), (5, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(0, 10)], [(10, 20)], [(0, 10)]),
        ([(5, 10), (0, 6)], [(2, 3), (9, 30)], [(0, 2), (3, 9)]),
        ([(0, 10), (20, 30)], [(5, 25)], [(0, 5), (25, 30)]),
    ],
)
def test_subtract(intervals, removed, left):
    assert subtract(intervals, removed) == left


def test_merge_and_union_and_intersect():
    assert merge([(5, 5), (3, 4), (0, 2)]) == [(0, 2), (3, 4)]
    assert merge([(0, 2), (3, 4)], gap_bp=1) == [(0, 4)]
    assert union({"a": [(0, 1)]}, {"a": [(1, 2)], "b": [(4, 5)]}) == {"a": [(0, 2)], "b": [(4, 5)]}
    assert intersect([(0, 10)], [(5, 20), (30, 40)]) == [(5, 10)]


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
    return read_chain(path)


@pytest.mark.parametrize(
    ("contig", "span", "image"),
    [
        ("chr1", (100, 150), {"chr1": [(500, 550)]}),
        ("chr1", (210, 220), {"chr1": [(620, 630)]}),
        ("chr1", (190, 220), {"chr1": [(590, 630)]}),  # joined over the gap
        ("chr1", (200, 210), {}),
        ("chr2", (0, 10), {"chr9": [(990, 1000)]}),
        ("chr3", (0, 10), {}),
    ],
)
def test_lift(chain, contig, span, image):
    assert chain.lift({contig: [span]}) == image


def test_inverse_brings_back(chain):
    back = chain.inverse()
    assert back.lift({"chr1": [(500, 550)]}) == {"chr1": [(100, 150)]}
    assert back.lift({"chr9": [(990, 1000)]}) == {"chr2": [(0, 10)]}


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"12 1 1\n"), gzip.compress(b"chain 1\n")])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "b.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_chain(path)
    assert caught.value.code == "training-data-missing"
