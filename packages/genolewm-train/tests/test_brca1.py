import gzip
import math

import numpy as np
import pytest

from genolewm_core.errors import EvaluationError
from genolewm_train.brca1 import auroc, brca1_auroc, published_auroc, read_brca1


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([2.0], [1.0], 1.0),
        ([1.0], [2.0], 0.0),
        ([1.0], [1.0], 0.5),
        # Pairs: 3>1, 3>2, 1=1, 1<2: 2.5 of 4.
        ([3.0, 1.0], [1.0, 2.0], 0.625),
    ],
)
def test_auroc_by_hand(positives, negatives, area):
    scores = np.array(positives + negatives)
    labels = np.array([True] * len(positives) + [False] * len(negatives))
    assert auroc(scores, labels) == area


def test_auroc_of_one_class_is_undefined():
    assert math.isnan(auroc(np.array([1.0]), np.array([True])))


def test_missing_scores_are_left_out():
    rows = [{"label_lof": label, "consequence": kind} for label, kind in zip("1100", "MMMS", strict=True)]
    for row in rows:
        row["consequence"] = "Missense" if row["consequence"] == "M" else "Synonymous"
    found = brca1_auroc(rows, np.array([2.0, np.nan, 1.0, 3.0]))
    assert found == {"all": 0.5, "missense": 1.0, "n_all": 3.0, "n_missense": 2.0}


def test_published_scores_of_the_real_table(shared_data):
    rows = read_brca1(shared_data)
    assert len(rows) == 3_893
    found = {name: round(values["all"], 3) for name, values in published_auroc(rows).items()}
    assert found == {
        "Carbon-3B": 0.843,
        "GENERator-v2-3B": 0.808,
        "CADD": 0.804,
        "phyloP": 0.781,
        "Evo2-1B": 0.732,
    }


TABLE = gzip.compress(b"label_lof\tconsequence\n1\tMissense\n")


@pytest.mark.parametrize(
    "content", [None, b"no gzip", TABLE[:-9], gzip.compress(b"label_lof\n"), gzip.compress(b"other\n1\n")]
)
def test_no_table_or_another_one(tmp_path, content):
    path = tmp_path / "benchmark" / "BRCA1_SGE_Findlay2018.GRCh37.tsv.gz"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvaluationError) as caught:
        read_brca1(tmp_path)
    assert caught.value.code == "training-data-missing"
    path.write_bytes(TABLE)
    assert read_brca1(tmp_path) == [{"label_lof": "1", "consequence": "Missense"}]
