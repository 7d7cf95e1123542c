"""What an integrity check found, as JSON for programs and as text for people."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from genolewm_core.artifacts.atomic import write_atomic

__all__ = ["N_BINS", "N_FINDINGS", "IntegrityReport"]

N_BINS = 20
"""Bins of containment, each 5 % wide."""

N_FINDINGS = 20
"""Leaks that a report tells one by one; all are counted."""

_Z_95 = 1.6448536269514722

_IDENTITY = ("holdouts", "sequence", "threshold")


@dataclass(frozen=True)
class IntegrityReport:
    """Counts of one stream, or of several of one run.

    Attributes:
        holdouts: digest of the hold-outs.
        sequence: digest of the k-mers of held-out sequence.
        threshold: smallest containment that flags a window.
        placed, unplaced: windows with and without coordinates.
        edits: edits of the tuples.
        edits_without_key: edits that a repeat connects with the window's edge, or that change nothing.
        undecided: windows with too few informative k-mers to be compared.
        flagged: windows that share too much with held-out sequence.
        decoys, decoys_flagged: windows read backwards, and those of them that were flagged.
        windows_touching: hold-out to the placed windows that have bases of it.
        overlap_bp: hold-out to the bases of those windows that it has.
        edits_held: hold-out to the edits that lie in it or are one of its variants.
        haplotypes_held: hold-out to the tuples that have two or more variants of one of its blocks.
        windows_similar: hold-out to the flagged windows that share k-mers with it.
        containment: compared windows by containment, `N_BINS` bins from 0 to 1.
        highest: highest containment.
        findings: the first leaks, one sentence each.
        unplaced_undecided: those of the undecided windows that have no coordinates, so that nothing tells about them.
    """

    holdouts: str
    sequence: str
    threshold: float
    placed: int
    unplaced: int
    edits: int
    edits_without_key: int
    undecided: int
    flagged: int
    decoys: int
    decoys_flagged: int
    windows_touching: Mapping[str, int]
    overlap_bp: Mapping[str, int]
    edits_held: Mapping[str, int]
    haplotypes_held: Mapping[str, int]
    windows_similar: Mapping[str, int]
    containment: tuple[int, ...]
    highest: float
    findings: tuple[str, ...]
    unplaced_undecided: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing held out was seen, and every window could be compared by its place or its sequence."""
        seen = self.windows_touching or self.edits_held or self.haplotypes_held or self.flagged
        return not (seen or self.unplaced_undecided)

    @property
    def false_positive_bound(self) -> float:
        """One-sided 95 % upper bound (Wilson) on the share of windows that are flagged by chance; 1 without decoys."""
        if not self.decoys:
            return 1.0
        n, share, z2 = self.decoys, self.decoys_flagged / self.decoys, _Z_95 * _Z_95
        centre = share + z2 / (2 * n)
        spread = _Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return min(1.0, (centre + spread) / (1 + z2 / n))

    def merged(self, other: IntegrityReport) -> IntegrityReport:
        """The report of both streams.

        Raises:
            ValueError: they were compared with other hold-outs or another threshold.
        """
        if any(getattr(self, name) != getattr(other, name) for name in _IDENTITY):
            raise ValueError("reports of different hold-outs or thresholds cannot be merged")
        values: dict[str, object] = {}
        for item in fields(self):
            mine, its = getattr(self, item.name), getattr(other, item.name)
            if item.name in _IDENTITY:
                values[item.name] = mine
            elif item.name == "highest":
                values[item.name] = max(mine, its)
            elif item.name == "findings":
                values[item.name] = (*mine, *its)[:N_FINDINGS]
            elif item.name == "containment":
                values[item.name] = tuple(a + b for a, b in zip(mine, its, strict=True))
            elif isinstance(mine, int):
                values[item.name] = mine + its
            else:
                values[item.name] = dict(sorted((Counter(mine) + Counter(its)).items()))
        return IntegrityReport(**values)  # type: ignore[arg-type]

    def write(self, path: Path) -> None:
        """Write as JSON, atomically, with `clean` and `false_positive_bound`.

        Raises:
            ResourceError: `output-unwritable`.
        """
        document = {
            **asdict(self),
            "clean": self.clean,
            "false_positive_bound": self.false_positive_bound,
        }
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(path, (text + "\n").encode())

    def text(self) -> str:
        """The report for a reader, several lines."""
        compared = sum(self.containment)
        names = sorted(
            {*self.windows_touching, *self.edits_held, *self.haplotypes_held, *self.windows_similar}
        )
        lines = [
            "nothing held out was seen" if self.clean else "HELD-OUT DATA WAS SEEN",
            f"hold-outs           {self.holdouts}",
            f"windows             {self.placed:,} placed, {self.unplaced:,} without coordinates",
            f"edits               {self.edits:,}, {self.edits_without_key:,} without a key",
            f"compared by k-mers  {compared:,} windows, {self.undecided:,} undecided",
            f"flagged             {self.flagged:,} at {self.threshold:.0%} or more; highest {self.highest:.1%}",
            (
                f"decoys              {self.decoys_flagged:,} of {self.decoys:,} flagged: by chance at most "
                f"{self.false_positive_bound:.2%} of windows (95 %)"
            ),
        ]
        if names:
            width = max(9, *map(len, names))
            lines += ["", f"{'hold-out':{width}}  windows  bases  edits  haplotypes  similar windows"]
            lines += [
                f"{name:{width}}  {self.windows_touching.get(name, 0):7,}  {self.overlap_bp.get(name, 0):5,}"
                f"  {self.edits_held.get(name, 0):5,}  {self.haplotypes_held.get(name, 0):10,}"
                f"  {self.windows_similar.get(name, 0):15,}"
                for name in names
            ]
        return "\n".join((*lines, *(("", *self.findings) if self.findings else ()))) + "\n"
