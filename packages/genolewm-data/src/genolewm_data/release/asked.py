"""What a release's maker was asked about its windows and tuples, as the manifest keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.release.manifest import MANIFEST, ReleaseManifest, first_problem
from genolewm_data.samplers import SOURCES, EditSource
from genolewm_data.tuples import TupleOptions

__all__ = ["CorpusAsked", "PlacedAsked", "WindowsAsked", "options_asked", "windows_asked"]


@dataclass(frozen=True, slots=True)
class PlacedAsked:
    """Windows of the reference; see `genolewm_data.dataset.config.Placed`."""

    stride_bp: int
    layout: Literal["strides", "cells"]
    regions: str | None = None


@dataclass(frozen=True, slots=True)
class CorpusAsked:
    """Windows of a corpus; see `genolewm_data.dataset.config.Corpus`."""

    stride_bp: int
    mix: Mapping[str, int]
    slice: float


@dataclass(frozen=True, slots=True)
class WindowsAsked:
    """Windows of training; what was not asked for is None."""

    placed: PlacedAsked | None = None
    corpus: CorpusAsked | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    windows: WindowsAsked


def windows_asked(manifest: ReleaseManifest) -> WindowsAsked:
    """What was asked about the windows of training.

    Raises:
        InputError: `dataset-invalid`, when the configuration does not say it.
    """
    try:
        asked: _Asked = TypeAdapter(_Asked).validate_json(json.dumps(dict(manifest.config)), strict=True)
    except ValidationError as error:
        raise _unknown("config", first_problem(error)) from None
    return asked.windows


def options_asked(manifest: ReleaseManifest) -> TupleOptions:
    """How the tuples are built.

    Raises:
        InputError: `dataset-invalid`.
    """
    given = dict(manifest.options)
    try:
        mix = TypeAdapter(dict[EditSource, int]).validate_python(given.get("mix"), strict=True)
        # What a window draws depends on the order of the mix, which JSON does not keep.
        weights = sorted(mix.items(), key=lambda item: SOURCES.index(item[0]))
        text = json.dumps({**given, "mix": {"weights": weights}})
        return TypeAdapter(TupleOptions).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise _unknown("options", first_problem(error)) from None
    except ConfigError as error:
        raise _unknown("options", f"{error.where}: {error.found}") from None


def _unknown(part: str, found: str) -> InputError:
    return InputError(
        "dataset-invalid",
        "The manifest says something that this version does not know.",
        where=f"{MANIFEST}, {part}",
        expected="what geno-lewm dataset build of this version writes",
        found=found,
        next_step="use the version of genolewm-data that made it, named in the manifest, or build it again",
    )
