"""One hierarchy for every error GenoLeWM raises, with stable codes and exit codes.

An error says what happened, where, what was expected, what was found and what to do next. Its text may
reach a terminal, a log or a crash report, so it never carries alleles or positions of variants; a place
in a personal file is named by its record number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import ClassVar

__all__ = [
    "CODES",
    "ConfigError",
    "DeploymentError",
    "EvaluationError",
    "ExitCode",
    "GenoLeWMError",
    "InputError",
    "InternalError",
    "ProvenanceError",
    "ResourceError",
    "TrainingError",
    "interrupts_kept",
]


class ExitCode(IntEnum):
    """What a command returns to the shell."""

    OK = 0
    INPUT = 2
    CONFIG = 3
    RESOURCE = 4
    TRAINING = 5
    EVALUATION = 6
    DEPLOYMENT = 7
    PROVENANCE = 8
    INTERNAL = 9
    INTERRUPT = 130


CODES: dict[str, str] = {
    "allele-invalid": "An allele has characters other than A, C, G and T, or is empty.",
    "annotation-unreadable": "The annotation is missing, damaged, no GFF3, or not of the reference.",
    "backend-missing": "The compute backend that was asked for is not installed.",
    "bed-invalid": "A BED of regions cannot be read, or a line of it is no region of the reference.",
    "cache-corrupt": "A cache of states holds damaged files, or lacks some.",
    "cache-identity": "States cannot be carried over, because the two encoders are not stated to be the same.",
    "cache-schema": "A cache of states was written by a later version of GenoLeWM.",
    "calibration-invalid": "A model's calibration table is damaged or of another version.",
    "cluster-unreachable": "The Ray cluster that was named cannot be reached.",
    "carbon-files-invalid": "Files that should be Carbon's are of another model, size or tokenizer.",
    "command-unavailable": "A command that an installed package adds could not be loaded.",
    "config-invalid": "An option has a value that cannot be used, or two options exclude each other.",
    "contig-unknown": "A contig is not in the reference FASTA.",
    "corpus-unreadable": "Files of a training corpus are missing or damaged, lack columns, or cannot be streamed.",
    "dataset-invalid": "A dataset release is damaged, incomplete, or of a later version.",
    "dtype-unsupported": "A number format was asked for in which states or scores are not right.",
    "edit-invalid": "An edit is malformed: empty allele, equal alleles or a position below 1.",
    "edit-outside-window": "An edit does not lie inside the window it was applied to.",
    "edit-overlap": "Two edits that were to be applied together change the same reference base.",
    "edit-unsupported": "An allele is longer than the 16 bases that an edit may have.",
    "encoder-identity-invalid": "The files that name an encoder are missing, damaged or do not belong together.",
    "graph-missing": "No ONNX graph for this model's architecture is installed.",
    "guard-unavailable": "The network guard could not be installed, so scoring did not start.",
    "holdout-leak": "Sequence that is held out of training was about to be trained on.",
    "holdouts-invalid": "A file of hold-outs is missing, damaged, changed or of a later version.",
    "manifest-invalid": "A model directory's manifest.json is missing, unreadable or incomplete.",
    "artifact-digest": "A model file's bytes do not have the digest that the manifest promises.",
    "artifact-path": "A model file named by the manifest lies outside the model directory or is a link.",
    "model-missing": "No model was named, and the embedded one is not installed.",
    "network-blocked": "Code tried to open a network socket while the guard was on.",
    "output-busy": "Another run is writing this output.",
    "output-exists": "The output file exists already.",
    "output-format": "The output file's ending names no format that can be written.",
    "output-unwritable": "The output could not be written: full disk, missing folder or no permission.",
    "receipt-unreadable": "The receipt beside a score table is damaged or belongs to another table.",
    "reference-mismatch": "Too many records' REF alleles differ from the reference FASTA.",
    "reference-unreadable": "The reference FASTA or its index is missing, stale or damaged.",
    "release-mismatch": "A file is not of the release or of the assembly that it was given for.",
    "resume-conflict": "An unfinished run with other inputs or options is in the way.",
    "revision-floating": "A model's revision names files that may change: a branch, a tag or a shortened commit.",
    "scores-unreadable": "A score table is missing, damaged, or not one that geno-lewm score wrote.",
    "setup-digest-unknown": "Nobody has vouched for the bytes of a file that was to be set up.",
    "setup-download-failed": "A file that was to be set up could not be fetched from its source.",
    "setup-no-consent": "A setup did not start, because nobody agreed to its plan.",
    "tensor-file-invalid": "A safetensors file is malformed.",
    "training-data-missing": "Training data is missing or too small.",
    "training-diverged": "Training stopped because its loss was not a finite number.",
    "variant-syntax": "A variant given on the command line is not chrom:pos:ref:alt.",
    "rows-lost": "The published table does not hold every row that was scored.",
    "vcf-unreadable": "The VCF could not be opened or read: not a VCF, truncated or damaged.",
    "vcf-unsorted": "The records of the VCF are not in order, and the output needs an index.",
    "worker-ended": "A worker process ended before its work was done.",
    "window-mismatch": "A window's bases differ from an edit's reference bases.",
}
"""Every code, with the one sentence that explains it. A code, once released, keeps its meaning."""


class GenoLeWMError(Exception):
    """Base of every error that GenoLeWM raises on purpose.

    Args:
        code: a key of `CODES`.
        what: what went wrong, one sentence.
        where: file, record number, option or tensor in question.
        expected: what would have been right.
        found: what was there instead.
        next_step: what the user can do about it.
        details: further fields for programs (`error.details`); never printed.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        next_step: str | None = None,
        **details: object,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.next_step = next_step
        self.details = details

    def __str__(self) -> str:
        lines = [f"{self.what} [{self.code}]"]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("next step", self.next_step),
        ):
            if text is not None:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive pickling by default, and worker processes send errors home.
        return (_rebuild, (type(self), self.code, self.what, self._fields(), self.details))

    def _fields(self) -> dict[str, str | None]:
        return {
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "next_step": self.next_step,
        }


def _rebuild(
    kind: type[GenoLeWMError], code: str, what: str, fields: dict[str, str | None], details: dict[str, object]
) -> GenoLeWMError:
    return kind(code, what, **fields, **details)  # type: ignore[arg-type]


class InputError(GenoLeWMError):
    """The user's data cannot be used as given."""

    exit_code = ExitCode.INPUT


class ConfigError(GenoLeWMError):
    """An option or a configuration value is wrong."""

    exit_code = ExitCode.CONFIG


class ResourceError(GenoLeWMError):
    """Disk, memory, file handles or permissions stood in the way."""

    exit_code = ExitCode.RESOURCE


class TrainingError(GenoLeWMError):
    """Training cannot start or go on."""

    exit_code = ExitCode.TRAINING


class EvaluationError(GenoLeWMError):
    """An evaluation cannot be carried out."""

    exit_code = ExitCode.EVALUATION


class DeploymentError(GenoLeWMError):
    """The installation cannot do what was asked: a backend, a graph or the guard is missing."""

    exit_code = ExitCode.DEPLOYMENT


class ProvenanceError(GenoLeWMError):
    """An artefact is not what its manifest says."""

    exit_code = ExitCode.PROVENANCE


class InternalError(GenoLeWMError):
    """A promise of the program itself does not hold; please report it."""

    exit_code = ExitCode.INTERNAL


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise a Ctrl-C in the block as the KeyboardInterrupt that it is.

    CPython turns one that comes within a buffered read of a compressed file into a SystemError.
    """
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
