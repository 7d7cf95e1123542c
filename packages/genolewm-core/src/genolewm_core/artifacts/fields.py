"""Checks that the records of a manifest make of their own fields; a manifest is data of others."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Any

__all__ = ["check", "check_types", "exact_keys"]

_TYPES: dict[object, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "Mapping[str, str]": (dict,),
    "Mapping[str, Any]": (dict,),
}


def exact_keys(kind: type, raw: Any) -> dict[str, Any]:
    """The object, which must have exactly the fields of a dataclass."""
    known = {field.name for field in fields(kind)}
    if not isinstance(raw, dict) or set(raw) != known:
        odd = sorted(set(raw) ^ known) if isinstance(raw, dict) else raw
        raise ValueError(f"{kind.__name__}: missing or unknown {reprlib.repr(odd)}")
    return dict(raw)


def check_types(record: Any) -> None:
    """Refuse a value of another type than its field's; `True` is no int. Types of JSON only."""
    for field in fields(record):
        value = getattr(record, field.name)
        if field.type in _TYPES and type(value) not in _TYPES[field.type]:
            raise ValueError(
                f"{type(record).__name__}.{field.name}: {reprlib.repr(value)} is no {field.type}"
            )


def check(record: Any, **allowed: bool) -> None:
    """Refuse the first field whose value is not allowed."""
    for name, holds in allowed.items():
        if not holds:
            value = reprlib.repr(getattr(record, name))
            raise ValueError(f"{type(record).__name__}.{name}: {value} is not allowed")
