"""Everything that can be logged: declared events with declared fields, and nothing else.

A field is a count, a duration, a flag, a version or a word of a closed list; there is no kind for free text, so
no allele, contig, position, sample name, path or message of an exception has a place to go.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType

from genolewm_core.errors import CODES
from genolewm_core.logs.crashes import places

__all__ = ["EVENTS", "LEVELS", "Event", "emit", "logger"]

logger = logging.getLogger("genolewm")
logger.addHandler(logging.NullHandler())

LEVELS = ("debug", "info", "warning", "error")

Kind = Callable[[object], object]


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("a count is a whole number from 0 up")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a duration is a number")
    return round(float(value), 3)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a flag is True or False")
    return value


def _version(value: object) -> str:
    # At least one dot, so that no whole number passes for a version.
    text = value if isinstance(value, str) else ""
    return (
        text
        if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,8}){1,3}((rc|a|b|\.dev|\.post)[0-9]{1,4})?", text)
        else "other"
    )


def _word(*words: str) -> Kind:
    def check(value: object) -> str:
        return value if isinstance(value, str) and value in words else "other"

    return check


def _words(*words: str) -> Kind:
    known = _word(*words)

    def check(value: object) -> list[object]:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise TypeError("words are a list or a tuple")
        return [known(item) for item in value]

    return check


def _installed(group: str) -> Kind:
    """A name that an installed distribution has registered; nothing a user types can be one otherwise."""

    def check(value: object) -> str:
        return value if isinstance(value, str) and value in entry_points(group=group).names else "other"

    return check


def _error_type(value: object) -> str:
    """Takes the exception itself, so that no text can be passed for a type."""
    if not isinstance(value, BaseException):
        raise TypeError("an error's type is read from the error")
    return type(value).__name__


def _error_places(value: object) -> list[str]:
    if not isinstance(value, BaseException):
        raise TypeError("an error's places are read from the error")
    return places(value)


@dataclass(frozen=True, slots=True)
class Event:
    """What may be said of one kind of event.

    Attributes:
        level: one of `LEVELS`.
        says: the event in words, for stderr and the documentation.
        fields: name of a field -> check of its value; every field is optional.
        shown: the command tells the user of it in any case, so it is not repeated on stderr.
    """

    level: str
    says: str
    fields: Mapping[str, Kind]
    shown: bool = False


_OPTIONS = (
    *("allow_failed", "allow_unenforced_guard", "annotation", "as_json", "backend", "both_strands", "format"),
    *("fresh", "heads", "jobs", "model", "no_progress", "output", "phases", "reference", "resume", "seed"),
    *("directory", "migrate", "reindex", "repair", "verify"),
    *("steps", "threads", "variant", "vcf"),
    *("samples", "vcfs", "ending", "cluster", "consent_cluster", "contigs", "at", "encoder", "revision"),
    *("regions", "whole_genome", "plan_only", "yes", "home", "digests", "index", "trust_host", "endpoint"),
    *("folder", "dry_run", "input_vcf", "release", "min_af", "previous"),
    *("config", "overrides", "check", "windows"),
    *("dtype", "state_layer", "pool_type", "pool_radius", "cache", "block_cells", "workers", "devices"),
)
_HEADS = ("marginal_llr", "delta_ll", "displacement", "indel_displacement")
_FORMATS = ("parquet", "tsv", "csv", "jsonl", "vcf", "vcf.gz", "arrow")
_ASSEMBLIES = ("GRCh37", "GRCh38", "unknown")

EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "started": Event(
            "info",
            "a command started",
            {
                "command": _installed("genolewm.commands"),
                "options": _words(*_OPTIONS),
                "core_version": _version,
                "runtime_version": _version,
                "python_version": _version,
                "numpy_version": _version,
                "onnxruntime_version": _version,
            },
        ),
        "guard_installed": Event(
            "info", "the network is closed", {"enforced_by": _word("seccomp", "python-only", "none")}
        ),
        "guard_not_enforced": Event(
            "warning",
            "the network guard holds Python code only, as --allow-unenforced-guard allows",
            {"enforced_by": _word("python-only")},
        ),
        "run_planned": Event(
            "info",
            "what a run computes",
            {
                "backend": _installed("genolewm.backends"),
                "heads": _words(*_HEADS),
                "both_strands": _flag,
                "phases": _count,
                "jobs": _count,
                "format": _word(*_FORMATS),
            },
        ),
        "surveyed": Event(
            "info",
            "the VCF was read through",
            {
                "records": _count,
                "rows": _count,
                "checked": _count,
                "mismatched": _count,
                "rows_matched": _count,
                "contigs": _count,
                "contigs_matched": _count,
                "sorted": _flag,
                "vcf_assembly": _word(*_ASSEMBLIES),
                "reference_assembly": _word(*_ASSEMBLIES),
                "seconds": _seconds,
            },
        ),
        "model_loaded": Event(
            "info",
            "a process loaded the model",
            {"backend": _installed("genolewm.backends"), "worker": _flag, "seconds": _seconds},
        ),
        "shard_finished": Event(
            "debug",
            "a shard was scored",
            {"index": _count, "rows": _count, "scorable": _count, "tokens": _count, "seconds": _seconds},
        ),
        "shard_resumed": Event(
            "debug", "a shard was found finished", {"index": _count, "rows": _count, "tokens": _count}
        ),
        "shard_damaged": Event(
            "warning", "a shard of the earlier run was damaged and is scored again", {"index": _count}
        ),
        "worker_ended": Event(
            "warning", "a worker process ended before its task was done", {"attempt": _count}
        ),
        "resumed": Event(
            "info", "an interrupted run was taken up", {"shards": _count, "shards_in_all": _count}
        ),
        "published": Event(
            "info",
            "the output was written",
            {"rows": _count, "shards": _count, "format": _word(*_FORMATS), "seconds": _seconds},
        ),
        "rows_accounted": Event(
            "info",
            "every row has its outcome",
            {"scored": _count, "skipped": _count, "failed": _count, "tokens": _count},
        ),
        "cache_shards_adopted": Event(
            "info", "a cache took in shards that its index did not know", {"shards": _count}
        ),
        "cache_damaged": Event(
            "warning",
            "a part of a cache was damaged; its states count as missing",
            {"reason": _word("digest", "foreign", "missing", "unreadable", "index")},
        ),
        "cohort_accounted": Event(
            "info",
            "every VCF of a cohort has its outcome",
            {"scored": _count, "kept": _count, "failed": _count, "unfinished": _count},
        ),
        "training_started": Event(
            "info", "training started", {"steps": _count, "first_step": _count, "threads": _count}
        ),
        "checkpoint_written": Event("debug", "a checkpoint was written", {"step": _count}),
        "training_finished": Event("info", "training finished", {"steps": _count, "seconds": _seconds}),
        "failed": Event(
            "error",
            "a command failed",
            {"code": _word(*CODES, "usage"), "exit_code": _count, "kind": _error_type},
            shown=True,
        ),
        "failed_unexpectedly": Event(
            "error",
            "an unexpected error ended a command",
            {"kind": _error_type, "places": _error_places, "exit_code": _count, "worker": _flag},
            shown=True,
        ),
        "interrupted": Event("warning", "a command was interrupted", {"exit_code": _count}, shown=True),
        "ended": Event("info", "a command ended", {"exit_code": _count, "seconds": _seconds}),
    }
)
"""Every event, with its level and its fields. What is not here cannot be logged."""


def emit(name: str, **fields: object) -> None:
    """Log an event.

    Args:
        name: a key of `EVENTS`.
        fields: the event's declared fields, or some of them; a value of None is left out.

    Raises:
        KeyError: the event or a field is not declared.
        TypeError: a value is not of its field's kind.
    """
    event = EVENTS[name]
    checked = {key: event.fields[key](value) for key, value in fields.items() if value is not None}
    level = logging.getLevelName(event.level.upper())
    logger.log(level, "%s", _text(name, checked), extra={"genolewm_event": name, "genolewm_fields": checked})


def _text(name: str, fields: Mapping[str, object]) -> str:
    return " ".join([name, *(f"{key}={json.dumps(value)}" for key, value in fields.items())])
