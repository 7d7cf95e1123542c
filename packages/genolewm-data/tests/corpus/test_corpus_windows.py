"""Where windows start, which letters they may have, and which records a slice takes."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError
from genolewm_data.corpus import Slice, WindowRule
from genolewm_data.corpus.windows import refusal

RULE = WindowRule(window_bp=12, stride_bp=8, margin_bp=5, max_ambiguous_share=0.1)


@given(st.integers(22, 200), st.text(max_size=5), st.integers(1, 40), st.integers(0, 5))
def test_windows_keep_margin_and_stride(n_bp, key, stride_bp, margin_bp):
    rule = WindowRule(12, stride_bp, margin_bp)
    starts = list(rule.starts(n_bp, key))
    assert starts == list(rule.starts(n_bp, key))
    assert min(starts) >= margin_bp
    assert max(starts) + 12 <= n_bp - margin_bp
    assert all(b - a == stride_bp for a, b in itertools.pairwise(starts))
    # No further window would have fitted at either end.
    assert min(starts) - stride_bp < margin_bp
    assert max(starts) + stride_bp + 12 > n_bp - margin_bp


@pytest.mark.parametrize("n_bp", [22, 25, 40])
def test_every_place_is_a_start_equally_often(n_bp):
    seen = Counter(start for key in range(4000) for start in RULE.starts(n_bp, str(key)))
    places = range(5, n_bp - 12 - 5 + 1)
    assert set(seen) == set(places)
    expected = 4000 / min(8, len(places))
    assert all(abs(count - expected) < 5 * expected**0.5 for count in seen.values())


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ("ACGTACGTACGT", None),
        ("ACGTNCGTACGT", None),  # 1 of 12 is within a tenth
        ("ACGTNCGTRCGT", "ambiguous"),
        ("ACGUACGTACGT", "uracil"),
        ("ACG-ACGTACGT", "gap"),
        ("ACG-UCGTACGT", "uracil"),
        ("ACG*-UGTACGT", "other_letter"),
        ("ACGTACGTACG>", "other_letter"),
        ("ACGTACGTACGé", "other_letter"),
    ],
)
def test_letters(window, reason):
    rule = WindowRule(12, 8, 0, max_ambiguous_share=0.1)
    assert refusal(window, [0], rule) == [reason]
    # A bad letter outside a window is not the window's.
    assert refusal("ACGTACGTACGT" + window, [0, 12], rule) == [None, reason]


def test_slice_is_the_documented_hash():
    digest = hashlib.sha256(b"7:NC_000001.11:5-9").digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    assert "NC_000001.11:5-9" in Slice(7, share + 1e-9)
    assert "NC_000001.11:5-9" not in Slice(7, share - 1e-9)
    # Published beside the rule, so that a change of it is seen: record_id 0 to 39 of seed 0.
    assert [n for n in range(40) if str(n) in Slice(0, 0.1)] == [
        n for n in range(40) if hashlib.sha256(f"0:{n}".encode()).hexdigest() < "1999999999999a"
    ]


def test_slice_takes_its_fraction_and_slices_are_nested():
    names = [f"record{n}" for n in range(20_000)]
    small, large = ({name for name in names if name in Slice(3, share)} for share in (0.1, 0.25))
    assert small < large
    assert abs(len(small) - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert all(name in Slice(3, 1.0) for name in names)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WindowRule(window_bp=100),
        lambda: WindowRule(window_bp=0),
        lambda: WindowRule(stride_bp=0),
        lambda: WindowRule(margin_bp=-1),
        lambda: Slice(0, 0.0),
        lambda: Slice(0, 1.5),
    ],
)
def test_sizes_that_cannot_be_used(make):
    with pytest.raises(ConfigError, match="config-invalid"):
        make()
