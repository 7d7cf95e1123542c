"""ClinVar's words and numbers for significance and review, as labels and stars.

A label says no more than ClinVar does: of several classes on one side the weaker is taken, classes of different
sides make a conflict, and what is no germline class of the five (risk alleles, low penetrance, drug response)
makes no label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["LABELS", "Significance", "read_significance", "read_stars"]

LABELS = ("P", "LP", "VUS", "LB", "B", "OTHER")

_CLASSES = {
    "pathogenic": "P",
    "likely_pathogenic": "LP",
    "uncertain_significance": "VUS",
    "likely_benign": "LB",
    "benign": "B",
}
_NUMBERS = {"0": "VUS", "2": "B", "3": "LB", "4": "LP", "5": "P"}
_NUMBERS_BESIDE = frozenset(("1", "6", "7", "255"))
"""Not provided, drug response, histocompatibility, other: they stand beside a class and do not change it."""

_BESIDE = frozenset(
    (
        *("affects", "association", "association_not_found", "confers_sensitivity", "drug_response", "other"),
        *(
            "not_provided",
            "not_reported_for_simple_variant",
            "protective",
            "risk_factor",
            "histocompatibility",
        ),
        *("no_classification_for_the_single_variant", "no_classifications_from_unflagged_records"),
    )
)
_NO_CLASS = frozenset(
    (
        *("established_risk_allele", "likely_risk_allele", "uncertain_risk_allele"),
        *("pathogenic,_low_penetrance", "likely_pathogenic,_low_penetrance"),
    )
)
"""Of the same field, and a claim of another kind than the five classes; one of them takes the label away."""

_CONFLICTS = frozenset(
    (
        "conflicting_interpretations_of_pathogenicity",
        "conflicting_classifications_of_pathogenicity",
        "conflicting_data_from_submitters",
    )
)
_SIDES = ({"P": 0, "LP": 1}, {"B": 0, "LB": 1}, {"VUS": 0})
_SEPARATORS = re.compile(r"[|/;]|,(?!_low_penetrance)")

_STARS = {
    "practice_guideline": 4,
    "reviewed_by_expert_panel": 3,
    "criteria_provided,_multiple_submitters,_no_conflicts": 2,
    "criteria_provided,_multiple_submitters": 2,
    "criteria_provided,_single_submitter": 1,
    "criteria_provided,_conflicting_interpretations": 1,
    "criteria_provided,_conflicting_classifications": 1,
    "no_assertion_criteria_provided": 0,
    "no_assertion_provided": 0,
    "no_assertion_for_the_individual_variant": 0,
    "no_classification_provided": 0,
    "no_classification_for_the_individual_variant": 0,
    "no_classification_for_the_single_variant": 0,
    "no_classifications_from_unflagged_records": 0,
    # Files up to 2015.
    "guideline": 4,
    "prof": 4,
    "exp": 3,
    "mult": 2,
    "single": 1,
    "conf": 1,
    "no_criteria": 0,
    "no_assertion": 0,
    "not": 0,
}


@dataclass(frozen=True, slots=True)
class Significance:
    """What a CLNSIG says.

    Attributes:
        label: one of `LABELS`.
        conflicting: whether submitters do not agree on the side; the label is OTHER then.
        unknown: terms that are none of ClinVar's as far as we know; with one of them the label is OTHER.
    """

    label: str
    conflicting: bool = False
    unknown: tuple[str, ...] = ()


@lru_cache(maxsize=65_536)
def read_significance(raw: str) -> Significance:
    """Read a CLNSIG of one allele, in words or in the numbers of files up to 2016.

    Args:
        raw: terms between `/`, `|` or `,`, as the file has them; "" or "." for none.
    """
    classes: set[str] = set()
    conflicting = no_class = False
    unknown = []
    for given in _SEPARATORS.split(raw):
        term = given.strip("_ ").lower().replace(" ", "_")
        if term in ("", "."):
            continue
        if term in _CLASSES or term in _NUMBERS:
            classes.add(_CLASSES.get(term) or _NUMBERS[term])
        elif term in _CONFLICTS:
            conflicting = True
        elif term in _NO_CLASS:
            no_class = True
        elif term not in _BESIDE and term not in _NUMBERS_BESIDE:
            unknown.append(given)
    if unknown:
        return Significance("OTHER", conflicting, tuple(unknown))
    if conflicting:
        return Significance("OTHER", True)
    if no_class or not classes:
        return Significance("OTHER")
    for side in _SIDES:
        if classes <= side.keys():
            return Significance(max(classes, key=side.__getitem__))
    return Significance("OTHER", True)


@lru_cache(maxsize=4_096)
def read_stars(raw: str) -> int | None:
    """ClinVar's stars of a review status, 0 to 4; of several records the best reviewed counts.

    Returns:
        None when the status is missing or none of ClinVar's.
    """
    stars = [_STARS.get(part.strip("_").lower().replace(" ", "_")) for part in raw.split("|")]
    known = [number for number in stars if number is not None]
    return max(known) if len(known) == len(stars) else None
