"""The shards of the two releases, from the paths of their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from genolewm_core.errors import ConfigError
from genolewm_core.genome.reference import Reference
from genolewm_data.prepare.clinvar import clinvar_reader
from genolewm_data.prepare.gnomad import MIN_AF, RELEASES, gnomad_reader
from genolewm_data.prepare.header import Header, one_assembly, read_header
from genolewm_data.prepare.run import Request, prepare
from genolewm_data.prepare.shard import ShardInfo

__all__ = ["clinvar_shard", "gnomad_shard"]

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
        jobs: processes.
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
    jobs: int = 1,
    fresh: bool = False,
    on_part: OnPart = lambda done, of: None,
) -> tuple[Path, ShardInfo]:
    """Write `clinvar/{release}/variants.parquet`: every classified allele of a release.

    Args:
        inputs: the release's VCFs; each contig lies in one of them.
        release: its date.
        output: folder.
        reference: FASTA of the release's assembly, to compare REF with and to left-align alleles.
        jobs: processes.
        fresh: replace a finished shard, and drop an unfinished run.
        on_part: called with the compressed bytes done and in all.

    Raises:
        InputError: `release-mismatch`, and those of `run.prepare`.
        ConfigError, ResourceError: see `run.prepare`.
    """
    headers = [read_header(path) for path in inputs]
    request = _request(inputs, headers, release, output, reference, jobs, fresh, assembly=None)
    return prepare(request, clinvar_reader(headers, release), on_part)


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
