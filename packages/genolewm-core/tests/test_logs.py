import json
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core import logs
from genolewm_core.errors import CODES, ConfigError, GenoLeWMError, ResourceError
from genolewm_core.logs import EVENTS, LEVELS, LogSettings, emit, masked, open_log, places
from genolewm_core.logs.options import with_log_options
from genolewm_core.scoring.heads import CHOICES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "logs.md"


@pytest.fixture
def log(tmp_path):
    """A log file that takes everything; calling it gives the records."""
    path = tmp_path / "run.log"
    open_log(LogSettings("debug", path))
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    logs.close_log()


def thrown(kind=ValueError):
    try:
        raise kind("chr7:117559590:ATCT:A")
    except kind as error:
        return error


# What a field may hold, and what must not get into it: (field's event, field, good value, as written).
GOOD = [
    ("surveyed", "records", 3, 3),
    ("surveyed", "records", 0, 0),
    ("surveyed", "sorted", True, True),
    ("surveyed", "vcf_assembly", "GRCh37", "GRCh37"),
    ("published", "seconds", 1.23456, 1.235),
    ("published", "seconds", 2, 2.0),
    ("published", "format", "parquet", "parquet"),
    ("started", "options", ["vcf", "jobs"], ["vcf", "jobs"]),
    ("started", "command", "errors", "errors"),
    ("started", "numpy_version", "2.0.1", "2.0.1"),
    ("started", "core_version", "0.1.0rc1", "0.1.0rc1"),
    ("run_planned", "heads", list(CHOICES), list(CHOICES)),
    ("failed", "code", "vcf-unreadable", "vcf-unreadable"),
]


@pytest.mark.parametrize(("event", "field", "value", "written"), GOOD)
def test_declared_values_are_written(event, field, value, written, log):
    emit(event, **{field: value})
    (record,) = log()
    assert record["fields"] == {field: written}
    assert (record["event"], record["level"]) == (event, EVENTS[event].level)


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        ("started", "command", "chr7:117559590:ATCT:A"),
        ("started", "core_version", "117559590"),
        ("started", "core_version", "NA12878"),
        ("run_planned", "backend", "/home/jane/model"),
        ("surveyed", "vcf_assembly", "chr7"),
        ("published", "format", "GATTACA"),
        ("failed", "code", "NA12878"),
    ],
)
def test_words_outside_their_list_are_other(event, field, value, log):
    emit(event, **{field: value})
    assert log()[0]["fields"] == {field: "other"}


@pytest.mark.parametrize(
    ("event", "fields", "kind"),
    [
        ("no_such_event", {}, KeyError),
        ("surveyed", {"path": "x"}, KeyError),
        ("surveyed", {"records": "117559590"}, TypeError),
        ("surveyed", {"records": True}, TypeError),
        ("surveyed", {"records": -1}, TypeError),
        ("surveyed", {"records": 1.5}, TypeError),
        ("surveyed", {"sorted": 1}, TypeError),
        ("published", {"seconds": "1"}, TypeError),
        ("started", {"options": "vcf"}, TypeError),
        ("failed", {"kind": "ValueError"}, TypeError),
        ("failed_unexpectedly", {"places": ["x"]}, TypeError),
    ],
)
def test_what_is_not_declared_is_refused(event, fields, kind, log):
    with pytest.raises(kind):
        emit(event, **fields)
    assert log() == []


TEXT_FIELDS = [(name, field) for name, event in EVENTS.items() for field in event.fields]


@given(field=st.sampled_from(TEXT_FIELDS), text=st.text("ACGTNacgt0123456789:_chrXYM/", min_size=6))
def test_no_field_takes_a_text_as_it_is(field, text):
    event, name = field
    check = EVENTS[event].fields[name]
    for value in (text, [text]):
        try:
            found = check(value)
        except TypeError:
            continue
        assert found in ("other", ["other"])


def test_every_field_of_every_event_is_of_a_known_kind():
    kinds = {"_count", "_seconds", "_flag", "_version", "_error_type", "_error_places"}
    for event in EVENTS.values():
        assert event.level in LEVELS
        for check in event.fields.values():
            assert check.__qualname__ in kinds | {"_word.<locals>.check", "_words.<locals>.check"} or (
                check.__qualname__.startswith("_installed.<locals>")
            )


def test_error_codes_are_all_known_to_the_log():
    assert {EVENTS["failed"].fields["code"](code) for code in CODES} == set(CODES)


def test_a_record_is_one_object_a_line_with_time_in_utc(log):
    emit("surveyed", records=1)
    emit("ended", exit_code=0, seconds=None)
    records = log()
    assert [list(record) for record in records] == [["ts", "level", "event", "fields"]] * 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["ts"]) for record in records)
    assert records[1]["fields"] == {"exit_code": 0}


def test_errors_are_logged_by_type_and_place_only(log):
    emit("failed_unexpectedly", kind=thrown(), places=thrown())
    (record,) = log()
    assert record["fields"]["kind"] == "ValueError"
    assert re.fullmatch(r"([\w-]+/)*test_logs\.py:\d+ in thrown", record["fields"]["places"][-1])
    assert "117559590" not in json.dumps(record)


