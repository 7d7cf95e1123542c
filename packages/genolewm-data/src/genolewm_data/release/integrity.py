"""`split_integrity.json`: what the splits of a release hold, and what was found of held-out data in training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.errors import InputError
from genolewm_data.holdouts.report import IntegrityReport
from genolewm_data.release.manifest import first_problem

__all__ = ["INTEGRITY", "SCHEMA_VERSION", "Overlap", "SplitIntegrity"]

SCHEMA_VERSION = "1.0.0"

INTEGRITY = "split_integrity.json"


@dataclass(frozen=True, slots=True)
class Overlap:
    """What training has in common with the windows of validation of one hold-out.

    Attributes:
        forbidden: whether it may have anything in common. Sequence around held-out variants and haplotypes is not
            held out, so windows of those two may be seen in training with other edits.
        windows: windows of validation.
        touching: windows of training that share a base of the reference with one of them.
        same_sequence: windows of training, of any origin, whose bases are those of one of them.
    """

    forbidden: bool
    windows: int
    touching: int
    same_sequence: int


@dataclass(frozen=True)
class SplitIntegrity:
    """The check of a whole release.

    Attributes:
        training: windows of training and their tuples of the first epoch, against everything that is held out.
        overlaps: hold-out to what training has in common with its windows of validation.
        variants: split and source, such as `train.gnomad`, to rows of its table; `shared` are in tables of both.
        variants_held: hold-out to variants of the training tables that it holds.
        labels: split to label to rows of its ClinVar table.
        haplotypes: split to its blocks; `shared` are in both.
        haplotypes_held: blocks of training that are held out.
        tuples: what was drawn in the first epoch; see `WindowTuples.tally`.
    """

    training: IntegrityReport
    overlaps: Mapping[str, Overlap]
    variants: Mapping[str, int]
    variants_held: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    haplotypes: Mapping[str, int]
    haplotypes_held: int
    tuples: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Whether training has nothing that is held out."""
        return self.training.clean and not self.leaks

    @property
    def leaks(self) -> tuple[str, ...]:
        """What is wrong beside `training.findings`, a sentence each."""
        found = [
            f"{one.touching or one.same_sequence:,} training windows are windows of validation of {name}"
            for name, one in self.overlaps.items()
            if one.forbidden and (one.touching or one.same_sequence)
        ]
        found += [
            f"{n:,} training variants are held out by {name}" for name, n in self.variants_held.items() if n
        ]
        for what, n in (
            ("variants", self.variants.get("shared")),
            ("haplotypes", self.haplotypes.get("shared")),
        ):
            if n:
                found.append(f"{n:,} {what} are in training and in validation")
        if self.haplotypes_held:
            found.append(f"{self.haplotypes_held:,} training haplotypes are held out")
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """As plain values; equal ones for equal reports."""
        said = {
            **asdict(self),
            "schema_version": SCHEMA_VERSION,
            "clean": self.clean,
            "false_positive_bound": self.training.false_positive_bound,
        }
        plain: dict[str, Any] = json.loads(json.dumps(said, sort_keys=True))
        return plain

    def write(self, path: Path) -> None:
        """Write as JSON, atomically.

        Raises:
            ResourceError: `output-unwritable`.
        """
        text = json.dumps(self.document(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        write_atomic(path, (text + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> SplitIntegrity:
        """Read what `write` wrote.

        Raises:
            InputError: `dataset-invalid`, when it is missing, malformed or of a later version.
        """
        try:
            raw = json.loads(path.read_bytes())
            if raw["schema_version"].split(".")[0] != SCHEMA_VERSION.split(".")[0]:
                raise ValueError("a later version")
            for name in ("schema_version", "clean", "false_positive_bound"):
                raw.pop(name)
            return TypeAdapter(cls).validate_json(json.dumps(raw), strict=True, extra="forbid")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            found = first_problem(error) if isinstance(error, ValidationError) else type(error).__name__
            raise InputError(
                "dataset-invalid",
                "The integrity report of the dataset release cannot be read.",
                where=str(path),
                expected=f"a report of schema version {SCHEMA_VERSION}",
                found=found,
                next_step="copy the release again, or build it again",
            ) from None


def report_of(raw: Mapping[str, Any]) -> IntegrityReport:
    """A report that was plain values in between."""
    return IntegrityReport(
        **{**raw, "containment": tuple(raw["containment"]), "findings": tuple(raw["findings"])}
    )
