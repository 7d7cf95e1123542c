"""Records out of Parquet files, and from `datasets`."""

from __future__ import annotations

import hashlib
import pickle
import sys

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, DeploymentError, InputError
from genolewm_data.corpus import CONFIGS, HubSource, ParquetSource
from genolewm_data.parts import Part, Share

from .conftest import GENERATOR, bases, generator_rows, text_rows, write

CONFIG_NAMES = list(CONFIGS)


def sequences(source) -> list[str]:
    return [record.sequence for unit in range(source.n_units) for _, record in source.records(unit, Share(0))]


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_records_are_the_rows_of_the_files(corpus, config):
    column = CONFIGS[config].sequence
    files = sorted((corpus / config).rglob("*.parquet"))
    expected = [text or "" for file in files for text in pq.read_table(file)[column].to_pylist()]
    source = ParquetSource(config, corpus)
    assert sequences(source) == expected
    assert len(expected) == 45
    assert source.n_units == 12  # 21 and 24 rows in groups of four
    assert sequences(pickle.loads(pickle.dumps(source))) == expected


def test_record_ids(tmp_path):
    write(tmp_path, GENERATOR, [*generator_rows(["acgt", None]), generator_rows(["A"])[0] | {"start": None}])
    write(tmp_path, "mrna_evo2", text_rows(["acgt", "ACGT", None]))
    source = ParquetSource(GENERATOR, tmp_path)
    placed, empty, without = (record for _, record in source.records(0, Share(0)))
    assert placed.record_id == "NC_000022.11:0-4"
    assert placed.locus == ("NC_000022.11", 0, 4)
    assert (empty.sequence, empty.locus) == ("", ("NC_000022.11", 1000, 1000))
    assert without.locus is None
    first, copy, nothing = (r for _, r in ParquetSource("mrna_evo2", tmp_path).records(0, Share(0)))
    assert first.record_id == f"sha256:{hashlib.sha256(b'ACGT').hexdigest()[:32]}" == copy.record_id
    assert nothing.sequence == ""


@given(st.integers(1, 7), st.integers(0, 6), st.integers(0, 140))
@settings(max_examples=30, deadline=None)
def test_rows_of_a_share(tmp_path_factory, every, at, row):
    folder = tmp_path_factory.getbasetemp() / "one_group"
    if not folder.exists():
        write(folder, "mrna_evo2", text_rows([bases(5, n) for n in range(150)]), row_group_size=150)
    at %= every
    source = ParquetSource("mrna_evo2", folder)
    rows = [found for found, _ in source.records(0, Share(0, every, at), row)]
    assert rows == [n for n in range(row, 150) if n % every == at]


@given(st.integers(0, 30), st.integers(1, 50))
def test_parts_read_every_row_of_every_unit_once(n_units, count):
    n_rows = 60
    seen = sorted(
        (share.place, row)
        for index in range(count)
        for share in Part(index, count).shares(n_units)
        for row in range(n_rows)
        if row % share.every == share.at
    )
    assert seen == [(place, row) for place in range(n_units) for row in range(n_rows)]


def test_only_the_size_of_short_records_is_given(tmp_path):
    write(tmp_path, "mrna_evo2", text_rows(["ACGT", "", None, "ACGTACGT", "ACGTA"]), row_group_size=9)
    source = ParquetSource("mrna_evo2", tmp_path)
    found = [(row, r if isinstance(r, int) else r.sequence) for row, r in source.records(0, Share(0), 0, 5)]
    assert found == [(0, 4), (1, 0), (2, 0), (3, "ACGTACGT"), (4, "ACGTA")]


def test_parts_of_workers_are_all_parts():
    parts = {Part.of_worker(rank, 3, worker, 4) for rank in range(3) for worker in range(4)}
    assert parts == {Part(index, 12) for index in range(12)}
    with pytest.raises(ConfigError, match="config-invalid"):
        Part(3, 3)


def test_folder_without_files(tmp_path):
    with pytest.raises(InputError, match="corpus-unreadable"):
        ParquetSource("mrna_evo2", tmp_path)
    with pytest.raises(ConfigError, match="config-invalid"):
        ParquetSource("mrna", tmp_path)


def test_files_of_another_config(tmp_path):
    write(tmp_path, GENERATOR, text_rows(["ACGT"]))
    with pytest.raises(InputError, match="corpus-unreadable") as caught:
        ParquetSource(GENERATOR, tmp_path)
    assert caught.value.expected == "sequence, record_id, start, end"
    assert caught.value.found == "text, metadata"


def test_damaged_files(tmp_path):
    write(tmp_path, "mrna_evo2", text_rows([bases(9_000, n) for n in range(40)]))
    path = tmp_path / "mrna_evo2" / "part-0.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="corpus-unreadable"):
        ParquetSource("mrna_evo2", tmp_path)
    path.write_bytes(whole)
    source = ParquetSource("mrna_evo2", tmp_path)
    path.write_bytes(whole[:4] + b"\0" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(InputError, match=r"mrna_evo2/part-0\.parquet"):
        sequences(source)


def test_hub_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    source = HubSource("mrna_evo2")
    with pytest.raises(DeploymentError, match=r"genolewm-data\[hub\]"):
        _ = source.n_units


def test_hub_wants_a_commit():
    with pytest.raises(ConfigError, match="revision-floating"):
        HubSource("mrna_evo2", revision="main")
    with pytest.raises(ConfigError, match="config-invalid"):
        HubSource("mrna")


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_hub_streams_what_the_files_hold(corpus, tmp_path, monkeypatch, config):
    pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    glob = "**/*.parquet" if config == GENERATOR else "*.parquet"
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n  - split: train\n    path: {config}/{glob}\n---\n"
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "README.md").write_text(card)
    (repo / config).symlink_to(corpus / config)
    hub, local = HubSource(config, str(repo)), ParquetSource(config, corpus)
    assert hub.n_units == 2
    assert sequences(hub) == sequences(local)
    assert sequences(pickle.loads(pickle.dumps(hub))) == sequences(local)
    for least_bp in (0, 200, 1000):
        assert list(hub.records(0, Share(0), 3, least_bp)) == [
            (3 + at, record if len(record.sequence) >= least_bp else len(record.sequence))
            for at, (_, record) in enumerate(hub.records(0, Share(0), 3))
        ]
    first = list(hub.records(0, Share(0, 2, 1), 6))
    assert [row for row, _ in first] == list(range(7, 21, 2))
    assert [r.record_id for _, r in first] == [
        r.record_id for n, r in hub.records(0, Share(0)) if n in range(7, 21, 2)
    ]
