"""The shards of the two releases, from the paths of their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from genolewm_core.errors import ConfigError
from genolewm_core.genome.reference import Reference
from genolewm_data.prepare.changes import Changes, label_changes, refuse_incomparable, write_changes
from genolewm_data.prepare.clinvar import clinvar_reader
from genolewm_data.prepare.gnomad import MIN_AF, RELEASES, gnomad_reader, refuse_clinvar
from genolewm_data.prepare.header import Header, one_assembly, read_header
from genolewm_data.prepare.run import Request, prepare
from genolewm_data.prepare.shard import ShardInfo, read_shard_info

__all__ = ["CHANGES_FILE", "clinvar_shard", "gnomad_shard"]

CHANGES_FILE = "label_changes.parquet"
"""Lies beside a ClinVar shard that was compared with an earlier one."""

OnPart = Callable[[int, int], None]


def gnomad_shard(
    inputs: Sequence[Path],
    release: str,
    output: Path,
    *,
    reference: Path | None = None,
    min_af: float = MIN_AF,
    jobs: int = 1,
    fresh: bool = False,
    on_part: OnPart = lambda done, of: None,
) -> tuple[Path, ShardInfo]:
    """Write `gnomad/{release}/variants.parquet`: the PASS alleles of a release that are frequent enough.

    Args:
        inputs: the release's VCFs; each contig lies in one of them.
        release: a key of `RELEASES`.
        output: folder.
        reference: FASTA of the release's assembly, to compare REF with and to left-align alleles.
        min_af: smallest frequency over all populations.
        jobs: most processes; fewer where more are of no use.
        fresh: replace a finished shard, and drop an unfinished run.
        on_part: called with the compressed bytes done and in all.

    Raises:
        InputError: `release-mismatch`, and those of `run.prepare`.
        ConfigError, ResourceError: see `run.prepare`.
    """
    if release not in RELEASES:
        raise ConfigError(
            "config-invalid",
            "The release is none of gnomAD's that can be read.",
            expected=", ".join(RELEASES),
            found=release[:40],
        )
    headers = [read_header(path) for path in inputs]
    refuse_clinvar(headers, release)  # else it would be told by its assembly alone
    request = _request(
        inputs, headers, release, output, reference, jobs, fresh, assembly=RELEASES[release].assembly
    )
    return prepare(request, gnomad_reader(headers, release, min_af), on_part)


def clinvar_shard(
    inputs: Sequence[Path],
    release: str,
    output: Path,
    *,
    reference: Path | None = None,
    previous: Path | None = None,
    jobs: int = 1,
    fresh: bool = False,
    on_part: OnPart = lambda done, of: None,
    on_changes: Callable[[Changes], None] = lambda changes: None,
) -> tuple[Path, ShardInfo]:
    """Write `clinvar/{release}/variants.parquet`: every classified allele of a release.

    Args:
        inputs: the release's VCFs; each contig lies in one of them.
        release: its date.
        output: folder.
        reference: FASTA of the release's assembly, to compare REF with and to left-align alleles.
        previous: shard of an earlier release, to compare with: `label_changes.parquet` is written beside the
            shard. Without it such a file of an earlier run is removed.
        jobs: most processes; fewer where more are of no use.
        fresh: replace a finished shard, and drop an unfinished run.
        on_part: called with the compressed bytes done and in all.
        on_changes: called with what the comparison found.

    Raises:
        InputError: `release-mismatch`, those of `run.prepare` and of `changes.label_changes`.
        ConfigError, ResourceError: see `run.prepare`.
    """
    headers = [read_header(path) for path in inputs]
    request = _request(inputs, headers, release, output, reference, jobs, fresh, assembly=None)
    reader = clinvar_reader(headers, release)
    changes_file = request.target(reader.kind).with_name(CHANGES_FILE)
    if previous is not None:  # before the work is done
        refuse_incomparable(previous, read_shard_info(previous), release, request.assembly, request.spelling)

    def compare(shard: Path) -> None:
        if previous is None:
            changes_file.unlink(missing_ok=True)
            return
        changes = label_changes(previous, shard)
        write_changes(changes, changes_file)
        on_changes(changes)

    return prepare(request, reader, on_part, compare)


def _request(
    inputs: Sequence[Path],
    headers: Sequence[Header],
    release: str,
    output: Path,
    reference: Path | None,
    jobs: int,
    fresh: bool,
    *,
    assembly: str | None,
) -> Request:
    contigs = None
    if reference is not None:
        with Reference(reference) as opened:
            contigs = opened.contigs
    return Request(
        inputs=tuple(inputs),
        headers=tuple(headers),
        release=release,
        assembly=one_assembly(headers, contigs, assembly),
        output=output,
        reference=reference,
        jobs=jobs,
        fresh=fresh,
    )
