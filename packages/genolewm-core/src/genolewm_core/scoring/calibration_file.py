"""Calibration tables on disk; the file's page is docs/formats/calibration.md."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.manifest import Contract, ModelDirectory, read_verified
from genolewm_core.errors import ProvenanceError
from genolewm_core.scoring.calibration import (
    CALIBRATED_HEADS,
    Bucket,
    CalibrationKey,
    CalibrationTable,
    Regression,
)

__all__ = ["load_calibration", "parse_calibration", "render_calibration"]

SCHEMA_VERSION = "1.0.0"


def load_calibration(model: ModelDirectory, key: CalibrationKey) -> CalibrationTable | None:
    """The table of a key, from the model's verified calibration file; None when there is none for it.

    Raises:
        ProvenanceError: `artifact-digest`, `artifact-path`, `calibration-invalid`.
    """
    named = model.manifest.calibration
    if named is None:
        return None
    for table in parse_calibration(read_verified(model.path, named), model.path / named.name):
        if table.key == key:
            return table
    return None


def parse_calibration(data: bytes, source: Path) -> list[CalibrationTable]:
    """The tables of a calibration file; see docs/formats/calibration.md.

    Raises:
        ProvenanceError: `calibration-invalid`.
    """
    try:
        raw = json.loads(data)
        if raw["schema_version"] != SCHEMA_VERSION:
            raise ValueError("another schema version")
        return [_table(entry) for entry in raw["tables"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProvenanceError(
            "calibration-invalid",
            "The model's calibration table cannot be used.",
            where=str(source),
            expected=f"tables of schema {SCHEMA_VERSION}",
            found=type(error).__name__,
            next_step="get the model again from where it was published, or build the table again: geno-lewm calibrate",
        ) from error


def render_calibration(tables: Sequence[CalibrationTable]) -> bytes:
    """The bytes of a calibration file: JSON, grids to six significant digits."""
    entries = [asdict(table) for table in tables]
    for entry in entries:
        for bucket in entry["buckets"].values():
            bucket["grids"] = {
                head: [float(f"{value:.6g}") for value in grid] for head, grid in bucket["grids"].items()
            }
    raw = {"schema_version": SCHEMA_VERSION, "tables": entries}
    return (json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _table(raw: Any) -> CalibrationTable:
    key = raw["key"]
    low, high = (float(edge) for edge in raw["gc_edges"])
    return CalibrationTable(
        key=CalibrationKey(str(key["weights_sha256"]), Contract(**key["contract"]), str(key["backend"])),
        gc_edges=(low, high),
        regressions={
            name: Regression(float(line["intercept"]), float(line["slope"]))
            for name, line in raw["regressions"].items()
        },
        buckets={name: _bucket(entry) for name, entry in raw["buckets"].items()},
        about=dict(raw["about"]),
    )


def _bucket(raw: Any) -> Bucket:
    n_rows, n_synthetic = int(raw["n_rows"]), int(raw["n_synthetic"])
    if n_rows < 0 or n_synthetic < 0 or (n_rows > 0) == (n_synthetic > 0):
        raise ValueError("a bucket holds common variants or synthetic edits")
    grids = {}
    for head, values in raw["grids"].items():
        grid = tuple(float(value) for value in values)
        rising = all(a <= b for a, b in itertools.pairwise(grid))
        if head not in CALIBRATED_HEADS or len(grid) < 2 or not rising or not all(map(math.isfinite, grid)):
            raise ValueError("a grid does not rise")
        grids[head] = grid
    return Bucket(n_rows, n_synthetic, grids)
