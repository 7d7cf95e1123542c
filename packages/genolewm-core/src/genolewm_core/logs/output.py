"""Where events go: JSON lines in a file, readable text on stderr."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from genolewm_core.errors import ConfigError, ResourceError
from genolewm_core.logs.events import EVENTS, logger

__all__ = ["LogSettings", "close_log", "open_log", "settings"]

_RECORD_START = b'{"ts":'


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where events go; sent to worker processes.

    Attributes:
        level: one of `LEVELS`; events below it are left out.
        file: absolute path of the log, or None for stderr.
    """

    level: str = "warning"
    file: Path | None = None


def open_log(settings: LogSettings) -> None:
    """Send events to a file, as JSON lines, or to stderr; replaces what an earlier call set up.

    The file is made with mode 0600 and appended to; each event is one write, so that processes share a file.
    With a file, warnings and errors are told on stderr as well.

    Raises:
        ConfigError: `config-invalid`, when the file holds something else than a log.
        ResourceError: `output-unwritable`.
    """
    handlers: list[_EventHandler] = []
    if settings.file is not None:
        handlers.append(_FileHandler(_open(settings.file)))
    handlers.append(_StderrHandler())
    if settings.file is not None:
        handlers[-1].setLevel(logging.WARNING)
    close_log()
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(settings.level.upper())
    # Handlers of the root logger belong to other programs, and would repeat every line.
    logger.propagate = False
    global _settings
    _settings = settings


def close_log() -> None:
    """Take off what `open_log` set up."""
    for handler in [h for h in logger.handlers if isinstance(h, _EventHandler)]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    global _settings
    _settings = None


_settings: LogSettings | None = None


def settings() -> LogSettings | None:
    """What `open_log` was called with, for worker processes; None where events go to a library's own handlers."""
    return _settings


class _EventHandler(logging.Handler):
    """Passes on events of `emit` only: whatever else is logged to `genolewm` is free text."""

    def emit(self, record: logging.LogRecord) -> None:
        name = getattr(record, "genolewm_event", None)
        fields = getattr(record, "genolewm_fields", None)
        if isinstance(name, str) and name in EVENTS and isinstance(fields, dict):
            try:
                self.write(record, name, fields)
            except OSError:
                # A full disk must not end a run that would otherwise finish; the log says less then.
                return

    def write(self, record: logging.LogRecord, name: str, fields: Mapping[str, object]) -> None:
        raise NotImplementedError


class _FileHandler(_EventHandler):
    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def write(self, record: logging.LogRecord, name: str, fields: Mapping[str, object]) -> None:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"ts": stamp.replace("+00:00", "Z"), "level": record.levelname.lower(), "event": name}
        os.write(self._descriptor, (json.dumps({**line, "fields": dict(fields)}) + "\n").encode())

    def close(self) -> None:
        os.close(self._descriptor)
        super().close()


class _StderrHandler(_EventHandler):
    def write(self, record: logging.LogRecord, name: str, fields: Mapping[str, object]) -> None:
        event = EVENTS[name]
        if event.shown or sys.stderr is None:
            return
        told = ", ".join(f"{key} {json.dumps(value)}" for key, value in fields.items())
        line = f"geno-lewm: {record.levelname.lower()}: {event.says}" + (f" ({told})" if told else "")
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _open(path: Path) -> int:
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise ResourceError(
            "output-unwritable",
            "The log cannot be written.",
            where="--log-file",
            found=error.strerror or type(error).__name__,
            next_step="choose another --log-file in a folder that exists and can be written",
        ) from error
    if not _holds_log(path, descriptor):
        os.close(descriptor)
        raise ConfigError(
            "config-invalid",
            "The file for the log holds something else; it was not touched.",
            where="--log-file",
            expected="a new file, or a log to append to",
            next_step="choose another --log-file",
        )
    return descriptor


def _holds_log(path: Path, descriptor: int) -> bool:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size == 0:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_RECORD_START)) == _RECORD_START
    except OSError:
        return False
