"""What the manifest of a release says of its tables, compared with the tables themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genolewm_core.scoring.sixmer import K
from genolewm_data.release.asked import windows_asked
from genolewm_data.release.manifest import MANIFEST
from genolewm_data.release.release import SPLITS, Release
from genolewm_data.release.windows import GROUP_ROWS, PLACED

__all__ = ["false_claims"]

_COUNTED_BY = {"train": "origin", "validation": "holdout"}


def false_claims(release: Release) -> Iterator[str]:
    """What the manifest says and the tables do not, a line each that begins with a file's path.

    Rows of every table, windows by where they are from or what they are for, and the length of each window: those
    of cells may be shorter than asked for, in whole six-mers.

    Raises:
        InputError: `dataset-invalid`.
    """
    manifest = release.manifest
    for file in manifest.files:
        try:
            n_rows = pq.read_metadata(release.folder / file.path).num_rows if _is_table(file.path) else 0
        except (OSError, pa.ArrowException) as error:
            yield f"{file.path}: is no table that can be read ({type(error).__name__})"
            continue
        if n_rows != file.rows:
            yield f"{file.path}: has {n_rows:,} rows, and {MANIFEST} says {file.rows:,}"
    for split in SPLITS:
        paths = [path.relative_to(release.folder).as_posix() for path in release.windows(split).paths]
        counts: Counter[str] = Counter()
        for path in paths:
            n_odd = 0
            for batch in _rows(release, path, _COUNTED_BY[split]):
                counts.update(batch[_COUNTED_BY[split]].cast(pa.string()).to_pylist())
                n_odd += _odd(release, batch)
            if n_odd:
                yield f"{path}: has {n_odd:,} windows that are not of {manifest.window_bp:,} bases"
        if dict(counts) != manifest.windows.get(split, {}):
            yield f"{MANIFEST}: windows.{split} is not what is in {', '.join(paths)[:200]}"
    for split_said in sorted(set(manifest.windows) - set(SPLITS)):
        yield f"{MANIFEST}: windows.{split_said} is of no split"


def _is_table(path: str) -> bool:
    return path.endswith(".parquet")


def _rows(release: Release, path: str, column: str) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(release.folder / path, memory_map=True)
    yield from file.iter_batches(GROUP_ROWS, columns=list({"origin", column, "sequence"}))


def _odd(release: Release, rows: pa.RecordBatch) -> int:
    """Windows of a length that none should have."""
    window_bp = release.manifest.window_bp
    n_bp = pc.binary_length(rows["sequence"])
    odd = pc.not_equal(n_bp, window_bp)
    placed = windows_asked(release.manifest).placed
    if placed is not None and placed.layout == "cells":
        shorter = pc.and_(pc.less(n_bp, window_bp), pc.equal(pc.multiply(pc.divide(n_bp, K), K), n_bp))
        short = pc.and_(pc.equal(rows["origin"].cast(pa.string()), PLACED), shorter)
        odd = pc.and_not(odd, short)
    return int(pc.sum(odd.cast(pa.int64())).as_py() or 0)
