"""Several processes at one cache, and processes that are killed at any moment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed.py")
N_KILLS = int(os.environ.get("GENOLEWM_KILLS", "10"))  # `nox -s faults` asks for fifty


def run(what, folder, number):
    answer = subprocess.run(
        [sys.executable, SCRIPT, what, folder, str(number)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_a_sound_cache(tmp_path):
    answer = run("writers", tmp_path / "cache", 2 * N_KILLS)
    assert answer["written"] > N_KILLS / 2


@pytest.mark.slow
def test_a_migration_that_is_killed_goes_on(tmp_path):
    places = run("migrations", tmp_path / "cache", 3)["places"]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) >= 3, "it was killed with different amounts of work left"


def test_many_read_and_write_at_once(tmp_path):
    assert run("many", tmp_path / "cache", 0)["codes"] == [0] * 6
