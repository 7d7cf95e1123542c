"""What the receipt says about model, options and guard, in labels a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from genolewm_runtime.report.reading import visible
from genolewm_runtime.report.words import option_words

__all__ = ["facts_of"]

_LABELS = {
    "model_name": "Model",
    "demonstration": "Demonstration model",
    "guard": "What kept the network closed",
    "backend": "Computed by",
    "runtime_version": "Version of genolewm-runtime",
    "timestamp": "Scored (UTC)",
    "n_tok": "Tokens run through the model",
    "model_id": "Digest of the model's manifest",
    "weights_sha256": "Digest of the weights",
    "schema_version": "Version of the receipt's form",
    "cluster": "Computed on a cluster",
    "cluster.consent": "Computed on a cluster, by consent",
    "cluster.given": "How the consent was given",
    "cluster.local": "A cluster of this machine alone",
}
_GUARDS = {
    "seccomp": "the kernel refused every network connection (seccomp)",
    "python-only": "Python refused network connections; the kernel did not enforce it, as the user allowed",
    "none": "nothing: the calling program was trusted with it",
}
_SHOWN_ELSEWHERE = ("rows", "reasons")


def facts_of(receipt: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(label, value) of every field of a receipt but the counts of rows; unknown fields under their own name."""
    known = [name for name in _LABELS if name in receipt]
    others = [name for name in receipt if name not in _LABELS and name not in _SHOWN_ELSEWHERE]
    facts: list[tuple[str, str]] = []
    for name in known[:6] + sorted(others) + known[6:]:
        for path, value in _leaves(name, receipt[name]):
            label = _LABELS.get(path) or option_words(path.removeprefix("options."))
            text = _GUARDS.get(str(value), value) if path == "guard" else value
            facts.append((visible(label), visible(_text(text))))
    return tuple(facts)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name in value:
            yield from _leaves(f"{path}.{name}", value[name])
    else:
        yield path, value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value)
    return "none" if value is None else str(value)
