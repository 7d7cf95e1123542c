"""Plain words for the codes of a release."""

from __future__ import annotations

__all__ = ["kind_words", "origin_words", "source_words", "term_words", "visible"]

_SOURCES = {
    "gnomad": "gnomAD",
    "clinvar": "ClinVar",
    "synthetic_snv": "synthetic SNVs",
    "synthetic_indel": "synthetic indels",
    "synthetic_mnv": "synthetic MNVs",
    "haplotype": "haplotype blocks",
}
_ORIGINS = {"placed": "reference genome"}
_KINDS = {
    "SNV": "substitution of one base",
    "MNV": "substitution of several bases",
    "INS": "insertion",
    "DEL": "deletion",
    "INDEL": "insertion with deletion",
}


def source_words(source: str) -> str:
    """A source of edits."""
    return _SOURCES.get(source, source)


def origin_words(origin: str) -> str:
    """Where a window is from."""
    return _ORIGINS.get(origin, origin)


def kind_words(kind: str) -> str:
    """A kind of edit."""
    return _KINDS.get(kind, kind)


def term_words(term: str) -> str:
    """A code of several words with underscores."""
    return term.replace("_", " ")


def visible(text: str) -> str:
    """The text with hidden characters, such as those that turn the direction of reading, written out."""
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t\u00a0\u202f"
        else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in text
    )
