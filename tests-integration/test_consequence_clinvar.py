"""Consequences of real variants, against a table that was made by other code from the same transcripts."""

from __future__ import annotations

import csv
import gzip
from collections import Counter

from genolewm_core.genome.annotation import Annotation
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant


def test_consequences_agree_with_the_clinvar_table(shared_data):
    reference = Reference(shared_data / "reference/GRCh37.shared.fa.gz")
    annotation = Annotation.read(shared_data / "annotation/LRG_t1.GRCh37.gff3.gz", reference.contigs)
    contigs = {name: reference.contig(name) for name in reference.contigs}
    total, differences, unnamed = 0, Counter(), set()
    with gzip.open(shared_data / "clinvar/clinvar_labelled.covered.shared.tsv.gz", "rt") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            variant = Variant(row["chrom"], int(row["pos37"]), row["ref"], row["alt"])
            effect = annotation.consequence(variant, contigs[variant.chrom])
            found = None if effect is None else effect.consequence
            if not row["consequence_lrg"]:
                unnamed.add(found)
                continue
            total += 1
            if found != row["consequence_lrg"]:
                differences[row["consequence_lrg"], found] += 1
    assert total > 30_000
    assert sum(differences.values()) <= 0.005 * total, differences
    # Where the table says nothing there is no gene near.
    assert unnamed == {None}
    # Single bases differ in three rows only; docs/formats/annotation.md says what is known of them.
    single = {pair: n for pair, n in differences.items() if pair[0] in ("missense", "synonymous", "nonsense")}
    assert sum(single.values()) <= 3, single