def test_places_name_no_folder_above_the_package():
    with pytest.raises(GenoLeWMError) as caught:
        open_log(LogSettings(file=Path("/proc/nope/x")))
    assert any(place.startswith("genolewm_core/logs/output.py:") for place in places(caught.value))
    assert not any(place.startswith("/") for place in places(caught.value))


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["shard_finished", "surveyed", "shard_damaged", "failed"]),
        ("info", ["surveyed", "shard_damaged", "failed"]),
        ("warning", ["shard_damaged", "failed"]),
        ("error", ["failed"]),
    ],
)
def test_levels(level, events, tmp_path):
    open_log(LogSettings(level, tmp_path / "x.log"))
    for name in ("shard_finished", "surveyed", "shard_damaged", "failed"):
        emit(name)
    logs.close_log()
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == events


def test_without_a_file_warnings_are_told_in_words(capsys):
    open_log(LogSettings())
    emit("surveyed", records=3)
    emit("shard_damaged", index=4)
    emit("failed", code="worker-ended")  # the command shows it
    logs.close_log()
    told = "geno-lewm: warning: a shard of the earlier run was damaged and is scored again (index 4)\n"
    assert capsys.readouterr().err == told


def test_with_a_file_warnings_are_told_as_well(log, capsys):
    emit("surveyed", records=3)
    emit("shard_damaged", index=4)
    assert capsys.readouterr().err.count("\n") == 1
    assert len(log()) == 2


def test_the_file_is_for_its_owner_and_appended_to(tmp_path):
    path = tmp_path / "x.log"
    mask = os.umask(0)
    try:
        for _ in range(2):
            open_log(LogSettings("info", path))
            emit("ended")
            logs.close_log()
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["missing/x.log", "folder", "file/below"])
def test_a_file_that_cannot_be_written_is_an_error(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError) as caught:
        open_log(LogSettings("info", tmp_path / name))
    assert caught.value.code == "output-unwritable"
    assert "--log-file" in str(caught.value)


def test_a_file_that_is_no_log_is_left_alone(tmp_path):
    path = tmp_path / "my.vcf"
    path.write_text("##fileformat=VCFv4.2\n")
    with pytest.raises(ConfigError):
        open_log(LogSettings("info", path))
    assert path.read_text() == "##fileformat=VCFv4.2\n"


def test_free_text_of_other_code_never_reaches_the_file(log, capsys):
    logging.getLogger("genolewm").error("chr7:117559590:ATCT:A")
    logging.getLogger("genolewm.other").error("chr7:117559590:ATCT:A")
    assert log() == []
    assert capsys.readouterr() == ("", "")


def test_a_library_has_a_silent_logger_of_the_standard_kind(caplog, capsys):
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("genolewm").handlers)
    emit("shard_damaged", index=4)
    assert capsys.readouterr() == ("", "")
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (
        "genolewm",
        "WARNING",
        "shard_damaged index=4",
    )


def test_options_are_given_to_commands_and_groups_without_changing_them():
    @click.command()
    @click.option("--vcf")
    def one(vcf):
        assert vcf == "x"

    group = click.Group("many", commands={"one": one})
    for command, arguments in ((one, []), (group, ["one"])):
        found = with_log_options(command, "errors")
        with pytest.raises(SystemExit) as ended:
            found.main([*arguments, "--vcf", "x", "--log-level", "error"])
        assert ended.value.code == 0
    assert [parameter.name for parameter in one.params] == ["vcf"]
    logs.close_log()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("extra argument (chr21:25118121:T:C)", "extra argument ((withheld))"),
        ("'7:117559590'", "'(withheld)'"),
        ("chr7:g.117559590del rs334", "(withheld) (withheld)"),
        ("NM_000492.3:c.1521_1523del", "(withheld)"),
        ("weird[1]:12:A:<DEL>", "(withheld)"),
        ("No such option: --chr21:5:A:C", "No such option: (withheld)"),
        ("  genolewm_runtime/run.py:88 in run_vcf", "  genolewm_runtime/run.py:88 in run_vcf"),
        ("where: /data/rs123/x.vcf, after record 7", "where: /data/rs123/x.vcf, after record 7"),
        ("expected: 1, 2, 3 or 6\n  found: 4", "expected: 1, 2, 3 or 6\n  found: 4"),
        ("write it like chr17:43044295:G:A", "write it like chr17:43044295:G:A"),
        ("write it like chr17:43044295:G:AT", "write it like (withheld)"),
    ],
)
def test_what_looks_like_a_variant_is_masked(text, left):
    assert masked(text) == left


CRASHES = """
import os, sys, threading
from genolewm_core.logs import withhold_messages
withhold_messages()

class Late:
    def __del__(self):
        raise ValueError("canary")

def inside():
    raise ValueError("canary")

thread = threading.Thread(target=inside)
thread.start()
thread.join()
Late()
{last}
"""


@pytest.mark.parametrize(("last", "exit_code"), [("inside()", 1), ("os.abort()", -6)])
def test_crashes_tell_types_and_places_and_leave_no_file(last, exit_code, tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", CRASHES.format(last=last)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode == exit_code
    assert "canary" not in answer.stderr
    assert "ValueError ended a thread" in answer.stderr
    assert "ValueError was ignored" in answer.stderr
    assert ("ValueError ended the process" in answer.stderr) == (exit_code == 1)
    assert "in inside" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_page_lists_exactly_the_events_and_their_fields():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    found = {
        name: (level, says.strip(), re.findall(r"`(\w+)`", fields)) for name, level, says, fields in rows
    }
    assert found == {name: (e.level, e.says, list(e.fields)) for name, e in EVENTS.items()}
