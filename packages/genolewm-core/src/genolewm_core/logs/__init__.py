"""Logs that cannot hold personal data, because only declared events with declared fields can be written.

In a library the events go to the standard logger `genolewm`, which has a NullHandler. The commands send them to a
file or to stderr (`open_log`). Format and events: docs/logs.md.
"""

from genolewm_core.logs.crashes import masked, places, withhold_messages
from genolewm_core.logs.events import EVENTS, LEVELS, emit
from genolewm_core.logs.output import LogSettings, close_log, open_log, settings

__all__ = [
    "EVENTS",
    "LEVELS",
    "LogSettings",
    "close_log",
    "emit",
    "masked",
    "open_log",
    "places",
    "settings",
    "withhold_messages",
]
