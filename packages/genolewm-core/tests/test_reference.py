"""Reference bases from plain and bgzip FASTA: exact, never clipped, each block read once."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import pickle
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genolewm_core.genome.reference as module
from genolewm_core.errors import InputError
from genolewm_core.genome import fasta_index
from genolewm_core.genome.reference import Reference

CONTIGS = {
    "chr1": "".join(random.Random(1).choices("ACGTacgtNnRM", k=200_003)),
    "chr2": "acgtn" * 13,
    "HLA-A*01:01": "ACGT",
}


@pytest.fixture(scope="module", params=["plain", "bgzip", "crlf"])
def fasta(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    newline = "\r\n" if request.param == "crlf" else "\n"
    path = folder / "ref.fa"
    with path.open("w", newline="") as file:
        for name, bases in CONTIGS.items():
            lines = [f">{name} described", *(bases[i : i + 60] for i in range(0, len(bases), 60))]
            file.write(newline.join(lines) + newline)
    if request.param == "bgzip":
        pysam.tabix_compress(str(path), f"{path}.gz")
        path = Path(f"{path}.gz")
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def code_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Reference(path)
    assert path.name in str(caught.value)
    return caught.value.code


def test_missing_index_is_built_beside_the_file(fasta: Path) -> None:
    reference = Reference(fasta)
    made = sorted(other.name for other in fasta.parent.iterdir() if other.name != "ref.fa")
    expected = {"ref.fa": ["ref.fa.fai"], "ref.fa.gz": ["ref.fa.gz", "ref.fa.gz.fai", "ref.fa.gz.gzi"]}
    assert made == expected[fasta.name]
    assert dict(reference.contigs) == {name: len(bases) for name, bases in CONTIGS.items()}


def test_fetch_gives_upper_case_and_leaves_iupac_codes(fasta: Path) -> None:
    reference = Reference(fasta)
    for name, bases in CONTIGS.items():
        assert reference.fetch(name, 0, len(bases)) == bases.upper()
        assert reference.fetch(name, 1, 3) == bases[1:3].upper()
        assert reference.fetch(name, len(bases), len(bases)) == ""
    assert {"N", "R", "M"} < set(reference.fetch("chr1", 0, 1_000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data(), block_bp=st.sampled_from([1, 7, 64, 65_536]))
def test_fetch_is_slicing_for_every_block_size(fasta: Path, data: st.DataObject, block_bp: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BP", block_bp)
        contig = Reference(fasta).contig("chr1")
        for _ in range(5):
            start = data.draw(st.integers(0, contig.length))
            end = data.draw(st.integers(start, min(contig.length, start + 300)))
            assert contig.fetch(start, end) == CONTIGS["chr1"][start:end].upper()


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 66), (64, 66), (65, 66), (3, 2), (-5, -2), (70, 80)])
def test_nothing_is_clipped(fasta: Path, start: int, end: int) -> None:
    reference = Reference(fasta)
    for _ in range(2):  # before and after a block is cached
        with pytest.raises(ValueError, match="outside"):
            reference.fetch("chr2", start, end)
        reference.fetch("chr2", 0, 65)


def test_unknown_contig(fasta: Path) -> None:
    with pytest.raises(InputError) as caught:
        Reference(fasta).fetch("2", 0, 1)
    assert caught.value.code == "contig-unknown"


def test_a_walk_reads_each_block_once_in_bounded_memory(fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BP", 1_000)
    reference = Reference(fasta)
    reads = []
    read = reference._read
    monkeypatch.setattr(reference, "_read", lambda *place: reads.append(place) or read(*place))
    contig = reference.contig("chr1")
    for start in range(0, contig.length - 30, 17):
        contig.fetch(start, start + 30)
        reference.fetch("chr1", start, start + 1)
    assert len(reads) == len(set(reads)) == 201
    assert len(reference._blocks) == 64


def test_pickle_threads_and_close(fasta: Path) -> None:
    reference = Reference(fasta)
    again = pickle.loads(pickle.dumps(reference))
    contig = pickle.loads(pickle.dumps(reference.contig("chr2")))
    assert again.fetch("chr2", 0, 5) == contig.fetch(0, 5) == "ACGTN"

    def look(seed: int) -> bool:
        rng = random.Random(seed)
        own = reference.contig("chr1")
        starts = [rng.randrange(200_000) for _ in range(200)]
        return all(own.fetch(s, s + 3) == CONTIGS["chr1"][s : s + 3].upper() for s in starts)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(8)))
    reference.close()
    assert reference.fetch("chr2", 0, 5) == "ACGTN"
    with Reference(fasta) as opened:
        assert opened.fetch("chr2", 0, 1) == "A"


def _look_in_child(reference: Reference, seed: int, answers: multiprocessing.SimpleQueue[bool]) -> None:
    rng = random.Random(seed)
    starts = [rng.randrange(200_000) for _ in range(300)]
    answers.put(all(reference.fetch("chr1", s, s + 3) == CONTIGS["chr1"][s : s + 3].upper() for s in starts))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_children_of_a_fork_read_for_themselves(fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BP", 500)
    assert threading.active_count() == 1
    reference = Reference(fasta)
    reference.fetch("chr1", 0, 10)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=_look_in_child, args=(reference, seed, answers)) for seed in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [answers.get() for _ in children] == [True, True, True]


def test_not_a_fasta(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "there.fa", ">1\nACGT\n")
    with gzip.open(tmp_path / "gzip.fa.gz", "wt") as file:
        file.write(">1\nACGT\n")
    (tmp_path / "folder.fa").mkdir()
    (tmp_path / "cut.fa.gz").write_bytes(b"\x1f\x8b\x08\x04\x00\x00")
    cases = {
        "missing.fa": None,
        "empty.fa": "",
        "text.fa": "ACGT\n",
        "some.vcf": "##fileformat=VCFv4.2\n",
        "ragged.fa": ">1\nACGT\nACGTACGT\nAC\nACGT\n",
    }
    for name, text in cases.items():
        path = tmp_path / name
        if text is not None:
            write(path, text)
        assert code_of(path) == "reference-unreadable", name
    assert code_of(tmp_path / "folder.fa") == "reference-unreadable"
    assert code_of(tmp_path / "cut.fa.gz") == "reference-unreadable"
    with pytest.raises(InputError, match="gunzip"):
        Reference(tmp_path / "gzip.fa.gz")
    assert not [left for left in tmp_path.iterdir() if left.name.endswith(".tmp")]
    assert capfd.readouterr().err == ""


def test_stale_index_is_refused(fasta: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(fasta, tmp_path))
    Reference(path)
    index = Path(f"{path}.fai")
    os.utime(index, (1_000_000_000, 1_000_000_000))
    with pytest.raises(InputError, match="older") as caught:
        Reference(path)
    assert (caught.value.code, caught.value.where) == ("reference-unreadable", index.name)
    assert "samtools faidx" in str(caught.value)


def test_missing_index_in_a_folder_that_cannot_be_written(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(fasta, tmp_path))
    monkeypatch.setattr(fasta_index.os, "access", lambda *_: False)
    with pytest.raises(InputError, match="samtools faidx") as caught:
        Reference(path)
    assert caught.value.code == "reference-unreadable"
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("index", ["", "nonsense\n", "1\t4\t3\n", "1\t-4\t3\t4\t5\n"])
def test_damaged_index(tmp_path: Path, index: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "ref.fa", ">1\nACGT\n")
    write(tmp_path / "ref.fa.fai", index)
    assert code_of(path) == "reference-unreadable"
    assert capfd.readouterr().err == ""


def test_index_that_promises_more_than_the_file_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "ref.fa", ">1\nACGT\n")
    write(tmp_path / "ref.fa.fai", "1\t400\t3\t4\t5\n")
    with pytest.raises(InputError) as caught:
        Reference(path).fetch("1", 100, 200)
    assert caught.value.code == "reference-unreadable"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("index", [b"", b"\xff" * 8, b"\x02" + b"\0" * 11])
def test_damaged_block_index(tmp_path: Path, index: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ref.fa.gz"
    pysam.tabix_compress(str(write(tmp_path / "ref.fa", ">1\nACGT\n")), str(path))
    Reference(path)
    Path(f"{path}.gzi").write_bytes(index)
    assert code_of(path) == "reference-unreadable"
    assert capfd.readouterr().err == ""


def test_damaged_bgzip_block(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = ">1\n" + "".join(random.Random(2).choices("ACGT", k=300_000)) + "\n"
    plain = write(tmp_path / "ref.fa", text)
    path = tmp_path / "ref.fa.gz"
    pysam.tabix_compress(str(plain), str(path))
    Reference(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    for suffix in (".fai", ".gzi"):
        os.utime(f"{path}{suffix}")
    reference = Reference(path)
    with pytest.raises(InputError) as caught:
        reference.fetch("1", 0, 300_000)
    assert caught.value.code == "reference-unreadable"
    assert capfd.readouterr().err == ""


def test_shared_references(shared_data: Path) -> None:
    for assembly, style in (("GRCh37", "1"), ("GRCh38", "chr1")):
        reference = Reference(shared_data / "reference" / f"{assembly}.shared.fa.gz")
        assert (reference.contigs.assembly, reference.contigs.style) == (assembly, style)
        assert len(reference.contigs) == 11
    # The A of BRCA1's start codon on the reverse strand.
    assert reference.fetch("chr17", 43_124_093, 43_124_096) == "CAT"
