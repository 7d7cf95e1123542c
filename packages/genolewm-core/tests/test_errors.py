import copy
import gzip
import io
import pickle
import re
import signal

import pytest

from genolewm_core import errors
from genolewm_core.errors import CODES, ExitCode, GenoLeWMError, interrupts_kept

KINDS = [GenoLeWMError, *GenoLeWMError.__subclasses__()]


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        ("InputError", 2),
        ("ConfigError", 3),
        ("ResourceError", 4),
        ("TrainingError", 5),
        ("EvaluationError", 6),
        ("DeploymentError", 7),
        ("ProvenanceError", 8),
        ("InternalError", 9),
    ],
)
def test_every_kind_ends_the_process_with_its_own_code(kind, exit_code):
    assert getattr(errors, kind).exit_code == exit_code
    assert kind in errors.__all__


def test_every_kind_has_an_exit_code():
    assert {kind.exit_code for kind in KINDS} == set(ExitCode) - {ExitCode.OK, ExitCode.INTERRUPT}


@pytest.mark.parametrize(("code", "sentence"), CODES.items())
def test_codes_are_words_with_hyphens_and_sentences(code, sentence):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", code)
    assert sentence.endswith(".")


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="no-such-code"):
        GenoLeWMError("no-such-code", "What.")


@pytest.mark.parametrize(
    "again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"]
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"where": "record 3", "found": "X"},
        {"where": "a", "expected": "b", "found": "c", "next_step": "d", "n_rows": 7, "names": ("x", "y")},
    ],
)
def test_fields_survive_the_way_home_from_a_worker(kind, fields, again):
    error = kind("config-invalid", "An option is wrong.", **fields)
    found = again(error)
    assert type(found) is kind
    assert vars(found) == vars(error)
    assert (str(found), found.args, found.exit_code) == (str(error), error.args, error.exit_code)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "An option is wrong. [config-invalid]"),
        (
            {"next_step": "do", "found": "c", "expected": "b", "where": "a"},
            "An option is wrong. [config-invalid]\n  where: a\n  expected: b\n  found: c\n  next step: do",
        ),
        ({"found": "", "secret": "chr1"}, "An option is wrong. [config-invalid]\n  found: "),
    ],
)
def test_text_has_a_line_per_field_in_one_order_and_no_details(fields, text):
    assert str(GenoLeWMError("config-invalid", "An option is wrong.", **fields)) == text


def read_until_interrupted(path, seconds):
    with io.BufferedReader(gzip.GzipFile(path), 1 << 18) as file:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while file.readline():
            pass
        signal.pause()  # the file was read before the signal came


def test_an_interrupt_within_a_buffered_read_is_one(tmp_path):
    """What CPython makes of it is not always the same, so it is tried often."""
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(b"0" * 60 + b"\n", 1) * 20_000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for n in range(40):
            with pytest.raises(KeyboardInterrupt), interrupts_kept():
                read_until_interrupted(path, 0.0005 + n * 0.0003)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_system_error_stays_one():
    with pytest.raises(SystemError), interrupts_kept():
        raise SystemError from ValueError()
    with pytest.raises(SystemError), interrupts_kept():
        raise SystemError
