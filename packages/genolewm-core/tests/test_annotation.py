"""Reading GFF3 as its sources write it, and looking a change up."""

from __future__ import annotations

import gzip
import pickle

import pysam
import pytest

from genolewm_core.errors import InputError
from genolewm_core.genome.annotation import FLANK_BP, Annotation
from genolewm_core.genome.consequence import Effect
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant

CONTIGS = ContigTable({"chr1": 40_000, "chr2": 40_000})
HEAD = "##gff-version 3\n"


def line(kind, first, last, attributes, contig="chr1", strand="+", phase="."):
    return f"{contig}\tx\t{kind}\t{first}\t{last}\t.\t{strand}\t{phase}\t{attributes}\n"


def gene(identifier, name, first, last, tags=("",), contig="chr1"):
    """A gene of one exon with a transcript for each tag, each 3 coding bases longer than the one before."""
    text = line("gene", first, last, f"ID={identifier};{name}", contig)
    for number, tag in enumerate(tags):
        transcript = f"{identifier}.{number}"
        extra = f";tag={tag}" if tag else ""
        text += line("mRNA", first, last, f"ID={transcript};Parent={identifier}{extra}", contig)
        text += line("exon", first, last, f"Parent={transcript}", contig)
        text += line("CDS", first, first + 2 + 3 * number, f"ID=c;Parent={transcript}", contig, phase="0")
    return text


def read(tmp_path, text, contigs=CONTIGS):
    path = tmp_path / "a.gff3"
    path.write_text(text)
    return Annotation.read(path, contigs)


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ("Name=BRCA1", "BRCA1"),
        ("gene_id=E1;gene_name=TP53", "TP53"),
        ("gene=MT-ND1", "MT-ND1"),
        ("Name=a%2Cb", "a,b"),
        ("level=2", "g"),
    ],
)
def test_the_gene_is_called_as_its_source_calls_it(tmp_path, attributes, name):
    assert [t.gene for t in read(tmp_path, HEAD + gene("g", attributes, 101, 200)).transcripts] == [name]


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        (("", "", ""), "g.2"),
        (("basic,Ensembl_canonical,MANE_Select", "", "Ensembl_canonical"), "g.0"),
        (("MANE Select", ""), "g.0"),
        (("", "RefSeq Select", ""), "g.1"),
        (("basic", "MANE_Plus_Clinical"), "g.1"),
    ],
)
def test_one_transcript_speaks_for_a_gene(tmp_path, tags, chosen):
    (transcript,) = read(tmp_path, HEAD + gene("g", "Name=G", 101, 200, tags)).transcripts
    assert transcript.name == chosen


@pytest.mark.parametrize("how", ["plain", "gzip", "bgzip"])
def test_compression_and_the_contigs_spelling_do_not_matter(tmp_path, how):
    text = HEAD + gene("g", "Name=G", 101, 200, contig="1") + line("match", 1, 9, "ID=m", contig="1")
    path = tmp_path / "a.gff3"
    if how == "bgzip":
        with pysam.BGZFile(str(path), "w") as file:
            file.write(text.encode())
    else:
        path.write_bytes(text.encode() if how == "plain" else gzip.compress(text.encode()))
    (transcript,) = Annotation.read(path, CONTIGS).transcripts
    assert (transcript.contig, transcript.exons, transcript.cds) == ("chr1", ((100, 200),), ((100, 103, 0),))


def test_children_may_come_first_and_coding_lines_without_phase_run_on(tmp_path):
    lines = [
        line("CDS", 101, 104, "Parent=t"),
        line("CDS", 201, 205, "Parent=t"),
        line("mRNA", 101, 205, "ID=t;Parent=g"),
        line("gene", 101, 205, "ID=g;Name=G"),
    ]
    (transcript,) = read(tmp_path, HEAD + "".join(lines)).transcripts
    assert (transcript.gene, transcript.cds) == ("G", ((100, 104, 0), (200, 205, 2)))
    assert transcript.exons == ((100, 104), (200, 205))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chr1\tx\tgene\t1\t2\t.\t+\t.\tID=g\n",
        HEAD,
        HEAD + line("gene", 1, 9, "ID=g"),
        HEAD + gene("g", "Name=G", 101, 200, contig="chr9"),
        HEAD + "chr1\tx\texon\n",
        HEAD + line("exon", "one", 9, "Parent=t"),
        HEAD + line("exon", 0, 9, "Parent=t"),
        HEAD + line("CDS", 12, 9, "Parent=t"),
        HEAD + gene("g", "Name=G", 39_900, 40_001),
    ],
)
def test_a_file_that_is_no_annotation_of_this_reference_is_refused(tmp_path, text):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "annotation-unreadable"


def test_another_assembly_missing_and_cut_files_are_refused(tmp_path):
    text = HEAD + "##sequence-region chr1 1 249250621\n" + gene("g", "Name=G", 101, 200)
    with pytest.raises(InputError, match="another assembly"):
        read(tmp_path, text, ContigTable({"chr1": 248_956_422}))
    cut = tmp_path / "cut.gff3.gz"
    cut.write_bytes(gzip.compress(text.encode())[:-20])
    for path in (cut, tmp_path / "none.gff3"):
        with pytest.raises(InputError) as caught:
            Annotation.read(path, CONTIGS)
        assert caught.value.code == "annotation-unreadable"


def test_look_up_gives_the_most_severe_then_the_nearest_gene(tmp_path):
    fasta = tmp_path / "r.fa"
    fasta.write_text(">chr1\n" + "ATG" * 13_000 + "A" * 1_000 + "\n>chr2\n" + "A" * 40_000 + "\n")
    reference = Reference(fasta)
    # A codes at 10,001-10,003 (TGA), B at 11,001-11,003 (GAT), inside A's untranslated end.
    text = HEAD + gene("a", "Name=A", 10_001, 12_000) + gene("b", "Name=B", 11_001, 13_000)
    annotation = read(tmp_path, text, reference.contigs)
    annotation = pickle.loads(pickle.dumps(annotation))
    contig = reference.contig("chr1")

    def at(pos):
        ref = contig.fetch(pos - 1, pos)
        return annotation.consequence(Variant("chr1", pos, ref, "C"), contig)

    table = {
        10_001 - FLANK_BP - 1: None,
        10_001 - FLANK_BP: Effect("A", "flank"),
        10_002: Effect("A", "stop_lost"),
        10_500: Effect("A", "utr3"),
        11_002: Effect("B", "missense"),
        11_500: Effect("A", "utr3"),
        12_500: Effect("B", "utr3"),
        13_001: Effect("B", "flank"),
        13_000 + FLANK_BP: Effect("B", "flank"),
        13_000 + FLANK_BP + 1: None,
    }
    assert {pos: at(pos) for pos in table} == table
    other = reference.contig("chr2")
    assert annotation.consequence(Variant("chr2", 9, "A", "C"), other) is None
    assert annotation.consequence(Variant("chr1", 10_002, "T", "T"), contig) is None
