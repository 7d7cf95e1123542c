"""Prepare a shard: pieces in one or several processes, resumed where a run was cut off, published as one file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow.compute as pc

from genolewm_core.artifacts.atomic import publishing, write_atomic, writing
from genolewm_core.artifacts.lock import held_folder
from genolewm_core.artifacts.manifest import canonical_json
from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.survey import MISMATCH_LIMIT, MISMATCH_MIN_CHECKED
from genolewm_core.jobs import Here, Processes, Task, run_tasks
from genolewm_data.prepare.header import Header
from genolewm_data.prepare.pieces import Part, Piece, PiecesWork, finished
from genolewm_data.prepare.releases import ReleaseReader
from genolewm_data.prepare.shard import SCHEMA_VERSION, ShardInfo, Source, join, read_part, schema_of
from genolewm_data.prepare.tabix import read_index
from genolewm_data.prepare.text import unreadable

__all__ = ["Request", "prepare"]

_NUMBERED = re.compile(r"(?:chr)?([0-9]+)")
_WORTH_BYTES = 1 << 25
_NAMED = {"X": 1, "Y": 2, "M": 3, "MT": 3}


@dataclass(frozen=True, slots=True)
class Request:
    """A shard that is wanted.

    Attributes:
        inputs: the release's VCFs; each contig lies in one of them.
        headers: theirs.
        release: the release's name, and the folder's.
        assembly: what the files are of.
        output: the folder under which `{kind}/{release}/variants.parquet` is written.
        reference: FASTA to compare and align with, or None.
        jobs: most processes; fewer where more are of no use.
        fresh: replace a finished shard, and drop an unfinished run.
    """

    inputs: tuple[Path, ...]
    headers: tuple[Header, ...]
    release: str
    assembly: str
    output: Path
    reference: Path | None
    jobs: int
    fresh: bool

    @property
    def spelling(self) -> str:
        """How alleles are spelled: `left-aligned`, or `trimmed` where there is no reference."""
        return "trimmed" if self.reference is None else "left-aligned"

    def target(self, kind: str) -> Path:
        """The shard's path."""
        return self.output / kind / self.release / "variants.parquet"


def prepare(
    request: Request,
    reader: ReleaseReader,
    on_part: Callable[[int, int], None] = lambda done, of: None,
    on_written: Callable[[Path], None] = lambda shard: None,
) -> tuple[Path, ShardInfo]:
    """Write the shard of a release.

    Args:
        request: what is wanted.
        reader: how records become rows.
        on_part: called with the compressed bytes done and in all, now and then.
        on_written: called with the finished shard before it gets its name; where it fails, or is cut off, the
            run is unfinished.

    Returns:
        The shard's path and what it says about itself.

    Raises:
        InputError: `vcf-unreadable`, `vcf-unsorted`, `reference-mismatch`, `reference-unreadable`.
        ConfigError: `output-exists`, `resume-conflict`, `config-invalid` (a contig in two files).
        ResourceError: `output-busy`, `output-unwritable`, `worker-ended`.
    """
    target = request.target(reader.kind)
    before = [_state(path) for path in request.inputs]
    pieces = _pieces(request)
    with (
        _folder(target, _fingerprint(request, reader), request.fresh) as folder,
        _digests(request) as digests,
    ):
        work = PiecesWork(reader, request.reference, folder)
        parts = list(_parts(work, pieces, request.jobs, on_part))
        ordered = sorted(parts, key=lambda part: _place(part.chrom))
        sources = tuple(
            Source(path.name, digest, path.stat().st_size)
            for path, digest in zip(request.inputs, digests(), strict=True)
        )
        for path, state in zip(request.inputs, before, strict=True):
            if _state(path) != state:
                raise unreadable(path, "changed while it was read", next_step="run the same command again")
        _refuse_doubled(ordered)
        info = _describe(request, reader, sources, ordered, folder)
        _allow_replacing(folder)
        with publishing(target) as temporary:
            join(
                (folder / part.file for part in ordered), schema_of(reader.fields), info.to_json(), temporary
            )
            on_written(temporary)
        shutil.rmtree(folder, ignore_errors=True)
    return target, info


def _pieces(request: Request) -> list[Piece]:
    pieces: list[Piece] = []
    for path, header in zip(request.inputs, request.headers, strict=True):
        for span in read_index(path) or (None,):
            pieces.append(Piece(path, len(pieces), span, header.contig_lengths))
    return pieces


def _parts(
    work: PiecesWork, pieces: Sequence[Piece], jobs: int, on_part: Callable[[int, int], None]
) -> Iterator[Part]:
    sizes = {str(p.number): p.span.n_bytes if p.span else p.path.stat().st_size for p in pieces}
    total = sum(sizes.values())
    done = checked = mismatched = 0
    todo = []
    for piece in pieces:
        kept = finished(work.folder, piece)
        if kept is None:
            todo.append(Task(str(piece.number), piece))
            continue
        done += sizes[str(piece.number)]
        yield from kept
    on_part(done, total)
    todo.sort(key=lambda task: -sizes[task.name])  # the longest first, so that none is left over at the end
    workers = _worth(jobs, total - done, os.cpu_count() or 1)
    place = Here() if workers == 1 else Processes(workers)
    with closing(run_tasks(work, todo, place)) as outcomes:
        for outcome in outcomes:
            parts = outcome.value()
            done += sizes[outcome.name]
            on_part(done, total)
            checked += sum(part.checked for part in parts)
            mismatched += sum(part.mismatched for part in parts)
            _refuse_mismatch(work.reference, checked, mismatched)
            yield from parts


