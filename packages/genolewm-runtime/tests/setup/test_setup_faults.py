"""A full disk, an input/output error, a read-only disk or too many open files, at any file operation of a setup."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genolewm_core.artifacts import installed

SOURCE = Path(__file__).resolve().parents[4] / "tests-integration" / "runs" / "faulty_files.c"
EVERY = os.environ.get("GENOLEWM_FAULTS") == "all"  # `nox -s faults` asks for every operation
SAMPLES = 1

# Everything is imported once; each run is a fork with the library armed.
DRIVER = """
import ctypes, json, os, sys, tempfile

import httpx2, numpy, pysam
from genolewm_core.umbrella import main
from genolewm_runtime.setup import command, show, sources, transport, work

library = ctypes.CDLL(os.environ["FAULTY_FILES"])
for line in sys.stdin:
    request = json.loads(line)
    with tempfile.TemporaryFile() as log:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.environ["HF_ENDPOINT"] = request["endpoint"]
            sys.argv = ["geno-lewm", "setup", *request["argv"]]
            library.fault_arm(request["folder"].encode(), request["n"], request["error"], request["lasting"])
            code = 70
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
            except BaseException as error:
                os.write(2, f"Traceback: escaped {type(error).__name__}".encode())
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(2, f"\\nfile operations: {library.fault_count()}".encode())
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        log.seek(0)
        text, _, count = log.read().decode().rpartition("\\nfile operations: ")
    print(json.dumps({"code": code, "text": text, "count": int(count)}), flush=True)
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Runs the command with a fault at the n-th file operation below a folder."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("faults are injected by a library that a C compiler (cc) makes, on Linux")
    library = tmp_path_factory.mktemp("faulty") / "faulty_files.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library), "FAULTY_FILES": str(library)},
    )

    def run(folder, argv, endpoint, n=1 << 30, error="ENOSPC", lasting=False):
        request = {"folder": str(folder), "argv": [*map(str, argv), "--home", str(folder)], "n": n}
        request |= {"error": getattr(errno, error), "lasting": lasting, "endpoint": endpoint}
        driver.stdin.write(json.dumps(request) + "\n")
        driver.stdin.flush()
        return json.loads(driver.stdout.readline())

    yield run
    driver.stdin.close()
    driver.stdout.close()
    driver.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(
    ("error", "lasting", "offline"),
    [
        ("ENOSPC", True, False),
        ("ENOSPC", False, True),
        ("EIO", False, False),
        ("EIO", True, True),
        ("EROFS", True, False),
        ("EMFILE", True, False),
    ],
)
def test_a_fault_is_told_and_made_good(faulty, site, carbon, tmp_path, error, lasting, offline):
    argv = ["--encoder", "carbon-500m", "--yes", "--trust-host"]
    if offline:
        sums = tmp_path / "SHA256SUMS"
        sums.write_text(carbon.sums("carbon-500m"))
        media = carbon.folder("carbon-500m", tmp_path / "media")
        argv = [*argv[:3], "--digests", str(sums), "--from", str(media)]
    expected = {key: data for key, data in carbon.files["carbon-500m"].items() if key != ".gitattributes"}

    def whole(home):
        folder = installed.installed_model("carbon-500m", home)
        assert {key: (folder / key).read_bytes() for key in expected} == expected
        assert {path.name for path in folder.iterdir()} == {*expected, "manifest.json", "setup.json"}
        assert {path.name for path in folder.parent.iterdir()} == {folder.name}

    answer = faulty(tmp_path / "clean", argv, site.url, error=error)
    assert answer["code"] == 0, answer["text"]
    whole(tmp_path / "clean")
    total = answer["count"]
    assert total > 15, "the operations were not seen"
    rng = random.Random(f"{error} {lasting}")
    numbers = sorted({1, total, *rng.sample(range(2, total), SAMPLES)})
    if EVERY:
        numbers = range(1, total + 1)
    told = 0
    for n in numbers:
        home = tmp_path / f"home{n}"
        answer = faulty(home, argv, site.url, n=n, error=error, lasting=lasting)
        place = f"{error} at operation {n} of {total}: {answer['text']}"
        assert "Traceback" not in answer["text"], place
        if answer["code"] == 0:
            whole(home)  # it hit what a setup can do without
        else:
            told += 1
            assert answer["code"] == 4, place
            assert "[output-unwritable]" in answer["text"], place
            assert f"where: {home}" in answer["text"], place
            assert os.strerror(getattr(errno, error)) in answer["text"], place
            for each in installed.installed(home):
                whole(home)  # the last operation of all makes the name last, not the files
                assert each.version == carbon.revisions["carbon-500m"]
        again = faulty(home, argv, site.url)
        assert again["code"] == 0, f"{place}\n{again['text']}"
        whole(home)
    assert told >= 2
