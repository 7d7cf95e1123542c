"""Runs `geno-lewm` again and again, each time in a fork of this process, which has everything imported.

Importing and loading the model take longer than a small run does; a fork is a process of its own that can be
killed like any other. The model is loaded for one thread, so that its library starts none, which a fork
would lose.

A request is a line of JSON on standard input, its answer a line on standard output.

Request: `argv`; optional `stdin` (a file), `fault` (folder, n, error, lasting: see faulty_files.c), `kill`
(`signal`, and `shards`, a number of finished shards, or `after`, seconds from the run's first file), `group`
(the signal goes to the run's workers as well, as from a terminal). Answer: `code` (minus the signal's number
for a killed run), `stderr`, `seconds` from the run's first file to its end, `count` of the file operations
that could have failed, `left` whether a process of the run was still there ten seconds after it.
"""

import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime  # noqa: F401
import polars  # noqa: F401
import pysam  # noqa: F401

from genolewm_core.artifacts.manifest import ModelDirectory
from genolewm_core.scoring.backend import load_backend
from genolewm_core.umbrella import main
from genolewm_runtime import commands, run, scoring, shards  # noqa: F401
from genolewm_runtime.saturate import command as saturate_command  # noqa: F401
from genolewm_runtime.saturate import run as saturate_run  # noqa: F401
from genolewm_runtime.saturate import shards as saturate_shards

DEADLINE_S = 600
MODELS = {}


def load_once(name, model, *, threads=None):
    if (name, model.path) not in MODELS:
        MODELS[name, model.path] = load_backend(name, model, threads=1)
    return MODELS[name, model.path]


def child(request, log):
    os.setpgid(0, 0)
    with open(request.get("stdin", os.devnull), "rb") as source:
        os.dup2(source.fileno(), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["geno-lewm", *request["argv"]]
    library = None
    if fault := request.get("fault"):
        library = ctypes.CDLL(os.environ["FAULTY_FILES"])
        library.fault_arm(fault["folder"].encode(), fault["n"], fault["error"], fault["lasting"])
    code = 70
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException as error:
        os.write(2, f"Traceback: escaped {type(error).__name__}\n".encode())
    if library is not None:
        os.write(2, f"\nfile operations: {library.fault_count()}\n".encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finished_shards(parts):
    try:
        return sum(name[0].isdigit() and name.endswith(".parquet") for name in os.listdir(parts))
    except FileNotFoundError:
        return -1


def watch(pid, request):
    output = Path(request["argv"][request["argv"].index("--output") + 1])
    parts = output.with_name(f".{output.name}.parts")
    kill = request.get("kill")
    started = None
    deadline = time.monotonic() + DEADLINE_S
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        now = time.monotonic()
        if ended:
            return os.waitstatus_to_exitcode(status), 0 if started is None else now - started
        shards = finished_shards(parts)
        if started is None and shards >= 0:
            started = now
        due = kill and started is not None
        if due:
            due = shards >= kill["shards"] if "shards" in kill else now - started >= kill["after"]
        if due or now > deadline:
            (os.killpg if request.get("group") else os.kill)(pid, kill["signal"] if due else signal.SIGKILL)
            kill = None
        time.sleep(0.002)


def processes_left(group):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.01)
    return True


def serve():
    shards.load_backend = saturate_shards.load_backend = load_once
    for line in sys.stdin:
        request = json.loads(line)
        load_once("onnx", ModelDirectory.open(Path(request["argv"][request["argv"].index("--model") + 1])))
        scoring.MAX_SHARD_CELLS = saturate_shards.MAX_SHARD_CELLS = request.get("cells", 2)
        with tempfile.TemporaryFile() as log:
            pid = os.fork()
            if pid == 0:
                child(request, log.fileno())
            code, seconds = watch(pid, request)
            left = processes_left(pid)
            log.seek(0)
            stderr, _, count = log.read().decode().partition("\nfile operations: ")
        answer = {"code": code, "stderr": stderr, "seconds": seconds, "count": int(count or 0), "left": left}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
