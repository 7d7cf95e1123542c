"""Runs that are cut off: killed at any moment, interrupted, terminated, two at once, fed from a pipe."""

import gzip
import os
import pty
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("geno-lewm")
N_KILLS = int(os.environ.get("GENOLEWM_KILLS", "10"))  # `nox -s faults` asks for fifty
FORMATS = ["parquet", "vcf.gz", "parquet", "jsonl"]


@pytest.fixture(scope="module")
def whole(server, small_world, tmp_path_factory):
    """What an uninterrupted run publishes, by (format, jobs), and the seconds it took."""
    known = {}

    def run(ending, jobs=1):
        if (ending, jobs) not in known:
            folder = tmp_path_factory.mktemp("whole")
            answer = server.run(small_world.argv(folder / f"s.{ending}", "--jobs", jobs))
            assert answer["code"] == 0, answer["stderr"]
            known[ending, jobs] = server.published(folder), answer["seconds"]
        return known[ending, jobs]

    return run


def killed_run(server, world, whole, folder, ending, rng, jobs):
    """One run from nothing to its end, killed as often as it takes, up to five times; returns places of kills."""
    output = folder / f"s.{ending}"
    bytes_of_whole, seconds = whole(ending, jobs)
    places = []
    while len(places) < 5:
        by_shards = rng.random() < 0.3
        when = {"shards": rng.randrange(5)} if by_shards else {"after": rng.random() * seconds}
        kill = {"signal": signal.SIGKILL, **when}
        answer = server.run(world.argv(output, "--jobs", jobs), kill=kill)
        assert not answer["left"], "workers end with the process that was killed"
        if answer["code"] != -signal.SIGKILL:
            break
        places.append(len(list(folder.glob(".*.parts/*.parquet"))))
        if not list(folder.glob(".*")) and len(server.published(folder)) == len(bytes_of_whole):
            break  # killed after its last step
    else:
        answer = server.run(world.argv(output, "--jobs", jobs))
        assert answer["code"] == 0, answer["stderr"]
    assert answer["code"] in (0, -signal.SIGKILL), answer["stderr"]
    assert server.published(folder) == bytes_of_whole
    return places


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_killed_at_any_moment_the_result_is_the_same(server, small_world, whole, tmp_path):
    rng = random.Random(50)
    places = []
    for number in range(10 * N_KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        places += killed_run(server, small_world, whole, folder, FORMATS[number % 4], rng, jobs=1)
        if len(places) >= N_KILLS:
            break
    assert len(places) >= N_KILLS
    assert len(set(places)) >= 3, f"finished shards at the kills: {places}"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_killed_with_workers_the_result_is_the_same(server, small_world, whole, tmp_path):
    rng = random.Random(2)
    places = []
    for number in range(N_KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        places += killed_run(server, small_world, whole, folder, "parquet", rng, jobs=2)
        if len(places) >= N_KILLS // 5:
            break
    assert places


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("jobs", "group"), [(1, False), (2, False), (2, True)])
def test_a_signal_ends_the_run_in_order(server, small_world, whole, tmp_path, number, jobs, group):
    output = tmp_path / "s.parquet"
    argv = small_world.argv(output, "--jobs", jobs)
    answer = server.run(argv, kill={"signal": number, "shards": 1}, group=group)
    assert answer["code"] == 130, answer["stderr"]
    assert "Traceback" not in answer["stderr"]
    assert "Process " not in answer["stderr"]
    assert "run the same command again to go on" in answer["stderr"]
    assert answer["stderr"].endswith("geno-lewm: interrupted\n")
    assert not answer["left"]
    assert [path.name for path in tmp_path.iterdir()] == [".s.parquet.parts"]
    answer = server.run(argv)
    assert answer["code"] == 0, answer["stderr"]
    assert "from an earlier run" in answer["stderr"]
    assert server.published(tmp_path) == whole("parquet", jobs)[0]


def test_fresh_is_left_out_to_go_on(server, small_world, tmp_path):
    argv = small_world.argv(tmp_path / "s.tsv")
    answer = server.run([*argv, "--fresh"], kill={"signal": signal.SIGINT, "shards": 1})
    assert "run the same command again without --fresh to go on" in answer["stderr"]
    assert "from an earlier run" in server.run(argv)["stderr"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_vcf_from_standard_input(server, small_world, whole, tmp_path, packed):
    text = small_world.vcf.read_bytes()
    piped = tmp_path / "piped"
    piped.write_bytes(gzip.compress(text, mtime=0) if packed else text)
    folder = tmp_path / "out"
    folder.mkdir()
    argv = small_world.argv(folder / "s.jsonl", vcf="-")
    answer = server.run(argv, stdin=str(piped), kill={"signal": signal.SIGKILL, "shards": 2})
    assert answer["code"] == -signal.SIGKILL
    (spool,) = folder.glob(".s.jsonl.parts/standard-input")
    assert spool.stat().st_mode & 0o777 == 0o600
    assert spool.parent.stat().st_mode & 0o777 == 0o700
    answer = server.run(argv, stdin=str(piped))
    assert answer["code"] == 0, answer["stderr"]
    assert "shards from an earlier run" in answer["stderr"]
    assert server.published(folder) == whole("jsonl")[0]


@pytest.mark.parametrize(
    ("text", "told"), [(b"", "not a VCF"), (b"##fileformat=VCFv4.2\n", "no column line")]
)
def test_standard_input_that_is_no_vcf(server, small_world, tmp_path, text, told):
    (tmp_path / "piped").write_bytes(text)
    argv = small_world.argv(tmp_path / "s.jsonl", vcf="-")
    answer = server.run(argv, stdin=str(tmp_path / "piped"))
    assert answer["code"] == 2
    assert "[vcf-unreadable]" in answer["stderr"]
    assert [path.name for path in tmp_path.iterdir()] == ["piped"]


def test_a_terminal_is_not_waited_for(small_world, tmp_path):
    master, terminal = pty.openpty()
    try:
        answer = subprocess.run(
            [COMMAND, *small_world.argv(tmp_path / "s.jsonl", vcf="-")],
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert answer.returncode == 3
    assert "Nothing is piped into standard input. [config-invalid]" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_commands_do_not_share_an_output(server, small_world, whole, tmp_path):
    output = tmp_path / "s.jsonl"
    with subprocess.Popen(
        [COMMAND, *small_world.argv(output, vcf="-")], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as first:
        # The first waits for the rest of its input, and holds the output while it does.
        first.stdin.write(small_world.vcf.read_bytes()[:100])
        first.stdin.flush()
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".*.parts/standard-input")) and time.monotonic() < deadline:
            time.sleep(0.02)
        second = server.run(small_world.argv(output))
        assert second["code"] == 4
        assert "[output-busy]" in second["stderr"]
        fresh = server.run(small_world.argv(output, "--fresh"))
        assert fresh["code"] == 4
        assert "[output-busy]" in fresh["stderr"]
        first.stdin.write(small_world.vcf.read_bytes()[100:])
        first.stdin.close()
        assert first.wait(timeout=300) == 0
    assert server.published(tmp_path).keys() == whole("jsonl")[0].keys()
