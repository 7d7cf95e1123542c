"""Whether an annotation is of a release's assembly, by the bases of the release at its start codons.

A release does not know how long its contigs are. But genes begin with ATG where the annotation says so, and on another
assembly, with everything moved, about as often as by chance.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.transcripts import Transcript
from genolewm_data.inspect.windows import sample_of
from genolewm_data.release.windows import PLACED, WindowTable

__all__ = ["refuse_other_assembly", "start_codon_place", "start_codons"]

_LEAST = 10
"""Start codons that say enough. By chance one place in 64 reads ATG: half of ten, once in ten million."""

_MOST = 200
"""Start codons that are read: each may cost the decoding of a group of windows."""

_START = "ATG"


def start_codon_place(transcript: Transcript) -> int | None:
    """First base of the start codon, 0-based on the forward strand; None where it is cut or not annotated whole."""
    start, end, phase = transcript.cds[-1 if transcript.reverse else 0]
    if phase or end - start < len(_START):
        return None
    return end - len(_START) if transcript.reverse else start


def start_codons(table: WindowTable, transcripts: Iterable[Transcript], most: int = _MOST) -> list[str]:
    """The bases, in the direction of the gene, where transcripts begin that placed windows hold the beginning of.

    Args:
        table: windows.
        transcripts: on contigs that are named as the windows' are.
        most: that are read, spread over all.

    Raises:
        InputError: `dataset-invalid`.
    """
    places = _places(table)
    found = []
    for transcript in transcripts:
        at = start_codon_place(transcript)
        starts, numbers = places.get(transcript.contig, ((), ()))
        nearest = -1 if at is None else bisect_right(starts, at) - 1
        if at is not None and nearest >= 0:
            found.append((numbers[nearest], at, transcript.reverse))
    codons = []
    found.sort()
    for index in sample_of(len(found), most):
        number, at, reverse = found[index]
        window = table[number]
        codon = window.sequence[at - window.start : at - window.start + len(_START)]
        if len(codon) == len(_START):
            codons.append(reverse_complement(codon) if reverse else codon)
    return codons


def refuse_other_assembly(
    annotation: Path, transcripts: Sequence[Transcript], tables: Iterable[WindowTable], assembly: str
) -> None:
    """Refuse an annotation whose genes do not begin with ATG where the windows hold their beginnings.

    Nothing is said where the windows hold fewer than ten.

    Args:
        annotation: its file.
        transcripts: of it.
        tables: windows of the release's splits.
        assembly: of the release.

    Raises:
        InputError: `annotation-unreadable` or `dataset-invalid`.
    """
    codons = [codon for table in tables for codon in start_codons(table, transcripts)]
    n_start = codons.count(_START)
    if len(codons) >= _LEAST and 2 * n_start < len(codons):
        raise InputError(
            "annotation-unreadable",
            "The annotation is not of the release's assembly.",
            where=str(annotation),
            expected=f"genes of {assembly}, of which nearly all begin with {_START}",
            found=f"{_START} at the beginning of {n_start} of {len(codons)} genes in windows of the release",
            next_step=f"give the annotation of {assembly}",
        )


def _places(table: WindowTable) -> dict[str, tuple[list[int], list[int]]]:
    """Contig to the starts of its placed windows, ascending, and to their numbers."""
    held: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    first = 0
    for path in table.paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(65_536, columns=["origin", "name", "start"]):
                placed = pc.equal(batch["origin"].cast(pa.string()), PLACED).to_pylist()
                rows = zip(placed, batch["name"].to_pylist(), batch["start"].to_pylist(), strict=True)
                for number, (here, name, start) in enumerate(rows, first):
                    if here:
                        held[name].append((start, number))
                first += len(batch)
    places = {}
    for name, pairs in held.items():
        pairs.sort()
        places[name] = ([start for start, _ in pairs], [number for _, number in pairs])
    return places
