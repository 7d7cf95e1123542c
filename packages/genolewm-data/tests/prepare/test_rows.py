"""A shard whose footer is whole and whose pages are not, or that somebody has made by hand."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genolewm_core.artifacts.atomic import writing
from genolewm_core.errors import InputError, ResourceError
from genolewm_data.prepare.rows import VARIANT, shard_batches, shard_contigs, shard_schema

COLUMNS = {
    "chrom": ["1"] * 500 + ["2"] * 500,
    "pos": list(range(1, 1_001)),
    "ref": ["A", "C"] * 500,
    "alt": ["AG", "T"] * 500,
    "af": [n / 1_000 for n in range(1_000)],
}


@pytest.fixture
def shard(tmp_path):
    pq.write_table(pa.table(COLUMNS), tmp_path / "variants.parquet", row_group_size=300, compression="zstd")
    return tmp_path / "variants.parquet"


def damage(path, column):
    """Change the second half of a column's last pages; the footer stays."""
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    chunk = metadata.row_group(metadata.num_row_groups - 1).column(names.index(column))
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    for at in range(start + chunk.total_compressed_size // 2, start + chunk.total_compressed_size):
        data[at] ^= 0x5A
    path.write_bytes(data)


def rows(path, *columns):
    return [
        row for batch in shard_batches(path, shard_schema(path, columns), 128) for row in batch.to_pylist()
    ]


def test_rows_are_those_of_the_file(shard):
    assert rows(shard, *VARIANT, "af") == pa.table(COLUMNS).to_pylist()
    assert shard_contigs(shard) == ["1", "2"]
    assert shard_schema(shard, VARIANT, ("af", "gene")).names == [*VARIANT, "af"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_page_is_an_error_of_the_shard_also_while_something_is_written(shard, tmp_path, column):
    damage(shard, column)
    with pytest.raises(InputError, match="training-data-missing"), writing(tmp_path / "table"):
        rows(shard, *VARIANT, "af")


def test_trouble_of_the_writer_stays_its_own(shard, tmp_path):
    def write(batch):
        raise OSError("no room")

    batches = shard_batches(shard, shard_schema(shard, VARIANT))
    with pytest.raises(ResourceError, match="output-unwritable"), writing(tmp_path / "table"):
        write(next(batches))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"af": None}, "no column af"),
        ({"alt": [None, *COLUMNS["alt"][1:]]}, "rows without"),
        ({"pos": ["first"] * 1_000}, "ArrowInvalid"),
        ({"af": [[0.5]] * 1_000}, "Arrow"),
        ({"ref": pa.array([b"\xff"] * 1_000, pa.binary())}, "Arrow"),
    ],
)
def test_a_file_made_by_hand_is_refused(shard, change, found):
    columns = {name: held for name, held in {**COLUMNS, **change}.items() if held is not None}
    pq.write_table(pa.table(columns), shard)
    with pytest.raises(InputError) as caught:
        rows(shard, *VARIANT, "af")
    assert caught.value.code == "training-data-missing"
    assert found in caught.value.found
