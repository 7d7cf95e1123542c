"""ONNX Runtime computes under the guard and sends nothing, with `CI` unset: that, too, would silence it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from genolewm_runtime.guard import bpf
from genolewm_runtime.guard.environment import SILENCING

pytestmark = pytest.mark.skipif(
    bpf.find(platform.system(), platform.machine()) is None, reason="the kernel guard is for Linux"
)

MULTIPLY = """
import sys
import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads = 2
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
x = np.full((256, 256), 2.0, dtype=np.float32)
(y,) = session.run(None, {"x": x})
assert (y == 1024).all()
"""
GUARDED = f"""
import json, os
from genolewm_runtime import guard
status = guard.install()
{MULTIPLY}
guard.verify()
print(json.dumps([status.enforced_by, os.environ["ORT_DISABLE_TELEMETRY"], "CI" in os.environ]))
"""
# What the trace must be able to show: without this line it would prove nothing.
CALLING = "import socket; socket.socket(type=socket.SOCK_DGRAM).close()\n"


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field, short enough for one-byte lengths."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def value_info(name: str) -> bytes:
    float32 = 1
    matrix = field(1, float32) + field(2, field(1, field(2, "n")) + field(1, field(2, "n")))
    return field(1, name) + field(2, field(1, matrix))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = x @ x, field by field as onnx.proto numbers them, so that no onnx package is needed."""
    node = field(1, "x") + field(1, "x") + field(2, "y") + field(4, "MatMul")
    graph = field(1, node) + field(2, "square") + field(11, value_info("x")) + field(12, value_info("y"))
    path = tmp_path / "square.onnx"
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path


def environment(home: Path) -> dict[str, str]:
    removed = {"CI", "XDG_CACHE_HOME", *SILENCING}
    return {name: value for name, value in os.environ.items() if name not in removed} | {"HOME": str(home)}


def test_onnxruntime_computes_under_the_guard(model: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", GUARDED, str(model)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["seccomp", "1", False]


def test_the_installed_onnxruntime_is_one_without_telemetry() -> None:
    major, minor, *_ = metadata.version("onnxruntime").split(".")
    assert (int(major), int(minor)) < (1, 29)


def traced(code: str, model: Path, folder: Path) -> str:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = folder / "trace"
    command = [strace, "-f", "-qq", "-e", "trace=network,io_uring_setup", "-e", "signal=none", "-o", str(log)]
    result = subprocess.run(
        [*command, sys.executable, "-c", code, str(model)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(folder),
    )
    if "ptrace" in result.stderr:
        pytest.skip("this machine forbids ptrace")
    assert result.returncode == 0, result.stderr
    return "".join(line for line in log.read_text().splitlines(keepends=True) if "+++ exited" not in line)


def test_the_trace_shows_a_socket(model: Path, tmp_path: Path) -> None:
    assert "socket(AF_INET" in traced(CALLING, model, tmp_path)


def test_onnxruntime_opens_no_socket_even_without_the_guard(model: Path, tmp_path: Path) -> None:
    assert traced(MULTIPLY, model, tmp_path) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"square.onnx", "trace"}, "no device id, no cache"
