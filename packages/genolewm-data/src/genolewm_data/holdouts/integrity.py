"""The check that nothing held out is in a stream of training windows and tuples.

Placed windows are compared by coordinates, edits by key, several edits by haplotype block, and every window, placed or
not, by its sequence: it is flagged when held-out sequence has at least `THRESHOLD` of its informative k-mers. How
often that happens by chance is measured on the same stream, by windows that are read backwards but not complemented:
such decoys have the letters and the simple repeats of the windows, and none of their ancestry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from genolewm_core.genome.variant import RelEdit
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.held import Holdouts
from genolewm_data.holdouts.keys import edit_key
from genolewm_data.holdouts.kmers import HeldSequence
from genolewm_data.holdouts.report import N_BINS, N_FINDINGS, IntegrityReport

__all__ = ["DECOY_ONE_IN", "LEAST_INFORMATIVE", "THRESHOLD", "IntegrityCheck"]

THRESHOLD = 0.1
"""Smallest containment that flags a window. Of 3,295 windows of 6,144 bp of human genes outside the hold-outs 5 reach
it; a copy with 6 % of its bases changed still has 0.14."""

LEAST_INFORMATIVE = 100
"""Fewest informative k-mers that decide about a window: those of some 900 bases."""

DECOY_ONE_IN = 8
"""One window in so many is also read as a decoy."""


class IntegrityCheck:
    """Counts what it is shown. One for each worker; join their reports with `IntegrityReport.merged`.

    Args:
        holdouts: what is held out.
        assembly: that placed windows lie on.
        sequence: k-mers of the held-out sequence, best of every assembly.
        threshold: see `THRESHOLD`.

    Raises:
        ConfigError: `config-invalid`, when the hold-outs say nothing about the assembly.
    """

    def __init__(
        self, holdouts: Holdouts, assembly: str, sequence: HeldSequence, *, threshold: float = THRESHOLD
    ) -> None:
        self._held = holdouts.on(assembly)
        self._names = (holdouts.digest, sequence.digest)
        self._sequence = sequence
        self._threshold = threshold
        self._counts: Counter[str] = Counter()
        self._by: dict[str, Counter[str]] = {
            kind: Counter() for kind in ("touching", "overlap_bp", "edits", "haplotypes", "similar")
        }
        self._bins = [0] * N_BINS
        self._highest = 0.0
        self._findings: list[str] = []

    def placed(self, window: ReferenceWindow, edits: Sequence[RelEdit] = ()) -> None:
        """Check a window of the reference and the edits that are applied to it together."""
        self._counts["placed"] += 1
        place = f"{window.contig}:{window.start}-{window.end}"
        for name in self._held.touched(window.contig, window.start, window.end):
            self._by["touching"][name] += 1
            self._by["overlap_bp"][name] += self._held.regions[name].overlap_bp(
                window.contig, window.start, window.end
            )
            self._find(f"window {place} has bases of {name}")
        self._compare(window.sequence[: window.end - window.start], f"window {place}")
        if edits:
            self.edits(window, edits)

    def edits(self, window: ReferenceWindow, edits: Sequence[RelEdit]) -> None:
        """Check edits that are applied together to a window; the window itself is checked by `placed`, once."""
        self._edits(window, edits, f"{window.contig}:{window.start}-{window.end}")

    def unplaced(self, sequence: str, name: str) -> None:
        """Check a window without coordinates; `name` is for the report, such as its record's id."""
        self._counts["unplaced"] += 1
        if not self._compare(sequence, f"window of {name}"):
            self._counts["unplaced_undecided"] += 1
            self._find(f"window of {name} has too few k-mers to be compared, and no coordinates")

    def report(self) -> IntegrityReport:
        """What was found so far."""
        holdouts, sequence = self._names
        return IntegrityReport(
            holdouts=holdouts,
            sequence=sequence,
            threshold=self._threshold,
            placed=self._counts["placed"],
            unplaced=self._counts["unplaced"],
            edits=self._counts["edits"],
            edits_without_key=self._counts["edits_without_key"],
            undecided=self._counts["undecided"],
            flagged=self._counts["flagged"],
            decoys=self._counts["decoys"],
            decoys_flagged=self._counts["decoys_flagged"],
            windows_touching=dict(sorted(self._by["touching"].items())),
            overlap_bp=dict(sorted(self._by["overlap_bp"].items())),
            edits_held=dict(sorted(self._by["edits"].items())),
            haplotypes_held=dict(sorted(self._by["haplotypes"].items())),
            windows_similar=dict(sorted(self._by["similar"].items())),
            containment=tuple(self._bins),
            highest=self._highest,
            findings=tuple(self._findings),
            unplaced_undecided=self._counts["unplaced_undecided"],
        )

    def _edits(self, window: ReferenceWindow, edits: Sequence[RelEdit], place: str) -> None:
        keys = [key for edit in edits if (key := edit_key(window, edit)) is not None]
        self._counts["edits"] += len(edits)
        self._counts["edits_without_key"] += len(edits) - len(keys)
        for key in keys:
            for name in self._held.holding(key):
                self._by["edits"][name] += 1
                self._find(f"an edit of window {place} is held out by {name}")
        for name in self._held.holding_together(keys):
            self._by["haplotypes"][name] += 1
            self._find(f"edits of window {place} are of one haplotype block of {name}")

    def _compare(self, bases: str, what: str) -> bool:
        """Compare a window by its k-mers; whether it has enough of them."""
        match = self._sequence.match(bases)
        if match.informative < LEAST_INFORMATIVE:
            self._counts["undecided"] += 1
            return False
        containment = match.containment
        self._bins[min(N_BINS - 1, int(containment * N_BINS))] += 1
        self._highest = max(self._highest, containment)
        if containment >= self._threshold:
            self._counts["flagged"] += 1
            # Held-out regions overlap, so one k-mer may speak for several of them.
            self._by["similar"].update(match.by_holdout.keys())
            names = ", ".join(match.by_holdout)
            self._find(f"{what} shares {containment:.0%} of its k-mers with {names}")
        if sum(self._bins) % DECOY_ONE_IN == 1:
            self._counts["decoys"] += 1
            self._counts["decoys_flagged"] += self._sequence.match(bases[::-1]).containment >= self._threshold
        return True

    def _find(self, text: str) -> None:
        if len(self._findings) < N_FINDINGS:
            self._findings.append(text)
