"""Environment variables that tell libraries to send no telemetry."""

from __future__ import annotations

import os

__all__ = ["SILENCING", "silence_telemetry"]

SILENCING = {
    # onnxruntime 1.29 and later send telemetry from Linux unless this is set before the import. They also
    # keep quiet when CI is set, so only a run without CI shows whether this line works.
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def silence_telemetry() -> None:
    """Set `SILENCING` in this process's environment, over any other value; children inherit it."""
    os.environ.update(SILENCING)
