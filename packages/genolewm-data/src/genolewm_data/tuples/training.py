"""A training tuple: a reference window, named but not carried, and the edits that make its target.

The window's bases stay with whoever read it; a tuple says how to find the window's cached states and
what to change, and is small enough to travel between processes by the thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genolewm_core.genome.alleles import Replacement
from genolewm_core.genome.edits import apply_edits
from genolewm_core.genome.variant import RelEdit
from genolewm_core.scoring.states import ReferenceWindow, window_hash
from genolewm_data.samplers import EditSource, WindowEdit

if TYPE_CHECKING:
    from genolewm_data.corpus.windows import CorpusWindow

__all__ = ["CorpusPlace", "GenomePlace", "TrainingTuple", "WindowRef"]


@dataclass(frozen=True, slots=True)
class GenomePlace:
    """Where a window lies in a reference; `start` is 0-based."""

    contig: str
    start: int


@dataclass(frozen=True, slots=True)
class CorpusPlace:
    """Where a window lies in a record of the corpus; `start` is 0-based, in the record."""

    config: str
    record_id: str
    start: int


@dataclass(frozen=True, slots=True)
class WindowRef:
    """Names a window.

    Attributes:
        hash: SHA-256 of its upper-case bases, the `window_hash` of a `StateKey`.
        length_bp: number of bases that may be edited; what a short contig was padded with does not count.
        place: in a reference, or in a record of the corpus, never both.
    """

    hash: bytes
    length_bp: int
    place: GenomePlace | CorpusPlace

    @classmethod
    def of(cls, window: ReferenceWindow | CorpusWindow) -> WindowRef:
        """The name of a window."""
        digest = window_hash(window.sequence)
        if isinstance(window, ReferenceWindow):
            return cls(digest, window.end - window.start, GenomePlace(window.contig, window.start))
        place = CorpusPlace(window.config, window.record_id, window.start)
        return cls(digest, len(window.sequence), place)


@dataclass(frozen=True, slots=True)
class TrainingTuple:
    """One window and the edits that are applied to it together.

    Attributes:
        window: names the reference window.
        slot: which tuple of its window, from 0.
        edits: one, or several sorted by place with at least one unchanged base between any two.
    """

    window: WindowRef
    slot: int
    edits: tuple[WindowEdit, ...]

    @property
    def rel_edits(self) -> tuple[RelEdit, ...]:
        """The edits as an action encoder reads them."""
        return tuple(edit.rel for edit in self.edits)

    @property
    def sources(self) -> tuple[EditSource, ...]:
        """Where every edit is from."""
        return tuple(edit.source for edit in self.edits)

    def edited(self, text: str) -> str:
        """The window's bases with every edit applied."""
        return apply_edits(text, self.rel_edits)

    def steps(self, text: str) -> tuple[Replacement, ...]:
        """What has changed after the first edit, after the first two, and so on, each as one replacement.

        Every step starts at the locus of the first edit. With one unchanged base between edits a step
        never cancels out: the first base that differs stays the first.

        Args:
            text: the window's upper-case bases.
        """
        first = self.edits[0].change
        alt, end = first.alt, first.end
        steps = [first]
        for edit in self.edits[1:]:
            change = edit.change
            alt += text[end : change.start] + change.alt
            end = change.end
            steps.append(Replacement(first.start, end, alt))
        return tuple(steps)
