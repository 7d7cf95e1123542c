"""The published pages of the studies say what the JSON beside them says, and nothing else."""

import json
from pathlib import Path

import pytest

from genolewm_train.studies import contract_page, phases_page

STUDIES = Path(__file__).resolve().parents[3] / "docs" / "studies"


@pytest.mark.parametrize(("name", "page_of"), [("phases", phases_page), ("contract", contract_page)])
def test_published_page_is_its_json(name, page_of):
    summary = json.loads((STUDIES / f"{name}.json").read_text(encoding="utf-8"))
    assert (STUDIES / f"{name}.md").read_text(encoding="utf-8") == page_of.render(summary)
    assert (STUDIES / f"{name}.png").stat().st_size < 150_000


def test_both_pages_are_of_one_model():
    models = [json.loads((STUDIES / f"{name}.json").read_text())["model"] for name in ("phases", "contract")]
    assert models[0] == models[1]
