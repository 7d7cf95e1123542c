"""A manifest says what was written, and one that was changed by hand is refused with the place."""

import json

import pytest

from genolewm_core.errors import InputError
from genolewm_data.release.manifest import MANIFEST, ReleaseFile, ReleaseManifest, SourceFile
from genolewm_data.release.sums import read_sums

WRITTEN = ReleaseManifest(
    name="small",
    version="1",
    assembly="GRCh38",
    window_bp=600,
    options={"seed": 1, "mix": {"synthetic_snv": 1}},
    windows={"train": {"placed": 3}, "validation": {"chr21": 1}},
    left_out={"windows.placed": {"held_out": 2}},
    config={"name": "small"},
    holdouts="sha256:" + "0" * 64,
    sources=(SourceFile("reference", "reference.fa", "0" * 64, 10, licence="CC0"),),
    files=(ReleaseFile("windows/train-00000.parquet", "1" * 64, 20, 3),),
    made_with={"genolewm-data": "0.1.0"},
)


def test_what_is_written_is_read(tmp_path):
    WRITTEN.write(tmp_path)
    again = ReleaseManifest.read(tmp_path)
    assert again == WRITTEN
    assert again.digest == WRITTEN.digest


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("windows", {"train": {"placed": "3"}}, "windows.train.placed: Input should be a valid integer"),
        ("files", [{"path": 1}], "files.0.path: Input should be a valid string"),
        ("sources", {}, "sources: Input should be a valid array"),
        ("window_bp", True, "window_bp: Input should be a valid integer"),
        ("odd", 1, "odd: Unexpected keyword argument"),
        ("schema_version", "2.0.0", "schema version 2.0.0"),
        ("schema_version", 1, "AttributeError"),
    ],
)
def test_a_changed_one_is_refused(tmp_path, key, value, found):
    WRITTEN.write(tmp_path)
    raw = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**raw, key: value}))
    with pytest.raises(InputError, match="dataset-invalid") as error:
        ReleaseManifest.read(tmp_path)
    assert error.value.found.startswith(found)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"schema_version": "1.0.0"}', "\x00"])
def test_no_manifest(tmp_path, text):
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match="dataset-invalid"):
        ReleaseManifest.read(tmp_path)


@pytest.mark.parametrize("read", [ReleaseManifest.read, read_sums])
def test_a_file_that_is_missing_is_told_as_such(tmp_path, read):
    with pytest.raises(InputError, match="dataset-invalid") as error:
        read(tmp_path)
    assert error.value.found == "no such file"
