"""Denormal numbers as zero, for a while and in this thread alone.

ONNX Runtime can treat numbers below 1e-38 as zero, which its long softmaxes gain much from. But it sets the
calling thread's processor mode to do so and leaves it set, and a program that scores would from then on compute
differently everywhere else. C's <fenv.h> keeps that mode; the state it was in is put back.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["denormals_as_zero"]

_ENVIRONMENT_BYTES = 64  # more than any fenv_t
# Where glibc and musl keep the control word in fenv_t, and its bits: flush-to-zero and denormals-are-zero of
# MXCSR; FZ of FPCR.
_CONTROL = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Compute with denormals as zero in the block; afterwards the thread computes as it did before.

    Elsewhere than on Linux x86-64 and aarch64 nothing is changed and nothing put back.
    """
    control = _CONTROL.get(platform.machine()) if sys.platform == "linux" else None
    if control is None:
        yield
        return
    offset, bits = control
    libm = ctypes.CDLL("libm.so.6")
    before = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    libm.fegetenv(before)
    inside = ctypes.create_string_buffer(before.raw, _ENVIRONMENT_BYTES)
    ctypes.c_uint32.from_buffer(inside, offset).value |= bits
    libm.fesetenv(inside)
    try:
        yield
    finally:
        libm.fesetenv(before)
