"""The receipt of a run: what was computed, by which model, and what kept the network closed.

It holds counts and digests of public things only: no variant, no sample name, no path and no digest of the
personal file (an unsalted digest of a small input can be found by trying).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genolewm_core.artifacts.atomic import writing

__all__ = ["ClusterConsent", "Receipt", "receipt_path", "stage_receipt", "stamped", "weakest"]

_GUARD_LEVELS = ("none", "python-only", "seccomp")  # weakest first


@dataclass(frozen=True, slots=True)
class ClusterConsent:
    """The user's word that a personal file may be scored on a cluster, where no guard closes the network.

    Attributes:
        given: "typed" at the terminal, or by the "option" --consent-cluster.
        local: the cluster was one of this machine's own, started for the run.
        consent: always true; a receipt says it in so many words.
    """

    given: str
    local: bool
    consent: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """Field by field: docs/formats/receipt.md.

    Attributes:
        guard: what enforced the closed network while every shard was scored; the weakest, if a resumed run
            had another: "seccomp", "python-only" where the user allowed it, "none" on a cluster and in a
            library call that left the network to its caller.
        model_id: SHA-256 of the manifest's canonical JSON.
        options: everything that changes a score.
        rows: status -> number of rows; with the reasons, every row is accounted for.
        reasons: reason -> number of rows.
        n_tok: tokens run through the model, by the shards of this process and those resumed.
        calibrated: the model has a calibration table for these options on this backend.
        cluster: consent to scoring on a cluster; None where it was not on one.
    """

    guard: str
    model_name: str
    model_id: str
    weights_sha256: str
    backend: str
    runtime_version: str
    options: Mapping[str, Any]
    rows: Mapping[str, int]
    reasons: Mapping[str, int]
    n_tok: int
    demonstration: bool
    calibrated: bool
    cluster: ClusterConsent | None = None
    schema_version: str = "1.0.0"


def receipt_path(output: Path) -> Path:
    """Where the receipt of an output lies: `scores.parquet` has `scores.parquet.receipt.json`."""
    return output.with_name(f"{output.name}.receipt.json")


def stage_receipt(output: Path, receipt: Receipt, staging: Path) -> tuple[Path, Path]:
    """Write the receipt, stamped with the time in UTC, to a file that is yet to get its name.

    Args:
        output: what the receipt is about.
        receipt: what it says.
        staging: folder on the same file system for the file.

    Returns:
        The file and its final name.

    Raises:
        ResourceError: `output-unwritable`.
    """
    path, staged = receipt_path(output), staging / "receipt"
    with writing(path):
        staged.write_text(stamped(asdict(receipt)))
    return staged, path


def stamped(fields: Mapping[str, Any]) -> str:
    """Fields of a receipt as JSON for people, with the time in UTC."""
    stamp = datetime.now(UTC).replace(microsecond=0).isoformat()
    return json.dumps({**fields, "timestamp": stamp}, indent=2, sort_keys=True) + "\n"


def weakest(levels: Iterable[str]) -> str:
    """The weakest of several levels of the network guard."""
    return min(levels, key=_GUARD_LEVELS.index)
