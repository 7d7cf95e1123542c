"""The file of a table of blocks: as it was, or not there."""

import resource

import pytest

from genolewm_core.errors import ResourceError
from genolewm_core.genome.variant import Variant
from genolewm_data.haplotypes.calls import Block, Call
from genolewm_data.haplotypes.table import HaplotypeTable


def test_a_table_that_finds_no_room_leaves_no_file(tmp_path):
    calls = [Variant("chr1", pos, "A", "C") for pos in (5, 9)]
    table = HaplotypeTable({Block(tuple(Call(key, key) for key in calls)): 3})
    path = tmp_path / "blocks.parquet"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(ResourceError, match="output-unwritable"):
            table.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
    table.write(path)
    assert HaplotypeTable.read(path).counts == table.counts
