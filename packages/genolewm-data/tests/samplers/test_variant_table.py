"""Variants of prepared shards, by window."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.variant import EditType, RelEdit, Variant
from genolewm_data.samplers import EditableWindow, SlotWords, TableSampler, VariantTable

ROWS = [
    ("1", 300, "A", "G", 0.5, "P"),
    ("1", 100, "C", "CT", 0.02, "LP"),
    ("1", 200, "ACGT", "A", 0.01, "B"),
    ("2", 50, "G", "T", 0.3, "P"),
    ("1", 150, "G", "A", 0.009, "P"),
    ("1", 160, "G", "A", None, None),
    ("1", 170, "G", "A" * 17, 0.2, "VUS"),
    ("1", 180, "G", "*", 0.2, "P"),
    ("HLA", 5, "G", "A", 0.2, "P"),
]


@pytest.fixture
def shard(tmp_path):
    columns = dict(
        zip(("chrom", "pos", "ref", "alt", "af", "label"), map(list, zip(*ROWS, strict=True)), strict=True)
    )
    path = tmp_path / "variants.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return path


def spelled(table, contig):
    held = table.contigs[contig]
    return [(int(s) + 1, *held.alleles_of(i)) for i, s in enumerate(held.start)]


def test_common_variants_are_read_sorted_and_the_rest_counted(shard):
    table = VariantTable.read_gnomad(shard)
    assert spelled(table, "1") == [(100, "C", "CT"), (200, "ACGT", "A"), (300, "A", "G")]
    assert sorted(table.contigs) == ["1", "2", "HLA"]
    assert table.left_out == {"rare": 2, "too_long": 1, "not_plain": 1}
    assert len(table) + table.left_out.total() == len(ROWS)


def test_names_of_the_reference_are_used(shard):
    table = VariantTable.read_gnomad(shard, contigs=ContigTable({"chr1": 1_000, "chr2": 500}))
    assert sorted(table.contigs) == ["chr1", "chr2"]
    assert table.left_out["unknown_contig"] == 1


def test_labels_are_chosen(shard):
    assert spelled(VariantTable.read_clinvar(shard), "1") == [
        (100, "C", "CT"),
        (150, "G", "A"),
        (300, "A", "G"),
    ]
    assert len(VariantTable.read_clinvar(shard, labels=["B"])) == 1


def test_a_table_survives_pickling(shard):
    table = pickle.loads(pickle.dumps(VariantTable.read_gnomad(shard)))
    assert spelled(table, "2") == [(50, "G", "T")]


@pytest.mark.parametrize("damage", ["missing", "truncated", "no column"])
def test_a_shard_that_cannot_be_used_is_an_error(shard, damage):
    if damage == "missing":
        shard.unlink()
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-20])
    else:
        pq.write_table(pq.read_table(shard).drop_columns(["af"]), shard)
    with pytest.raises(InputError) as error:
        VariantTable.read_gnomad(shard)
    assert error.value.code == "training-data-missing"


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 400), max_size=30),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 2**64 - 1),
)
def test_proposals_are_the_variants_of_the_stretch(places, low, size, seed):
    table = VariantTable.of(Variant("c", 1_001 + p, "A", "G") for p in places)
    window = EditableWindow("A" * 400, 10, "c", 1_000)
    words = SlotWords(seed).of_window(0, 40)[:, 1].tolist()
    inside = {p for p in places if low <= p < low + size}
    sampler = TableSampler("gnomad", table)
    proposed = [sampler.propose(window, row, low, low + size) for row in words]
    assert {None if rel is None else rel.rel_pos for rel in proposed} <= (inside or {None})
    assert all(rel == RelEdit(rel.rel_pos, EditType.SNV, "A", "G") for rel in proposed if rel is not None)


def test_every_variant_of_a_window_is_proposed_equally_often():
    table = VariantTable.of(Variant("c", 1_001 + 7 * p, "A", "G") for p in range(10))
    words = SlotWords(5).of_window(0, 2_500)[:, 1:5].reshape(-1, 8).tolist()
    sampler, window = TableSampler("gnomad", table), EditableWindow("A" * 400, 10, "c", 1_000)
    proposed = [sampler.propose(window, row, 0, 400) for row in words]
    counts = np.bincount([rel.rel_pos // 7 for rel in proposed])
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 21.666  # chi-square, 9 degrees of freedom, p = 0.01


def test_a_window_without_a_place_or_on_another_contig_has_none():
    sampler = TableSampler("gnomad", VariantTable.of([Variant("c", 5, "A", "G")]))
    for window in (EditableWindow("A" * 50, 2), EditableWindow("A" * 50, 2, "other", 0)):
        assert sampler.propose(window, [0] * 8, 0, 50) is None
