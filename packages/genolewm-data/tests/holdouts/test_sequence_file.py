"""K-mers of held-out sequence come back from their file as they were, or not at all."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.kmers import HeldSequence
from genolewm_data.holdouts.sequence_file import read_held_sequence, write_held_sequence


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    rng = random.Random(3)
    bases = "".join(rng.choices("ACGT", k=4_000))
    path = tmp_path_factory.mktemp("fasta") / "reference.fa"
    path.write_text(f">1\n{bases}\n>2\n{bases[:500]}\n")
    regions = {
        "a": Intervals.of({"1": [(0, 3_000)]}),
        "b": Intervals.of({"1": [(2_000, 4_000)], "2": [(0, 500)]}),
    }
    return HeldSequence.of(regions, Reference(path))


def test_what_is_written_is_read(sequence, tmp_path):
    assert len(sequence.repeats)
    path = tmp_path / "kmers.parquet"
    write_held_sequence(path, sequence)
    again = read_held_sequence(path)
    assert again.digest == sequence.digest
    for name in ("kmers", "labels", "places", "repeats"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sequence, name))
        assert getattr(again, name).dtype == getattr(sequence, name).dtype
    assert again.names == sequence.names


def test_of_nothing_held_out_there_are_none(tmp_path):
    empty = np.empty(0, np.uint64)
    nothing = HeldSequence((), empty, np.empty(0, np.uint16), np.empty(0, np.int32), empty)
    write_held_sequence(tmp_path / "none.parquet", nothing)
    assert read_held_sequence(tmp_path / "none.parquet").match("ACGT" * 100).found == 0


def without_a_row(table):
    return table.slice(1)


def with_another_label(table):
    labels = table["labels"].to_numpy().copy()
    labels[0] ^= 1
    return table.set_column(1, "labels", pa.array(labels))


def sampled_otherwise(table):
    said = json.loads(table.schema.metadata[b"genolewm"])
    return table.replace_schema_metadata({b"genolewm": json.dumps({**said, "kept_one_in": 4}).encode()})


def without_metadata(table):
    return table.replace_schema_metadata(None)


@pytest.mark.parametrize("change", [without_a_row, with_another_label, sampled_otherwise, without_metadata])
def test_what_was_changed_is_refused(sequence, tmp_path, change):
    path = tmp_path / "kmers.parquet"
    write_held_sequence(path, sequence)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(InputError) as caught:
        read_held_sequence(path)
    assert caught.value.code == "holdouts-invalid"
