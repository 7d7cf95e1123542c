"""Signals that a terminal sends to every process of a command."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["signals_held"]


@contextmanager
def signals_held() -> Iterator[None]:
    """Processes that are started in the block never see a Ctrl-C, which a terminal sends to all at once.

    Only this process answers it; its workers end with it, and print nothing.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
