"""`geno-lewm errors`: every code is explained, and a misspelled one finds its neighbours."""

from __future__ import annotations

import dataclasses

import pytest
from click.testing import CliRunner

from genolewm_core.errors import CODES, ConfigError, ExitCode, GenoLeWMError
from genolewm_core.explain import errors
from genolewm_core.remedies import REMEDIES


def told(*arguments: str) -> str:
    answer = CliRunner().invoke(errors, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.output


def test_every_code_has_a_remedy() -> None:
    assert REMEDIES.keys() == CODES.keys()


@pytest.mark.parametrize("code", CODES)
def test_a_remedy_is_sentences_and_kinds(code: str) -> None:
    remedy = REMEDIES[code]
    for text in (remedy.causes, remedy.todo):
        assert len(text) > 20
        assert text[0].isupper()
        assert "|" not in text
    assert remedy.causes.endswith(".")
    assert remedy.todo != CODES[code]
    assert all(issubclass(kind, GenoLeWMError) and kind is not GenoLeWMError for kind in remedy.kinds)
    assert len(set(remedy.kinds)) == len(remedy.kinds) > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        remedy.causes = ""  # type: ignore[misc]


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_explained(code: str) -> None:
    text = told(code)
    assert text.startswith(f"{code}\n")
    for part in (CODES[code], REMEDIES[code].causes, REMEDIES[code].todo):
        assert part in text
    for kind in REMEDIES[code].kinds:
        assert f"{int(kind.exit_code)} (" in text


@pytest.mark.parametrize(
    "typed", ["[vcf-unreadable]", "VCF-UNREADABLE", " vcf-unreadable ", "`vcf-unreadable`"]
)
def test_a_code_may_be_pasted_from_a_message(typed: str) -> None:
    assert told(typed) == told("vcf-unreadable")


@pytest.mark.parametrize(
    ("typed", "close"), [("vcf-unreadible", "vcf-unreadable"), ("output", "output-busy"), ("zzz", None)]
)
def test_an_unknown_code_names_close_ones(typed: str, close: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        errors.main([typed], standalone_mode=False)
    error = caught.value
    assert (error.code, error.exit_code, error.found) == ("config-invalid", ExitCode.CONFIG, typed)
    assert close is None or close in (error.expected or "")
    assert error.next_step is not None
    assert "geno-lewm errors" in error.next_step


def test_without_a_code_all_are_listed() -> None:
    lines = told().splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(CODES)]] == sorted(CODES)
    starts = {line.index(CODES[line.split()[0]]) for line in lines[1 : 1 + len(CODES)]}
    assert starts == {lines[0].index("meaning")}
