"""Windows come back by number, whichever file and group they are in."""

import pickle
import random

import pytest

from genolewm_core.errors import InputError
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus import CorpusWindow
from genolewm_data.release.windows import GROUP_ROWS, WindowTable, write_windows

DRAW = random.Random(1)


def windows(n):
    for i in range(n):
        bases = "".join(DRAW.choices("ACGT", k=12))
        yield (
            ReferenceWindow("chr1", i, i + 12, bases)
            if i % 3
            else CorpusWindow("mrna_evo2", f"r{i}", i, bases)
        )


def test_windows_by_number(tmp_path):
    given = list(windows(2 * GROUP_ROWS + 10))
    cut = GROUP_ROWS + 5
    assert write_windows(tmp_path / "a.parquet", ((window, "") for window in given[:cut])) == cut
    write_windows(tmp_path / "b.parquet", ((window, "chr21") for window in given[cut:]))
    table = pickle.loads(pickle.dumps(WindowTable([tmp_path / "a.parquet", tmp_path / "b.parquet"])))
    assert table.group_first == [0, GROUP_ROWS, cut, cut + GROUP_ROWS, len(given)]
    assert list(table) == given
    assert table.holdouts() == [""] * cut + ["chr21"] * (len(given) - cut)
    with pytest.raises(IndexError):
        table[len(given)]


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write_windows(path, ((window, "") for window in windows(5)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="dataset-invalid"):
        WindowTable([path])
