"""What scoring does to the processor's mode ends with it."""

import platform
import sys

import numpy as np
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES
from genolewm_core.scoring.backend import Trunk
from genolewm_core.testing.conformance import random_model
from genolewm_runtime.float_environment import denormals_as_zero
from genolewm_runtime.onnx_backend import OnnxBackend

TINY = np.array([1e-38], dtype=np.float32)
known = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the mode is changed on Linux x86-64 and aarch64 only",
)


def has_denormals():
    return bool((TINY / 4)[0] > 0)


@known
def test_denormals_are_zero_inside_and_only_there():
    assert has_denormals()
    with denormals_as_zero():
        assert not has_denormals()
        with denormals_as_zero():
            assert not has_denormals()
        assert not has_denormals()
    assert has_denormals()
    with pytest.raises(ZeroDivisionError), denormals_as_zero():
        raise ZeroDivisionError
    assert has_denormals()


def test_a_backend_leaves_the_mode_as_it_was():
    architecture = ARCHITECTURES["mini"]
    backend = OnnxBackend(architecture, random_model(architecture, seed=1), state_layer=2)
    assert has_denormals()
    ids = np.arange(10, dtype=np.int32)
    nothing = np.zeros(0, dtype=np.int64)
    backend.open(Trunk(ids, state_rows=np.arange(1, 5), log_prob_rows=nothing, full_depth=False, keep=False))
    assert has_denormals()
