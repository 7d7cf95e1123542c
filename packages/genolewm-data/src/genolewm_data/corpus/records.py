"""Records of the four configs of Carbon's pretraining corpus, and what a source of them does.

The corpus has neither a `source` nor an `id` column. A record's source is the name of its config, and its id is
made here from what the config has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from genolewm_core.errors import ConfigError, InputError
from genolewm_data.parts import Share

__all__ = ["CARBON_MIX", "CONFIGS", "CorpusRecord", "Layout", "RecordSource", "layout_of", "unreadable"]


class Layout(NamedTuple):
    """Columns of a config that are read.

    Attributes:
        sequence: the bases.
        locus: accession of a sequence, and the start and end of the record in it; empty where there is none.
    """

    sequence: str
    locus: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All of them."""
        return [self.sequence, *self.locus]


CONFIGS: Mapping[str, Layout] = MappingProxyType(
    {
        "eukaryote_generator": Layout("sequence", ("record_id", "start", "end")),
        "mrna_evo2": Layout("text"),
        "mrna_splice_evo2": Layout("text"),
        "prokaryote_evo2": Layout("text"),
    }
)
"""The configs (the corpus's card at revision cb4c13a7)."""

CARBON_MIX: Mapping[str, int] = MappingProxyType(
    {"eukaryote_generator": 50, "mrna_evo2": 25, "mrna_splice_evo2": 10, "prokaryote_evo2": 15}
)
"""Shares of the configs in windows, in percent: Carbon's decay stage, and RFC-0006 section 3.1."""


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """One row of the corpus.

    Attributes:
        config: where it is from.
        sequence: as the file has it, in any case and with any letters; may be empty.
        locus: RefSeq accession, start and end as the file has them, for records that have them.
    """

    config: str
    sequence: str
    locus: tuple[str, int, int] | None = None

    @property
    def record_id(self) -> str:
        """Names a record whatever file or row it is in; records of equal names are copies of each other.

        `accession:start-end` where the record has a locus, since an accession alone may be a whole chromosome;
        otherwise `sha256:` and 32 digits of the digest of the upper-case bases.
        """
        if self.locus is not None:
            accession, start, end = self.locus
            return f"{accession}:{start}-{end}"
        return f"sha256:{hashlib.sha256(self.sequence.upper().encode()).hexdigest()[:32]}"

    @classmethod
    def of_row(cls, config: str, row: Mapping[str, Any]) -> CorpusRecord:
        """A record from the columns of its config's `Layout`; a missing sequence is an empty one."""
        layout = CONFIGS[config]
        locus = tuple(row[name] for name in layout.locus)
        placed = bool(locus) and None not in locus
        return cls(config, row[layout.sequence] or "", (locus[0], locus[1], locus[2]) if placed else None)


class RecordSource(Protocol):
    """The records of one config. Can be pickled."""

    @property
    def config(self) -> str:
        """A key of `CONFIGS`."""
        ...

    @property
    def identity(self) -> str:
        """The same for sources of the same records in the same units."""
        ...

    @property
    def n_units(self) -> int:
        """Parts of the config that can be read on their own, such as the row groups of its files."""
        ...

    def records(
        self, unit: int, share: Share, row: int = 0, least_bp: int = 0
    ) -> Iterator[tuple[int, CorpusRecord | int]]:
        """The records of a unit that belong to a share, from a row on, with their rows.

        Args:
            unit: 0-based.
            share: which rows; its `place` is not used.
            row: 0-based in the unit; rows before it are left out.
            least_bp: of a record with fewer bases only their number is given, which is much cheaper.

        Raises:
            InputError: `corpus-unreadable`.
        """
        ...


def layout_of(config: str) -> Layout:
    """The columns of a config.

    Raises:
        ConfigError: `config-invalid`, for a config that the corpus does not have.
    """
    if config not in CONFIGS:
        raise ConfigError(
            "config-invalid",
            "The corpus has no such config.",
            where="config",
            expected=", ".join(CONFIGS),
            found=config[:40],
        )
    return CONFIGS[config]


def unreadable(what: str, where: str, expected: str, found: str, next_step: str) -> InputError:
    """The error for files of a corpus that cannot be read."""
    return InputError(
        "corpus-unreadable", what, where=where, expected=expected, found=found, next_step=next_step
    )
