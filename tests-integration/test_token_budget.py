"""Tokens run per variant on real people, against the design's figure; no model is needed to count them."""

import pytest

from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows
from genolewm_core.scoring.branches import plan_pass
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.heads import HEADS, spans_of

PER_VARIANT = 151
PEOPLE = [
    ("NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz", "GRCh38.shared.fa.gz", 5_003),
    ("HG02102.chr21.1000G_phase3.GRCh37.vcf.gz", "GRCh37.shared.fa.gz", 2_416),
]


@pytest.mark.parametrize(("vcf", "fasta", "covered"), PEOPLE, ids=["NA12878", "HG02102"])
def test_tokens_per_variant(shared_data, vcf, fasta, covered):
    reference = Reference(shared_data / "reference" / fasta)
    geometry = Geometry()
    cells = {}
    records = set()
    for row in read_rows(shared_data / "personal" / vcf, reference):
        if row.status in ("scorable", "identity") or row.reason == "allele_too_long":
            records.add(row.row)
        if row.replacement is not None:
            cells.setdefault((row.contig, geometry.cell(row.replacement.start)), set()).add(row.replacement)
    assert len(records) == covered
    spans = spans_of(HEADS, radius_tok=8, ll_tok=9)
    n_tok = 0
    for (contig, cell), edits in cells.items():
        view = StrandView(reference.contig(contig))
        ordered = sorted(edits, key=lambda e: (e.start, e.end, e.alt))
        n_tok += plan_pass(view, geometry.window(cell, view), ordered, spans).n_tok
    assert n_tok / sum(map(len, cells.values())) == pytest.approx(PER_VARIANT, rel=0.05)
