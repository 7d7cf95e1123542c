"""What the reader does with every conformance file of hts-specs: observes it, and writes the page about it.

    python scripts/vcf_outcomes.py table FOLDER   observe the files again; notes are kept, new files have none
    python scripts/vcf_outcomes.py page           write docs/formats/vcf-outcomes.md from the two tables

The files come without a reference. Each is read against one made of its own records' REF alleles, so that a
row's REF and place mean what they mean in a user's file.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from genolewm_core.errors import InputError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import read_rows

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests-integration" / "vcf_outcomes.tsv"
KINDS = ROOT / "packages" / "genolewm-core" / "tests" / "vcf_kinds.tsv"
PAGE = ROOT / "docs" / "formats" / "vcf-outcomes.md"
_MARGIN_BP = 100
_HEAD = """\
# What happens to a VCF

`score` reads VCF 4.1 to 4.5 and looks at the header's contigs and at four columns: CHROM, POS, REF and ALT. Nothing is
guessed. A row that cannot be scored comes back with its [reason](scores.md#reasons): *skipped* when nothing is wrong
with it, *failed* when it contradicts the reference or the format; a failed row makes the exit code 2. A file whose
defect could cost or change rows is refused as a whole, with exit code 2 and the code
[`vcf-unreadable`](../errors.md).

## Kinds of input

| kind | what happens |
|---|---|
"""
_CONFORMANCE = """
## The conformance files of hts-specs

All {count} test files of [hts-specs](https://github.com/samtools/hts-specs/tree/master/test/vcf), each read against a
reference made of its own REF alleles: {accepted} are accepted and {noted} accepted with a note, {some} have rows that
are skipped or fail, {refused} are refused. Many files that break the specification are accepted, because their defect
lies where scoring does not look. The sentence about the defect is the file's own.

| file | versions | its defect | outcome | rows, or the refusal | why |
|---|---|---|---|---|---|
"""


class Entry(NamedTuple):
    """One file: what is in it, what the reader does, and why that is right."""

    file: str
    defect: str
    outcome: str
    detail: str
    note: str


def observe(path: Path, name: str, folder: Path) -> Entry:
    """Read one file; `folder` is for its reference."""
    text = path.read_bytes().decode("utf-8", "replace")
    cause = re.search(r"^##CauseOfFailure=(.*?)\s*$", text, re.MULTILINE)
    defect = cause.group(1) if cause else ""
    try:
        rows = list(read_rows(path, _reference(text, folder)))
    except InputError as error:
        found = f" Found: {error.found}." if error.found else ""
        return Entry(name, defect, "refused", f"{error.code}: {error.what}{found}", "")
    counts = Counter(f"{row.status} {row.reason}" if row.reason else row.status for row in rows)
    detail = ", ".join(f"{key} {n}" for key, n in sorted(counts.items())) or "no rows"
    if any(row.reason for row in rows):
        return Entry(name, defect, "some rows", detail, "")
    return Entry(name, defect, "accepted" if "/passed/" in name else "accepted with note", detail, "")


def observe_all(source: Path) -> list[Entry]:
    """Every conformance file, in the order of names."""
    with tempfile.TemporaryDirectory() as made:
        paths = sorted(source.rglob("*.vcf"))
        return [observe(path, path.relative_to(source).as_posix(), Path(made)) for path in paths]


def _reference(text: str, folder: Path) -> Reference:
    """A FASTA with each record's REF in its place; where records disagree, the first one is right."""
    placed: dict[str, dict[int, str]] = {"spare": {}}
    ends = {"spare": 0}
    for line in text.splitlines():
        columns = line.split("\t")
        if line.startswith("#") or len(columns) < 5 or not columns[1].isdecimal() or int(columns[1]) > 10**6:
            continue
        if not re.fullmatch(r"[0-9A-Za-z.]+", columns[0]):
            continue
        bases = placed.setdefault(columns[0], {})
        ends[columns[0]] = max(ends.get(columns[0], 0), int(columns[1]) + len(columns[3]))
        for offset, base in enumerate(columns[3].upper()):
            if base in "ACGT" and columns[1] != "0":
                bases.setdefault(int(columns[1]) - 1 + offset, base)
    fasta = ""
    for name, bases in placed.items():
        contig = ["ACGT"[index % 4] for index in range(ends[name] + _MARGIN_BP)]
        for index, base in bases.items():
            contig[index] = base
        fasta += f">{name}\n{''.join(contig)}\n"
    # Most files have the same few records.
    path = folder / f"{hashlib.sha256(fasta.encode()).hexdigest()}.fa"
    if not path.exists():
        path.write_text(fasta)
    return Reference(path)


def read_table(path: Path = TABLE) -> list[Entry]:
    """The kept table."""
    with path.open(newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return [Entry(*row) for row in rows]


def write_table(entries: list[Entry], path: Path = TABLE) -> None:
    """Keep a table."""
    lines = ["\t".join(entry) for entry in [Entry._fields, *entries]]
    path.write_text("\n".join(lines) + "\n")


def render(entries: list[Entry]) -> str:
    """The page; files of several versions that fare alike share a line."""
    kinds = [line.split("\t") for line in KINDS.read_text().splitlines()[1:]]
    page = _HEAD + "".join(f"| {kind} | {what} |\n" for kind, what in kinds)
    counts = Counter(entry.outcome for entry in entries)
    page += _CONFORMANCE.format(
        count=len(entries),
        accepted=counts["accepted"],
        noted=counts["accepted with note"],
        some=counts["some rows"],
        refused=counts["refused"],
    )
    together: dict[tuple[str, ...], list[str]] = {}
    for entry in entries:
        version, _, name = entry.file.split("/")
        together.setdefault((name.removesuffix(".vcf"), *entry[1:]), []).append(version)
    for (name, defect, outcome, detail, note), versions in sorted(together.items()):
        cells = [f"`{name}`", ", ".join(versions), _plain(defect), outcome, _plain(detail), _plain(note)]
        page += f"| {' | '.join(cells)} |\n"
    return page


def _plain(text: str) -> str:
    return re.sub(r"([|<>*_\[\]`])", r"\\\1", text)


def main(arguments: list[str]) -> None:
    """Run one of the two commands."""
    if arguments[:1] == ["table"] and len(arguments) == 2:
        notes = {entry.file: entry.note for entry in read_table()} if TABLE.exists() else {}
        found = observe_all(Path(arguments[1]))
        write_table([entry._replace(note=notes.get(entry.file, "")) for entry in found])
    elif arguments == ["page"]:
        PAGE.write_text(render(read_table()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
