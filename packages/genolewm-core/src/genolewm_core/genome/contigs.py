"""Contig names and assemblies: which contig of a reference a name in another file means.

Nothing is guessed. A name is taken as it is, with or without `chr`, as one of the mitochondrial names, or as
a RefSeq accession whose version says the assembly; and a length that the other file declares must not
contradict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["ContigTable", "detect_assembly", "naming_style"]

_CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y")

_LENGTHS_BP: dict[str, tuple[int, ...]] = {
    "GRCh37": (
        *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022),
        *(141213431, 135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753),
        *(81195210, 78077248, 59128983, 63025520, 48129895, 51304566, 155270560, 59373566),
    ),
    "GRCh38": (
        *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636),
        *(138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345),
        *(83257441, 80373285, 58617616, 64444167, 46709983, 50818468, 156040895, 57227415),
    ),
}
"""Lengths of chromosomes 1 to 22, X and Y (Genome Reference Consortium)."""

# RefSeq accession versions of GRCh37's chromosomes in the same order; GRCh38's are one higher throughout.
_GRCH37_VERSIONS = (10, 11, 11, 11, 9, 11, 13, 10, 11, 10, 9, 11, 10, 8, 9, 9, 10, 9, 9, 10, 8, 10, 10, 9)

_MITOCHONDRIAL = ("MT", "M", "chrM", "chrMT")
_RCRS_BP = 16_569
_RCRS_ACCESSION = "NC_012920.1"


def _accessions() -> dict[str, tuple[str, str]]:
    table = {}
    for number, (chromosome, version) in enumerate(zip(_CHROMOSOMES, _GRCH37_VERSIONS, strict=True), 1):
        table[f"NC_{number:06d}.{version}"] = (chromosome, "GRCh37")
        table[f"NC_{number:06d}.{version + 1}"] = (chromosome, "GRCh38")
    return table


_ACCESSIONS = _accessions()
_LENGTH_OF = {
    assembly: dict(zip(_CHROMOSOMES, lengths, strict=True)) for assembly, lengths in _LENGTHS_BP.items()
}


class ContigTable(Mapping[str, int]):
    """The contigs of a reference, name to length in bp, in the reference's order."""

    __slots__ = ("_lengths", "assembly", "style")

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = dict(lengths)
        self.assembly = detect_assembly(self._lengths)
        """GRCh37 or GRCh38 where the lengths say so, else None."""
        self.style = naming_style(self._lengths)
        """See `naming_style`."""

    def __getitem__(self, name: str) -> int:
        return self._lengths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lengths)

    def __len__(self) -> int:
        return len(self._lengths)

    def __repr__(self) -> str:
        return f"ContigTable({len(self)} contigs, style={self.style!r}, assembly={self.assembly!r})"

    def resolve(self, name: str, length_bp: int | None = None) -> str | None:
        """The reference's own name for a contig that another file calls `name`.

        A name that the reference has is taken as it is, since headers are often wrong about lengths and REF
        bases tell; only a mitochondrion of another length is another sequence (hg19's chrM has 16,571 bp, the
        rCRS 16,569). Every other spelling must agree with `length_bp` where that is known.

        Args:
            name: contig name in the other file.
            length_bp: length that the other file declares for it, if it does.

        Returns:
            A name in this table, or None when there is none that can be meant for certain.
        """
        if name in self._lengths:
            contradicts = length_bp is not None and length_bp != self._lengths[name]
            return None if contradicts and name in _MITOCHONDRIAL else name
        for candidate in self._spellings(name):
            if candidate in self._lengths:
                agrees = length_bp is None or length_bp == self._lengths[candidate]
                return candidate if agrees and self._certain(name, candidate, length_bp) else None
        return None

    def _spellings(self, name: str) -> tuple[str, ...]:
        if name in _MITOCHONDRIAL or name == _RCRS_ACCESSION:
            return tuple(other for other in (*_MITOCHONDRIAL, _RCRS_ACCESSION) if other != name)
        if name in _ACCESSIONS:
            chromosome, assembly = _ACCESSIONS[name]
            return (f"chr{chromosome}", chromosome) if assembly == self.assembly else ()
        bare = name.removeprefix("chr")
        accession = next(
            (key for key, value in _ACCESSIONS.items() if value == (bare, self.assembly)), f"chr{name}"
        )
        return (bare if bare != name else f"chr{name}", accession)

    def _certain(self, name: str, candidate: str, length_bp: int | None) -> bool:
        if candidate not in _MITOCHONDRIAL or length_bp is not None:
            return True
        # "MT" has always meant the rCRS; "chrM" beside GRCh37 may be the rCRS or hg19's older sequence.
        if self._lengths[candidate] != _RCRS_BP:
            return False
        return not (name.startswith("chr") and self.assembly != "GRCh38")


def detect_assembly(lengths: Mapping[str, int | None]) -> str | None:
    """The human assembly whose chromosome lengths a table of contigs has.

    Args:
        lengths: contig name, in any of the usual spellings, to length in bp.

    Returns:
        "GRCh37", "GRCh38", or None when no chromosome has such a length or they disagree.
    """
    found: set[str] = set()
    for name, length in lengths.items():
        chromosome = _ACCESSIONS[name][0] if name in _ACCESSIONS else name.removeprefix("chr")
        found.update(a for a, table in _LENGTH_OF.items() if table.get(chromosome, 0) == length)
    return found.pop() if len(found) == 1 else None


def naming_style(names: Mapping[str, object]) -> str:
    """How most contigs are called: "chr1", "1", "NC_000001" or "other"."""
    counts = {"chr1": 0, "1": 0, "NC_000001": 0, "other": 0}
    for name in names:
        if name in _ACCESSIONS or name == _RCRS_ACCESSION:
            counts["NC_000001"] += 1
        elif name in _CHROMOSOMES or name in ("M", "MT"):
            counts["1"] += 1
        elif name.startswith("chr"):
            counts["chr1"] += 1
        else:
            counts["other"] += 1
    known = {style: count for style, count in counts.items() if style != "other"}
    # Decoys and unplaced contigs outnumber the chromosomes and say nothing about how those are called.
    return max(known, key=known.__getitem__) if any(known.values()) else "other"
