"""Where a release is not what its maker asked for: sources that a window seldom has, and a corpus that ended early."""

from __future__ import annotations

from collections.abc import Iterator

from genolewm_data.release.asked import options_asked
from genolewm_data.release.integrity import SplitIntegrity
from genolewm_data.release.manifest import ReleaseManifest
from genolewm_data.tuples.build import realised_mix

__all__ = ["ENDED", "shortfalls"]

ENDED = "ended"
"""Why windows of the corpus were not taken: a config had no more, and the others stopped with it. Counts files."""

_MUCH = 0.2


def shortfalls(manifest: ReleaseManifest, integrity: SplitIntegrity) -> Iterator[str]:
    """What fell short, a sentence each: sources with less than four fifths of their share, then the corpus."""
    weights, tally = dict(options_asked(manifest).mix.weights), integrity.tuples
    drawn = realised_mix(tally)
    for source, weight in weights.items():
        asked, without = tally.get(f"asked.{source}", 0), tally.get(f"fallback.{source}", 0)
        if without > _MUCH * asked:
            yield (
                f"{source} {drawn.get(source, 0.0):.1%} of edits instead of {weight / sum(weights.values()):.1%}: "
                f"{without / asked:.1%} of those asked for were in windows that had none to give"
            )
    files = sum(file.path.startswith("windows/train-") for file in manifest.files)
    for stage, reasons in sorted(manifest.left_out.items()):
        if ENDED in reasons:
            yield (
                f"{stage.removeprefix('records.')} was read to its end in {reasons[ENDED]:,} of {files:,} files of "
                "windows, and the corpus stops there so that its mix holds; `at_end: continue` goes on with the others"
            )
