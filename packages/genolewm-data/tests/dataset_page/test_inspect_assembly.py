"""An annotation of another assembly is refused by what the windows read where its genes begin."""

import random

import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.transcripts import Transcript
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.corpus.windows import CorpusWindow
from genolewm_data.inspect.assembly import refuse_other_assembly, start_codons
from genolewm_data.inspect.gather import inspect_release
from genolewm_data.release.release import Release
from genolewm_data.release.windows import WindowTable, write_windows

N_GENES = 12
GENE_BP = 90
CONTIG_BP = 6_000


def genes(shift=0, n=N_GENES):
    """Genes at 500, 900, ..., every second one on the reverse strand, each with a CDS of two exons."""
    made = []
    for i in range(n):
        start = 500 + 400 * i + shift
        cds = ((start, start + 30, 0), (start + 60, start + GENE_BP, 0))
        exons = tuple((low, high) for low, high, _ in cds)
        made.append(Transcript(f"g{i}", f"t{i}", "chr1", i % 2 == 1, exons, cds))
    return made


def sequence():
    draw = random.Random(1)
    bases = "".join(draw.choices("CG", k=CONTIG_BP))
    for i in range(N_GENES):
        at, codon = (500 + 400 * i, "ATG") if i % 2 == 0 else (500 + 400 * i + GENE_BP - 3, "CAT")
        bases = bases[:at] + codon + bases[at + 3 :]
    return bases


@pytest.fixture
def table(tmp_path):
    """Two files; windows of 1,000 bp that overlap, and one of a corpus before them."""
    bases = sequence()
    placed = [
        (ReferenceWindow("chr1", at, at + 1_000, bases[at : at + 1_000]), "") for at in range(0, 5_001, 500)
    ]
    paths = [tmp_path / f"train-{i}.parquet" for i in range(2)]
    write_windows(paths[0], [(CorpusWindow("gtdb", "r", 0, "A" * 1_000), ""), *placed[1::2]])
    write_windows(paths[1], placed[::2])
    return WindowTable(paths)


def test_codons_are_read_on_both_strands_by_the_place_of_the_window(table):
    assert start_codons(table, genes()) == ["ATG"] * N_GENES
    assert start_codons(table, genes(), most=4) == ["ATG"] * 4
    assert start_codons(table, genes(shift=1)).count("ATG") == 0


def test_codons_that_cannot_be_read_are_not_counted(table):
    (gene,) = genes(n=1)
    unread = [
        Transcript("a", "a", "chr2", False, gene.exons, gene.cds),
        Transcript("b", "b", "chr1", False, gene.exons, ((500, 530, 2), gene.cds[1])),
        Transcript("c", "c", "chr1", False, ((500, 502), (560, 590)), ((500, 502, 0), (560, 590, 1))),
        Transcript("d", "d", "chr1", False, ((5_998, 6_100),), ((5_998, 6_100, 0),)),
        Transcript("e", "e", "chr1", False, ((7_000, 7_100),), ((7_000, 7_100, 0),)),
    ]
    assert start_codons(table, unread) == []


@pytest.mark.parametrize(
    ("shift", "n", "refused"), [(0, 12, False), (3, 12, True), (3, 10, True), (3, 9, False)]
)
def test_an_annotation_is_refused_when_ten_or_more_genes_say_so(table, tmp_path, shift, n, refused):
    path = tmp_path / "genes.gff3"
    if not refused:
        refuse_other_assembly(path, genes(shift, n), [table], "GRCh38")
        return
    with pytest.raises(InputError) as error:
        refuse_other_assembly(path, genes(shift, n), [table], "GRCh38")
    assert error.value.code == "annotation-unreadable"
    assert f"ATG at the beginning of 0 of {n} genes" in str(error.value)


def test_inspecting_asks(make, tmp_path):
    path = tmp_path / "other.gff3"
    lines = ["##gff-version 3"]
    for i in range(10):
        place = f"{100 + 200 * i}\t{190 + 200 * i}"
        lines += [
            f"chr1\tx\tgene\t{place}\t.\t+\t.\tID=g{i};Name=G{i}",
            f"chr1\tx\tmRNA\t{place}\t.\t+\t.\tID=t{i};Parent=g{i}",
            f"chr1\tx\tCDS\t{place}\t.\t+\t0\tParent=t{i}",
        ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="not of the release's assembly"):
        inspect_release(Release.open(make()), annotation=path)
