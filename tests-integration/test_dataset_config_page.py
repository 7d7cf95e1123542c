"""The page of dataset releases names every key of the configuration, with its type and default."""

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from genolewm_data.dataset.config import ClinvarShard, DatasetConfig, GnomadShard, Source

PAGE = Path(__file__).parents[1] / "docs/dataset.md"
SHARED = {Source: "file", GnomadShard: "shard", ClinvarShard: "shard"}
"""Classes of which the page has one list of keys for all places where they may stand."""


def type_words(annotation):
    bounds = {}
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for extra in more:
            for bound in extra.metadata if isinstance(extra, FieldInfo) else ():
                bounds |= {
                    name: getattr(bound, name) for name in ("gt", "ge", "lt", "le") if hasattr(bound, name)
                }
    if annotation in SHARED:
        return SHARED[annotation]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if annotation in (int, float):
        words = "whole number" if annotation is int else "number"
        low = (
            f" from {bounds['ge']:g}"
            if "ge" in bounds
            else f" above {bounds['gt']:g}"
            if "gt" in bounds
            else ""
        )
        return words + low + (f" to {bounds['le']:,g}" if "le" in bounds else "")
    if is_dataclass(annotation):
        return "section"
    return {str: "text", Path: "path", tuple: "list"}.get(get_origin(annotation) or annotation, "mapping")


def default_words(field):
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if default is MISSING:
        return "needed"
    if default is None or default in ("", {}):
        return "none"
    if isinstance(default, dict):
        return ", ".join(f"`{key}` {value}" for key, value in default.items())
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def rows_of(cls, prefix):
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        hint = hints[field.name]
        if get_origin(hint) in (Union, UnionType):
            (hint,) = (part for part in get_args(hint) if part is not NoneType)
        plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        name = f"{prefix}{field.name}"
        section = is_dataclass(plain) and plain not in SHARED
        if not section or field.default is None:
            yield name, type_words(hint), default_words(field)
        if section:
            yield from rows_of(plain, f"{name}.")


def test_all_keys_with_their_types_and_defaults():
    expected = [row for cls, name in SHARED.items() for row in rows_of(cls, f"{name}.")]
    expected += rows_of(DatasetConfig, "")
    part = PAGE.read_text(encoding="utf-8").split("### All keys\n")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in part.splitlines()
        if line[:3] == "| `"
    ]
    assert sorted((key.strip("`"), kind, default) for key, kind, default, _ in cells) == sorted(set(expected))
    assert all(meaning for *_, meaning in cells)
