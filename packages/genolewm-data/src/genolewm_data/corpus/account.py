"""What a reader of the corpus has read, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

__all__ = ["ConfigAccount", "CorpusState", "Cursor"]


class Cursor(NamedTuple):
    """The place of the next window of a config.

    Attributes:
        passes: finished.
        position: 0-based, in the part's shares of this pass.
        row: in the unit.
        window: in the record; above 0 only within a record that is counted already.
        given: windows of this pass so far.
    """

    passes: int = 0
    position: int = 0
    row: int = 0
    window: int = 0
    given: int = 0


@dataclass(frozen=True, slots=True)
class ConfigAccount:
    """Records and windows of one config, counted.

    A record is counted once: in the first of `empty`, `short`, `held_out` and `outside_slice` that applies, or
    else as one whose windows were looked at. A window is counted once, too.

    Attributes:
        records: read.
        empty: without a sequence.
        short: with fewer bases than a window and its margins.
        held_out: with a locus that touches held-out places.
        outside_slice: not in the slice of the corpus.
        windows: given.
        other_letter, uracil, gap, ambiguous: windows dropped; see `windows.refusal`.
    """

    records: int = 0
    empty: int = 0
    short: int = 0
    held_out: int = 0
    outside_slice: int = 0
    windows: int = 0
    other_letter: int = 0
    uracil: int = 0
    gap: int = 0
    ambiguous: int = 0

    def __add__(self, other: ConfigAccount) -> ConfigAccount:
        """The account of two parts together."""
        names = [field.name for field in fields(ConfigAccount)]
        return ConfigAccount(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class CorpusState:
    """Everything that a reader needs to go on behind the window that it gave last; small, and can be pickled.

    Attributes:
        stream: digest of the stream and the part that the state is of.
        cursors: config to its cursor.
        accounts: config to its account.
    """

    stream: str
    cursors: Mapping[str, Cursor]
    accounts: Mapping[str, ConfigAccount]
