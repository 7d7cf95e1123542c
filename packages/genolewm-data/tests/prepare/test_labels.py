"""ClinVar's terms, read by hand."""

import pytest

from genolewm_data.prepare.labels import Significance, read_significance, read_stars


@pytest.mark.parametrize(
    ("raw", "label", "conflicting"),
    [
        ("Pathogenic", "P", False),
        ("Likely_pathogenic", "LP", False),
        ("Uncertain_significance", "VUS", False),
        ("Likely_benign", "LB", False),
        ("Benign", "B", False),
        ("Pathogenic/Likely_pathogenic", "LP", False),  # the weaker claim
        ("Benign/Likely_benign", "LB", False),
        ("Pathogenic|drug_response", "P", False),
        ("Pathogenic,_risk_factor", "P", False),
        ("Likely_pathogenic,other,association", "LP", False),
        ("Conflicting_interpretations_of_pathogenicity", "OTHER", True),
        ("Conflicting_classifications_of_pathogenicity|risk_factor", "OTHER", True),
        ("Pathogenic/Likely_pathogenic/Pathogenic,_low_penetrance", "OTHER", False),
        ("Pathogenic,_low_penetrance", "OTHER", False),
        ("Likely_pathogenic/Likely_risk_allele", "OTHER", False),
        ("Benign|Pathogenic", "OTHER", True),
        ("Uncertain_significance|Benign", "OTHER", True),
        ("drug_response", "OTHER", False),
        ("not_provided", "OTHER", False),
        ("", "OTHER", False),
        ("5", "P", False),
        ("1|5|5", "P", False),
        ("5|4", "LP", False),
        ("2|3", "LB", False),
        ("0", "VUS", False),
        ("0|5", "OTHER", True),
        ("255", "OTHER", False),
        ("1", "OTHER", False),
    ],
)
def test_significance(raw, label, conflicting):
    assert read_significance(raw) == Significance(label, conflicting)


def test_a_term_that_is_not_known_makes_no_label_and_is_named():
    assert read_significance("Pathogenic|Very_bad") == Significance("OTHER", False, ("Very_bad",))


@pytest.mark.parametrize(
    ("raw", "stars"),
    [
        ("practice_guideline", 4),
        ("reviewed_by_expert_panel", 3),
        ("criteria_provided,_multiple_submitters,_no_conflicts", 2),
        ("criteria_provided,_single_submitter", 1),
        ("criteria_provided,_conflicting_classifications", 1),
        ("no_assertion_criteria_provided", 0),
        ("no_classification_provided", 0),
        ("single", 1),
        ("single|mult", 2),
        ("not|exp", 3),
        ("single|unheard_of", None),
        ("", None),
    ],
)
def test_stars(raw, stars):
    assert read_stars(raw) == stars
