"""Configuration files: YAML read into frozen dataclasses, where nothing unknown and nothing of another type passes.

A configuration is a dataclass of `pydantic.dataclasses` with `config=STRICT`. Numbers are never made of text, and text
never of numbers: `version: 1.10` is a number to YAML, which would lose its last digit.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, ValidationInfo

from genolewm_core.errors import ConfigError

__all__ = ["STRICT", "ConfigPath", "read_config"]

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", strict=True)
"""For every dataclass of a configuration."""

_SHOWN = 3


def _beside(path: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ".")) / path


ConfigPath = Annotated[Path, AfterValidator(_beside)]
"""A path; a relative one is relative to the configuration's file."""


def read_config(cls: type[T], path: Path, overrides: Iterable[str] = ()) -> T:
    """Read a configuration.

    Args:
        cls: a dataclass of `pydantic.dataclasses` with `config=STRICT`.
        path: YAML file.
        overrides: `key.key=value` each, with a value in YAML; they go before what the file says. Items of a list are
            named by their number.

    Raises:
        ConfigError: `config-invalid`, naming the key: not readable, no YAML, unknown, missing, of another type or
            out of bounds.
    """
    try:
        raw = yaml.load(path.read_bytes(), _OnceLoader)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        raise _invalid(
            "cannot be read",
            path.name if mark is None else f"{path.name}, line {mark.line + 1}",
            "a file of YAML",
            getattr(error, "problem", None) or getattr(error, "strerror", None) or type(error).__name__,
        ) from None
    if not isinstance(raw, dict):
        raise _invalid("is no mapping", path.name, "lines of key: value", type(raw).__name__)
    for override in overrides:
        _override(raw, override)
    try:
        text = json.dumps(raw, allow_nan=False, default=_as_written)
        return TypeAdapter(cls).validate_json(text, context={"folder": path.parent})
    except ValidationError as error:
        raise _refusal(cls, path, error) from None
    except (ValueError, TypeError) as error:
        raise _invalid(
            "has a value that no key takes", path.name, "text and numbers", type(error).__name__
        ) from None


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping of different keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key} stands twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _as_written(value: object) -> str:
    """A date, which is text here: `release: 2024-05-02`."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.split(".")
    if not equals or not all(names):
        raise _invalid("override is malformed", "--set", "key=value, such as windows.shards=4", override[:60])
    try:
        value = yaml.load(text, _OnceLoader)
    except yaml.YAMLError:
        raise _invalid("override is malformed", f"--set {key}", "a value in YAML", text[:60]) from None
    at: Any = raw
    for number, name in enumerate(names):
        index: Any = int(name) if isinstance(at, list) and name.isdecimal() and int(name) < len(at) else name
        if not isinstance(at, dict) and index is name:
            raise _invalid(
                "override names no key", f"--set {key}", f"a key of {'.'.join(names[:number])}", name
            )
        if number == len(names) - 1:
            at[index] = value
            return
        if isinstance(at, dict) and at.get(index) is None:
            at[index] = {}
        at = at[index]


def _refusal(cls: type, path: Path, error: ValidationError) -> ConfigError:
    problems = error.errors(include_url=False, include_context=False)
    # A key that is misspelt is missing as well.
    unknown = [problem for problem in problems if problem["type"] == "unexpected_keyword_argument"]
    first = (unknown or problems)[0]
    loc = tuple(first["loc"])
    key = ".".join(map(str, loc))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "unexpected_keyword_argument":
        known = _keys(cls, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        return _invalid(
            "has an unknown key",
            f"{path.name}: {key}{more}",
            near[0] if near else ", ".join(known),
            str(loc[-1])[:60],
            f"did you mean {near[0]}?" if near else "take the key out, or correct it",
        )
    missing = first["type"] == "missing"
    expected = "a value" if missing else first["msg"].removeprefix("Input should be ")
    if first["type"] == "string_type" and isinstance(first["input"], int | float):
        # YAML reads 1.0 and yes as a number and a flag.
        expected = 'text; with quotes where it looks like a number or a flag, such as "1.0"'
    return _invalid(
        "lacks a key" if missing else "has a value that cannot be used",
        f"{path.name}: {key}{more}",
        expected,
        "none" if missing else json.dumps(first["input"], default=str)[:60],
    )


def _keys(cls: type, loc: Iterable[Any]) -> list[str]:
    """The keys that the dataclass at a place of a configuration has."""
    at: Any = cls
    for name in loc:
        # Of a mapping or a tuple: the type of its values.
        inside = [one for one in get_args(at) if one is not Ellipsis]
        at = get_type_hints(at).get(str(name)) if is_dataclass(at) else (inside or [None])[-1]
        at = _within(at)
    return [field.name for field in fields(at)] if is_dataclass(at) else []


def _within(hint: Any) -> Any:
    """The dataclass of an optional or annotated one; other types as they are."""
    if get_origin(hint) in (Union, UnionType):
        return next((found for one in get_args(hint) if is_dataclass(found := _within(one))), hint)
    return hint


def _invalid(
    what: str, where: str, expected: str, found: str, next_step: str = "correct the configuration"
) -> ConfigError:
    return ConfigError(
        "config-invalid",
        f"The configuration {what}.",
        where=where,
        expected=expected,
        found=found,
        next_step=next_step,
    )