def _worth(jobs: int, n_bytes: int, cpus: int) -> int:
    """How many of the processes that are allowed make it faster.

    One keeps two processors busy, as it unpacks and splits text in threads, and to start another takes longer than
    it saves where there is little to do.

    Args:
        jobs: processes that are allowed.
        n_bytes: compressed bytes to do.
        cpus: processors.
    """
    return max(1, min(jobs, cpus // 2, -(-n_bytes // _WORTH_BYTES)))


def _refuse_mismatch(reference: Path | None, checked: int, mismatched: int) -> None:
    if reference is None or checked < MISMATCH_MIN_CHECKED or mismatched <= MISMATCH_LIMIT * checked:
        return
    raise InputError(
        "reference-mismatch",
        "Too many records' REF alleles differ from the reference.",
        where=reference.name,
        expected=f"at most {MISMATCH_LIMIT:.0%} of the alleles whose reference bases are called",
        found=f"{mismatched} of {checked}",
        next_step="use the FASTA of the assembly that the release is on",
    )


def _refuse_doubled(parts: Sequence[Part]) -> None:
    doubled = [name for name, n in Counter(part.chrom for part in parts).items() if n > 1]
    if doubled:
        raise ConfigError(
            "config-invalid",
            "A contig lies in more than one file.",
            where="--input-vcf",
            expected="each contig in one file, as a release has it by chromosome",
            found=", ".join(doubled[:5]),
            next_step="give files that do not overlap; of exomes and genomes take the joint files",
        )


def _describe(
    request: Request,
    reader: ReleaseReader,
    sources: tuple[Source, ...],
    parts: Sequence[Part],
    folder: Path,
) -> ShardInfo:
    rows: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for part in parts:
        rows.update(part.rows)
        notes.update(part.notes)
        if "label" in [field.name for field in reader.fields]:
            column = read_part(folder / part.file)["label"]
            for entry in pc.value_counts(column).to_pylist():
                labels[entry["values"]] += entry["counts"]
    dates = sorted({header.file_date for header in request.headers if header.file_date})
    return ShardInfo(
        kind=reader.kind,
        schema_version=SCHEMA_VERSION,
        release=request.release,
        assembly=request.assembly,
        sources=sources,
        reference=None if request.reference is None else request.reference.name,
        spelling=request.spelling,
        records=sum(part.records for part in parts),
        rows=dict(sorted(rows.items())),
        labels=dict(sorted(labels.items())),
        notes=dict(sorted(notes.items())),
        about={**reader.about(), "file_dates": dates},
    )


def _place(chrom: str) -> tuple[int, int, str]:
    """Chromosomes by number, then X, Y and the mitochondrion, then all others by name."""
    numbered = _NUMBERED.fullmatch(chrom)
    if numbered is not None:
        return (0, int(numbered[1]), chrom)
    named = _NAMED.get(chrom.removeprefix("chr"))
    return (1, named, chrom) if named is not None else (2, 0, chrom)


def _fingerprint(request: Request, reader: ReleaseReader) -> str:
    """Of everything that decides the shard's bytes; files are known by size and time of change."""
    said = {
        "version": version("genolewm-data"),
        "schema": SCHEMA_VERSION,
        "kind": reader.kind,
        "about": reader.about(),
        "release": request.release,
        "assembly": request.assembly,
        "inputs": [[str(path.resolve()), *_state(path)] for path in request.inputs],
        "reference": None
        if request.reference is None
        else [str(request.reference.resolve()), *_state(request.reference)],
    }
    return hashlib.sha256(canonical_json(said)).hexdigest()


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


@contextmanager
def _folder(target: Path, fingerprint: str, fresh: bool) -> Iterator[Path]:
    """The hidden folder of an unfinished run, held for this one."""
    folder = target.with_name(f".{target.name}.parts")
    next_step = "wait for it, or choose another --output"
    with held_folder(folder, "Another run is writing this output.", target, next_step):
        _begin(folder, target, fingerprint, fresh)
        yield folder


def _begin(folder: Path, target: Path, fingerprint: str, fresh: bool) -> None:
    note = folder / "run.json"
    try:
        plan = json.loads(note.read_bytes())
    except (OSError, ValueError):
        plan = None
    ours = plan is not None and plan["fingerprint"] == fingerprint
    if target.exists() and not fresh and not (ours and plan["replace"]):
        raise ConfigError(
            "output-exists",
            "The shard exists already.",
            where=str(target),
            next_step="choose another --output, or replace it with --fresh",
        )
    if not fresh and ours:
        return
    if not fresh and plan is not None:
        raise ConfigError(
            "resume-conflict",
            "An unfinished run with other inputs, options or versions is in the way.",
            where=str(folder),
            next_step="finish it with its own command, or give --fresh to drop it",
        )
    with writing(folder):
        for path in folder.iterdir():
            path.unlink()
    write_atomic(note, canonical_json({"fingerprint": fingerprint, "replace": fresh}))


def _allow_replacing(folder: Path) -> None:
    """From now on a file of the shard's name may be this run's own."""
    note = folder / "run.json"
    write_atomic(note, canonical_json({**json.loads(note.read_bytes()), "replace": True}))


@contextmanager
def _digests(request: Request) -> Iterator[Callable[[], list[str]]]:
    """SHA-256 of the inputs, computed by a thread while the workers read them."""
    stop = threading.Event()

    def digest(path: Path) -> str:
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while not stop.is_set() and (block := file.read(1 << 20)):
                sha256.update(block)
        return sha256.hexdigest()

    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(digest, path) for path in request.inputs]
        try:
            yield lambda: [future.result() for future in futures]
        finally:
            stop.set()
