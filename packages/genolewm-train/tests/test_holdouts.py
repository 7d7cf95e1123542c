import hashlib

import pytest

from genolewm_core.errors import InputError, InternalError
from genolewm_train.holdouts import (
    FLANK_BP,
    NAMED_INTERVALS,
    Holdouts,
    gene_intervals,
    is_held_out_gene,
    read_holdouts,
)
from genolewm_train.intervals import intersect
from genolewm_train.training_sequence import read_training_sequence


def test_gene_hash_by_hand():
    for name in ("AGRN", "MTHFR", "BRCA1"):
        number = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
        assert is_held_out_gene(name) == (number % 5 == 0)
    assert is_held_out_gene("AGRN")
    assert not is_held_out_gene("MTHFR")


def test_genes_get_their_flanks(tiny_data):
    intervals, names = gene_intervals(tiny_data / "annotation" / "LRG_t1.GRCh38.gff3.gz")
    assert names == ("AGRN",)
    assert intervals == {"chr1": [(20_000 - FLANK_BP, 26_000 + FLANK_BP)]}


def test_both_assemblies_and_both_naming_styles(tiny_data):
    holdouts, _ = read_holdouts(tiny_data)
    assert holdouts.genes == ("AGRN",)
    # Shifted by 500 on the other assembly, where the lifted interval and the gene's own agree.
    assert holdouts.on("GRCh38", "chr1") == [(15_000, 31_000)]
    assert holdouts.on("GRCh37", "1") == holdouts.on("GRCh37", "chr1") == [(15_500, 31_500)]
    for assembly, contig in (("GRCh37", "21"), ("GRCh38", "chr21")):
        assert intersect([(0, 50_000_000)], holdouts.on(assembly, contig)) == [(0, 50_000_000)]


@pytest.mark.parametrize(
    ("assembly", "contig", "interval"),
    [
        ("GRCh37", "17", (41_399_999, 41_500_000)),
        ("GRCh38", "chr17", (43_044_294, 43_044_295)),
        ("GRCh37", "20", (1_999_999, 2_000_001)),
        ("GRCh37", "22", (0, 16_050_001)),
        ("GRCh38", "chr21", (0, 1)),
    ],
)
def test_planted_leak_is_caught(assembly, contig, interval):
    holdouts = Holdouts(NAMED_INTERVALS, ())
    with pytest.raises(InternalError) as caught:
        holdouts.check(assembly, contig, [(5, 5), interval])
    assert caught.value.code == "holdout-leak"


def test_no_piece_of_the_tiny_data_is_held_out(tiny_data):
    sequence, holdouts = read_training_sequence(tiny_data, human=0.8, species=0.1)
    human = sequence.sources[0].pieces
    for piece in human:
        holdouts.check(piece.assembly, piece.contig, [(piece.start, piece.start + len(piece.digits))])
    places = {(p.assembly, p.contig, p.start, p.start + len(p.digits)) for p in human}
    assert places == {
        ("GRCh38", "chr1", 0, 15_000),
        ("GRCh38", "chr1", 31_000, 60_000),
        ("GRCh38", "chr2", 0, 9_000),
        ("GRCh38", "chr2", 9_100, 30_000),
        # GRCh37's chromosome 1 is GRCh38's: only what has no counterpart there is added.
        ("GRCh37", "17", 0, 60_000),
    }


def test_real_sequence(shared_data):
    sequence, holdouts = read_training_sequence(shared_data, human=0.88, species=0.06)
    human = sequence.sources[0]
    for piece in human.pieces:
        holdouts.check(piece.assembly, piece.contig, [(piece.start, piece.start + len(piece.digits))])
    assert not {piece.contig for piece in human.pieces} & {"21", "chr21", "22"}
    assert 20e6 < human.n_bases < 30e6
    assert 40 < len(holdouts.genes) < 90
    # 20:1-2 Mb and the calibration part of 22 lift to chr20 and chr22 of GRCh38.
    assert intersect([(1_019_500, 2_019_000)], holdouts.on("GRCh38", "chr20")) == [(1_019_500, 2_019_000)]
    lifted = sum(end - start for start, end in holdouts.on("GRCh38", "chr22"))
    assert lifted > 5_500_000


def test_missing_annotation_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        gene_intervals(tmp_path / "none.gff3.gz")
    assert caught.value.code == "training-data-missing"
    assert "none.gff3.gz" in str(caught.value)
