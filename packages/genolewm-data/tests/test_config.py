"""A configuration is read strictly, and an error names the key and what would have been right."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from genolewm_core.errors import ConfigError
from genolewm_data.config import STRICT, ConfigPath, read_config


@dataclass(frozen=True, config=STRICT)
class Inner:
    path: ConfigPath
    n: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, config=STRICT)
class Outer:
    name: str
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    share: float = 0.5
    flag: bool = False


@pytest.fixture
def read(tmp_path):
    def read(text, *overrides):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return read_config(Outer, path, overrides)

    return read


def test_values_are_read_and_paths_are_relative_to_the_file(read, tmp_path):
    found = read("name: x\ninner: {path: a/b.fa, n: 3}\nseveral: [{path: /c}]\nshare: 1\n")
    assert found == Outer("x", Inner(tmp_path / "a/b.fa", 3), (Inner(Path("/c")),), 1.0)


def test_a_date_is_text_here(read):
    assert read("name: 2024-05-02\n").name == "2024-05-02"


def test_an_override_goes_before_the_file(read):
    found = read(
        "name: x\nseveral: [{path: /a}, {path: /b}]\n",
        "inner.path=/c",
        "inner.n=5",
        "several.1.n=7",
        "flag=true",
    )
    assert found.inner == Inner(Path("/c"), 5)
    assert [one.n for one in found.several] == [2, 7]
    assert found.flag


WRONG = {
    # text, overrides -> where, what was expected
    "unknown key": ("name: x\ninner: {pth: a}", (), "inner.pth", "path"),
    "unknown key in a list": ("name: x\nseveral: [{path: a, m: 1}]", (), "several.0.m", "path, n"),
    "unknown key at the top": ("name: x\nflga: true", (), "flga", "flag"),
    "missing key": ("share: 1", (), "name", "a value"),
    "number that is text": ("name: x\ninner: {path: a, n: '3'}", (), "inner.n", "a valid integer"),
    "text that is a number": ("name: 1.10", (), "name", "text; with quotes"),
    "flag that is a number": ("name: x\nflag: 1", (), "flag", "a valid boolean"),
    "out of bounds": ("name: x", ("inner.path=a", "inner.n=0"), "inner.n", "greater than or equal to 1"),
    "not finite": ("name: x\nshare: .nan", (), "config.yaml", "text and numbers"),
    "key that stands twice": ("name: x\nname: y", (), "config.yaml, line 1", "a file of YAML"),
    "no YAML": ("name: [", (), "config.yaml, line", "a file of YAML"),
    "no mapping": ("- name", (), "config.yaml", "lines of key: value"),
    "override without a value": ("name: x", ("flag",), "--set", "key=value"),
    "override below a value": ("name: x", ("name.first=y",), "--set name.first", "a key of name"),
    "override beyond a list": ("name: x\nseveral: []", ("several.0=y",), "--set several.0", "a key of several"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(read, name):
    text, overrides, where, expected = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        read(text, *overrides)
    assert caught.value.code == "config-invalid"
    assert where in caught.value.where
    assert caught.value.expected.startswith(expected)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_config(Outer, tmp_path / "none.yaml")
    assert caught.value.code == "config-invalid"
    assert caught.value.found == "No such file or directory"
