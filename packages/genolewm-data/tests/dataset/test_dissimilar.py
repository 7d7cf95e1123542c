"""Which windows a comparison with held-out sequence lets through."""

import random
from collections import Counter

from genolewm_core.genome.reference import Reference
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus import CorpusWindow
from genolewm_data.dataset.windows import _dissimilar
from genolewm_data.holdouts.held import WHOLE_CONTIG
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.kmers import HeldSequence


def test_a_window_without_a_place_has_to_be_comparable(tmp_path):
    draw = random.Random(1)
    held, free = ("".join(draw.choices("ACGT", k=6_000)) for _ in range(2))
    (tmp_path / "reference.fa").write_text(f">chr21\n{held}\n")
    regions = {"chr21": Intervals.of({"chr21": [WHOLE_CONTIG]})}
    sequence = HeldSequence.of(regions, Reference(tmp_path / "reference.fa"))
    short, long = free[:600], free[:3_000]
    windows = [
        CorpusWindow("mrna_evo2", "short copy", 0, held[:600]),
        CorpusWindow("mrna_evo2", "short", 0, short),
        CorpusWindow("mrna_evo2", "long copy", 0, held[:3_000]),
        kept := CorpusWindow("mrna_evo2", "long", 0, long),
        placed := ReferenceWindow("chr1", 0, 600, short),
        ReferenceWindow("chr1", 0, 3_000, held[3_000:]),
    ]
    refused = Counter()
    assert list(_dissimilar(iter(windows), sequence, None, refused)) == [kept, placed]
    assert refused == {("mrna_evo2", "undecided"): 2, ("mrna_evo2", "similar"): 1, ("placed", "similar"): 1}
