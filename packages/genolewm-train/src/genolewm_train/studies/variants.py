"""The variants that studies read: real ones in sequence that nothing was trained on, cell by cell.

Every draw is a function of the data folder, the number asked for and a fixed seed, never of the model.
Substitutions and the two classes of indels are kept apart; a set never mixes them under one name.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.genome.alleles import BASES, Replacement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import edit_class
from genolewm_core.genome.vcf import read_rows, row_of
from genolewm_core.scoring.cells import Contig, Geometry
from genolewm_data.holdouts.rules import is_held_out_gene
from genolewm_train.brca1 import read_brca1
from genolewm_train.data_folder import open_reference, read_holdouts, read_table, unreadable_table

__all__ = [
    "ASSEMBLIES",
    "COMMON_AF",
    "StudyCell",
    "StudyEdit",
    "brca1_cells",
    "clinvar_missense_cells",
    "common_and_synthetic_cells",
    "in_phase_indel_cells",
    "open_references",
    "personal_cells",
]

ASSEMBLIES = ("GRCh37", "GRCh38")
COMMON_AF = 0.05
SEED = 20_251

_PERSON = "personal/NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz"
_SITES_38 = "population/1000G.chr21_22.sites_subsample.covered.GRCh38.vcf.gz"
_SITES_37 = (
    "population/1000G_phase3.chr20_1-2Mb.sites.GRCh37.vcf.gz",
    "population/1000G.chr21_22.sites_subsample.covered.GRCh37.vcf.gz",
)
_CLINVAR = "clinvar/clinvar_labelled.covered.shared.tsv.gz"


@dataclass(frozen=True, slots=True)
class StudyEdit:
    """One variant of a set.

    Attributes:
        replacement: right-shifted along the forward strand.
        label: which of the two classes of its set it belongs to; None in a set without classes.
        consequence: as the source names it; empty where it does not.
    """

    replacement: Replacement
    label: bool | None = None
    consequence: str = ""

    @property
    def edit_class(self) -> str:
        """See `genolewm_core.genome.variant.edit_class`."""
        return edit_class(self.replacement)


@dataclass(frozen=True, slots=True)
class StudyCell:
    """The variants of a set whose loci lie in one cell.

    Attributes:
        group: name of the set.
        assembly, contig, cell: where.
        edits: sorted by replacement, no replacement twice.
    """

    group: str
    assembly: str
    contig: str
    cell: int
    edits: tuple[StudyEdit, ...]


_Found = tuple[str, str, StudyEdit]  # assembly, contig, edit


def open_references(data: Path) -> dict[str, Reference]:
    """The FASTA of each assembly.

    Raises:
        InputError: one is missing.
    """
    return {name: open_reference(data, name) for name in ASSEMBLIES}


def personal_cells(
    data: Path, references: Mapping[str, Reference], geometry: Geometry, n: int
) -> list[StudyCell]:
    """All variants of one person (NA12878) in whole cells of chromosome 21, about `n` of them.

    Cells are whole, so that tokens a variant are those of a personal genome.
    """
    rows = _vcf(data / _PERSON, references["GRCh38"], "GRCh38", lambda contig, _: contig.endswith("21"))
    return _whole_cells("personal", rows, geometry, n)


def in_phase_indel_cells(
    data: Path, references: Mapping[str, Reference], geometry: Geometry, n: int
) -> list[StudyCell]:
    """Indels whose length is a multiple of six, at most `n`: the same person's, and sites of the 1000 Genomes.

    They are rare (one variant in a hundred), hence the second source; chromosome 21 is left out of that one,
    so that no variant comes twice, on two assemblies.
    """
    held_37 = read_holdouts(data).on("GRCh37")

    def held_out_37(contig: str, start: int) -> bool:
        return not contig.endswith("21") and held_37.touches(contig, start, start + 1)

    sources: list[_Found] = list(
        _vcf(data / _PERSON, references["GRCh38"], "GRCh38", lambda contig, _: contig.endswith("21"))
    )
    for name in _SITES_37:
        sources.extend(_vcf(data / name, references["GRCh37"], "GRCh37", held_out_37))
    wanted = [found for found in sources if found[2].edit_class == "indel_in_phase"]
    return _whole_cells("in_phase_indels", wanted, geometry, n)


def brca1_cells(
    data: Path, references: Mapping[str, Reference], geometry: Geometry, n: int
) -> list[StudyCell]:
    """At most `n` random variants of the saturation editing of BRCA1; the label is loss of function."""
    found: list[_Found] = []
    for row in read_brca1(data):
        read = row_of(row["chrom"], int(row["pos37"]), row["ref"], row["alt"], references["GRCh37"])
        if read.status == "scorable" and read.contig is not None and read.replacement is not None:
            edit = StudyEdit(read.replacement, row["label_lof"] == "1", row["consequence"])
            found.append(("GRCh37", read.contig, edit))
    random.Random(SEED).shuffle(found)
    return _cells("brca1", found[:n], geometry)


def clinvar_missense_cells(
    data: Path, references: Mapping[str, Reference], geometry: Geometry, n: int
) -> list[StudyCell]:
    """At most `n` missense substitutions of ClinVar in held-out genes, BRCA1 apart; the label is P or LP."""
    found: list[_Found] = []
    for row in read_table(data / _CLINVAR, "consequence_lrg"):
        kept = row["label"] in ("0", "1") and row["consequence_lrg"] == "missense" and row["type"] == "SNV"
        if not kept or row["gene"] == "BRCA1" or not is_held_out_gene(row["gene"]):
            continue
        read = row_of(row["chrom"], int(row["pos37"]), row["ref"], row["alt"], references["GRCh37"])
        if read.status == "scorable" and read.contig is not None and read.replacement is not None:
            edit = StudyEdit(read.replacement, row["label"] == "1", "missense")
            found.append(("GRCh37", read.contig, edit))
    return _whole_cells("clinvar_missense", found, geometry, n)


def common_and_synthetic_cells(
    data: Path, references: Mapping[str, Reference], geometry: Geometry, n: int
) -> list[StudyCell]:
    """Common substitutions of chromosome 21 and as many random ones, at most `n` in all; synthetic is True.

    Every synthetic one makes the change of its common one, between the same two neighbours, at a random place
    of the same cell where no site of the table lies: what is left to tell them apart is the place.
    """
    path = data / _SITES_38
    reference = references["GRCh38"]
    af = _allele_frequencies(path)
    sites = list(_vcf(path, reference, "GRCh38", lambda contig, _: contig.endswith("21")))
    taken = {(contig, edit.replacement.start) for _, contig, edit in sites}
    common = [
        (assembly, contig, StudyEdit(edit.replacement, False, "common"))
        for assembly, contig, edit in sites
        if edit.replacement.ref_len == 1
        and edit.replacement.net == 0
        and COMMON_AF <= af.get((contig, edit.replacement.start, edit.replacement.alt), 0.0) <= 1 - COMMON_AF
    ]
    cells = []
    for cell in _whole_cells("common_and_synthetic", common, geometry, max(1, n // 2)):
        draw = random.Random(f"{SEED}:{cell.contig}:{cell.cell}")
        contig = reference.contig(cell.contig)
        synthetic = _synthetic(cell, contig, geometry, taken, draw)
        edits = sorted((*cell.edits, *synthetic), key=_order)
        cells.append(StudyCell(cell.group, cell.assembly, cell.contig, cell.cell, tuple(edits)))
    return cells


def _synthetic(
    cell: StudyCell, contig: Contig, geometry: Geometry, taken: set[tuple[str, int]], draw: random.Random
) -> Iterator[StudyEdit]:
    begin = max(1, cell.cell * geometry.cell_bp)
    end = min((cell.cell + 1) * geometry.cell_bp, contig.length - 1)
    text = contig.fetch(begin - 1, end + 1)
    used = {start for name, start in taken if name == cell.contig}
    for edit in cell.edits:
        start = edit.replacement.start
        context = contig.fetch(start - 1, start + 2)
        places = [
            begin + at
            for at in range(end - begin)
            if text[at : at + 3] == context and begin + at not in used and not context.strip(BASES)
        ]
        if places:
            place = draw.choice(places)
            used.add(place)
            yield StudyEdit(Replacement(place, place + 1, edit.replacement.alt), True, "synthetic")


def _vcf(
    path: Path, reference: Reference, assembly: str, keep: Callable[[str, int], bool]
) -> Iterator[_Found]:
    if not path.is_file():
        raise unreadable_table(path, "no such file")
    for row in read_rows(path, reference):
        if row.status != "scorable" or row.contig is None or row.replacement is None:
            continue
        if keep(row.contig, row.replacement.start):
            yield assembly, row.contig, StudyEdit(row.replacement)


def _allele_frequencies(path: Path) -> dict[tuple[str, int, str], float]:
    """(contig, 0-based start, alternate base) -> AF of bi-allelic substitutions; INFO is read for this only."""
    found = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("#"):
                    continue
                chrom, pos, _, ref, alt, _, _, info = line.rstrip("\n").split("\t")[:8]
                fields = dict(item.split("=", 1) for item in info.split(";") if "=" in item)
                if len(ref) == len(alt) == 1 and "AF" in fields:
                    found[chrom, int(pos) - 1, alt] = float(fields["AF"])
    except (OSError, ValueError) as error:
        raise unreadable_table(path, repr(error)) from error
    return found


def _whole_cells(group: str, found: Iterable[_Found], geometry: Geometry, n: int) -> list[StudyCell]:
    """Cells in a random order, until one more would make more than `n` variants."""
    cells = _cells(group, found, geometry)
    random.Random(SEED).shuffle(cells)
    kept: list[StudyCell] = []
    total = 0
    for cell in cells:
        if kept and total + len(cell.edits) > n:
            break
        kept.append(cell)
        total += len(cell.edits)
    return sorted(kept, key=lambda c: (c.assembly, c.contig, c.cell))


def _cells(group: str, found: Iterable[_Found], geometry: Geometry) -> list[StudyCell]:
    held: dict[tuple[str, str, int], dict[Replacement, StudyEdit]] = {}
    for assembly, contig, edit in found:
        place = (assembly, contig, geometry.cell(edit.replacement.start))
        held.setdefault(place, {}).setdefault(edit.replacement, edit)
    return [
        StudyCell(group, *place, tuple(sorted(edits.values(), key=_order)))
        for place, edits in sorted(held.items())
    ]


def _order(edit: StudyEdit) -> tuple[int, int, str]:
    return edit.replacement.start, edit.replacement.end, edit.replacement.alt
