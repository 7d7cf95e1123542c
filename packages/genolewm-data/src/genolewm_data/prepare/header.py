"""What the header of a released VCF declares, and whether it is of the assembly that is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genolewm_core.errors import InputError
from genolewm_core.genome.contigs import ContigTable, detect_assembly
from genolewm_core.genome.records import VcfRecords
from genolewm_data.prepare.text import open_text

__all__ = ["Header", "one_assembly", "read_header"]

_INFO_ID = re.compile(r"##INFO=<(?=.*?\bID=([^,>]+))(?=.*?\bNumber=([^,>]+))(?=.*?\bType=([^,>]+))")


@dataclass(frozen=True, slots=True)
class Header:
    """What a VCF declares before its first record.

    Attributes:
        name: the file's name.
        info: INFO keys in the order of their declarations, with Number and Type.
        contig_lengths: declared contigs; None where no length is stated.
        assemblies: GRCh37 and GRCh38 as far as contig lengths and text name them.
        file_date: the line `##fileDate`, or None.
    """

    name: str
    info: dict[str, tuple[str, str]]
    contig_lengths: dict[str, int | None]
    assemblies: frozenset[str]
    file_date: str | None


def read_header(path: Path) -> Header:
    """Read a VCF's header.

    Raises:
        InputError: `vcf-unreadable`: missing, cut short, or no VCF.
    """
    with VcfRecords(path) as records:  # refuses what is no VCF, and what lacks its end
        lengths = dict(records.contig_lengths)
        stated = records.stated_assemblies
    by_length = detect_assembly(lengths)
    info: dict[str, tuple[str, str]] = {}
    file_date = None
    with open_text(path) as lines:
        for line in lines:
            if not line.startswith("##"):
                break
            found = _INFO_ID.match(line)
            if found is not None:
                info.setdefault(found[1], (found[2], found[3]))
            if line.startswith("##fileDate="):
                file_date = line.removeprefix("##fileDate=").strip()
    assemblies = stated | ({by_length} if by_length else set())
    return Header(path.name, info, lengths, frozenset(assemblies), file_date)


def one_assembly(headers: Iterable[Header], contigs: ContigTable | None, expected: str | None) -> str:
    """The assembly that all files, the reference and the release agree on.

    Args:
        headers: of the files of a release.
        contigs: of the reference, where there is one.
        expected: what the release is known to be on; None when it may be on either.

    Raises:
        InputError: `release-mismatch`, when they do not agree or none of them says.
    """
    claims: dict[str, set[str]] = {}
    for header in headers:
        claims[header.name] = set(header.assemblies)
    claims["the reference"] = {contigs.assembly} if contigs is not None and contigs.assembly else set()
    claims["the release"] = {expected} if expected else set()
    said = set().union(*claims.values())
    if len(said) == 1:
        return said.pop()
    files = claims.keys() - {"the release"}
    other_release = expected is not None and expected not in set().union(*(claims[name] for name in files))
    found = "; ".join(f"{who}: {' and '.join(sorted(what))}" for who, what in claims.items() if what)
    raise InputError(
        "release-mismatch",
        "The assembly of a release is not clear." if not said else "Files are of different assemblies.",
        where=", ".join(name for name in claims if not name.startswith("the ")),
        expected="one of GRCh37 and GRCh38, said by contig lengths or by ##reference, and the same by all",
        found=found or "no file that says its assembly",
        next_step="give the --release that the files are of: the one that was named is on another assembly"
        if other_release
        else "give files of one assembly, and with --reference a FASTA of the same",
    )
