import json
import re
import sys
import threading

import pytest

from genolewm_core import logs
from genolewm_core.umbrella import main

COMMANDS = '''
import click
from genolewm_core.errors import InputError, ProvenanceError


@click.command()
@click.option("--size", type=int, default=0)
@click.option("--needed", required=True)
def fine(size, needed):
    """All is well."""
    return size


@click.command()
@click.argument("how")
def broken(how):
    """Ends badly."""
    raise {
        "input": InputError("vcf-unreadable", "The file [/x] is odd.", where="record 7"),
        "provenance": ProvenanceError("artifact-digest", "Not the promised bytes."),
        "click": click.ClickException("no such thing"),
        "interrupt": KeyboardInterrupt(),
        "unexpected": ValueError("chr7:117559590:ATCT:A"),
    }[how]
'''

ENTRY_POINTS = """\
[genolewm.commands]
fine = umbrella_probe:fine
broken = umbrella_probe:broken
halting = umbrella_halting:command
missing = umbrella_missing:command
absent = umbrella_probe:absent
nothing = umbrella_probe:InputError
"""

HALTING = "import no_such_library_anywhere\n"


@pytest.fixture
def geno_lewm(tmp_path, monkeypatch, capsys):
    """The command with two more commands, installed as a distribution installs them."""
    (tmp_path / "umbrella_probe.py").write_text(COMMANDS)
    (tmp_path / "umbrella_halting.py").write_text(HALTING)
    about = tmp_path / "umbrella_probe-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: umbrella-probe\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "umbrella_probe", raising=False)
    # The command sets these for its process, which here is that of the tests.
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["geno-lewm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return int(ended.value.code), written.out, written.err

    yield run
    logs.close_log()
    sys.modules.pop("umbrella_probe", None)


def test_help_lists_what_is_installed(geno_lewm):
    code, out, _ = geno_lewm("--help")
    assert code == 0
    assert "All is well." in out
    assert "Ends badly." in out


def test_a_command_is_loaded_when_it_is_called(geno_lewm):
    assert geno_lewm("--version")[0] == 0
    assert "umbrella_probe" not in sys.modules
    assert geno_lewm("fine", "--needed", "x") == (0, "", "")
    assert "umbrella_probe" in sys.modules


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["fine", "--needed", "x", "--size", "2"], 2, []),
        (["broken", "input"], 2, ["The file [/x] is odd. [vcf-unreadable]", "where: record 7"]),
        (["broken", "provenance"], 8, ["[artifact-digest]"]),
        (["broken", "click"], 3, ["no such thing"]),
        (["broken", "interrupt"], 130, ["geno-lewm: interrupted\n"]),
        # What is typed wrongly is a matter of options, never of the user's data.
        (["fine", "--needed", "x", "--size", "big"], 3, ["--size", "big"]),
        (["fine"], 3, ["--needed"]),
        (["fine", "--need"], 3, ["--need"]),
        (["fien"], 3, ["fien"]),
    ],
)
def test_exit_codes(geno_lewm, arguments, exit_code, told):
    code, out, err = geno_lewm(*arguments)
    assert (code, out) == (exit_code, "")
    for text in told:
        assert text in err
    assert "Traceback" not in err


def test_an_unexpected_error_keeps_its_text_to_itself(geno_lewm):
    code, out, err = geno_lewm("broken", "unexpected")
    assert (code, out) == (9, "")
    assert "ValueError" in err
    assert "umbrella_probe.py" in err
    assert "117559590" not in err


@pytest.mark.parametrize(
    ("how", "event"),
    [
        (
            "input",
            {"event": "failed", "fields": {"code": "vcf-unreadable", "exit_code": 2, "kind": "InputError"}},
        ),
        ("click", {"event": "failed", "fields": {"code": "usage", "exit_code": 3, "kind": "ClickException"}}),
        ("interrupt", {"event": "interrupted", "fields": {"exit_code": 130}}),
    ],
)
def test_every_command_logs_its_start_its_error_and_its_end(how, event, geno_lewm, tmp_path):
    log = tmp_path / "x.log"
    code, _, _ = geno_lewm("broken", how, "--log-level", "info", "--log-file", str(log))
    started, failed, ended = (json.loads(line) for line in log.read_text().splitlines())
    assert (started["event"], started["fields"]["command"]) == ("started", "broken")
    assert {key: failed[key] for key in ("event", "fields")} == event
    assert (ended["event"], ended["fields"]["exit_code"]) == ("ended", code)


def test_an_unexpected_error_is_logged_without_its_text(geno_lewm, tmp_path):
    log = tmp_path / "x.log"
    geno_lewm("broken", "unexpected", "--log-file", str(log))
    (record,) = (json.loads(line) for line in log.read_text().splitlines())
    assert record["fields"]["kind"] == "ValueError"
    assert record["fields"]["places"][-1].startswith("umbrella_probe.py:")
    assert "117559590" not in log.read_text()


def test_a_log_that_cannot_be_written_is_an_error(geno_lewm, tmp_path):
    code, _, err = geno_lewm("fine", "--needed", "x", "--log-file", str(tmp_path / "no" / "x.log"))
    assert code == 4
    assert "[output-unwritable]" in err


UNLOADABLE = [
    ("halting", "ModuleNotFoundError", "no module no_such_library_anywhere"),
    ("missing", "ModuleNotFoundError", "no module umbrella_missing"),
    ("absent", "AttributeError", ""),
    ("nothing", "TypeError", ""),
]


def test_help_lists_commands_that_cannot_be_loaded(geno_lewm):
    code, out, err = geno_lewm("--help")
    assert (code, err) == (0, "")
    for name, kind, _ in UNLOADABLE:
        assert re.search(rf"^  {name} +Unavailable \({kind}\)", out, re.MULTILINE), out
    assert "All is well." in out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--output", "x", "y"]])
@pytest.mark.parametrize(("name", "kind", "found"), UNLOADABLE)
def test_a_command_that_cannot_be_loaded_says_so(geno_lewm, name, kind, found, arguments):
    code, out, err = geno_lewm(name, *arguments)
    assert (code, out) == (7, "")
    assert "[command-unavailable]" in err
    assert f"where: {name}, of umbrella-probe" in err
    assert f"found: {kind}" in err
    assert found in err
    assert "install umbrella-probe again" in err
