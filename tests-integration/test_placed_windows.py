"""The windows that training reads are those that the cache was filled with."""

import random

import pytest

from genolewm_core.genome.bed import Region
from genolewm_core.scoring.cells import Geometry
from genolewm_data.placed import Cells, PlacedStream
from genolewm_encoder.windows.fasta import WHOLE, FastaWindows


@pytest.mark.parametrize("regions", [None, [Region("c1", 5_000, 9_000), Region("c1", 9_500, 30_000)]])
def test_cells_are_the_windows_that_the_cache_encodes(tmp_path, regions):
    draw = random.Random(2)
    text = "".join(draw.choices("ACGT", k=40_003))
    contigs = {"c1": "N" * 1_000 + text[:30_000] + "N" * 9_000 + text[30_000:], "c2": "ACG"}
    path = tmp_path / "cells.fa"
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    geometry = Geometry(6_144, 3_072)
    source = FastaWindows(path, geometry, WHOLE, regions)
    expected = [w for block in source.blocks() for w in source.windows(block)]
    reader = PlacedStream(path, Cells(geometry), regions=regions, seed=None, max_n_share=1.0).reader()
    got = list(reader)
    assert got == [w for w in expected if len(w.sequence) >= 6]
    assert len(got) > 5
    n_cells = sum(source.n_cells(block) for block in source.blocks())
    assert sum(getattr(reader.account, name) for name in ("windows", "short", "all_n")) == n_cells
