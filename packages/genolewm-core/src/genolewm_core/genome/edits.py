"""Apply one or several edits to a window.

The bases before an edit never move, so every six-mer in front of the first changed base stays as it was. The
edited sequence is as long as its edits make it: nothing is padded or cut here, and a caller who needs a fixed
length fetches more reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from genolewm_core.errors import InputError
from genolewm_core.genome.alleles import Replacement, trim
from genolewm_core.genome.variant import RelEdit

__all__ = ["apply_edit", "apply_edits"]


def apply_edit(window: str, edit: RelEdit) -> str:
    """The window with one edit applied.

    Raises:
        InputError: `edit-outside-window` or `window-mismatch`.
    """
    return apply_edits(window, (edit,))


def apply_edits(window: str, edits: Sequence[RelEdit]) -> str:
    """The window with several edits applied, each in coordinates of the unedited window, in any order.

    Edits are trimmed before they are compared, so a substitution of the base that anchors an insertion is no
    conflict. Two insertions at one place are: their order would be a guess.

    Args:
        window: bases in any case.
        edits: edits whose `ref_bases` the window holds (compared in upper case).

    Raises:
        InputError: `edit-outside-window`, `window-mismatch`, or `edit-overlap` when two edits change one
            base or insert at one place.
    """
    replacements = [_checked(window, edit) for edit in edits]
    changes = sorted((r for r in replacements if r is not None), key=lambda r: (r.start, r.end))
    for left, right in pairwise(changes):
        both_insert = left.start == left.end == right.start == right.end
        if right.start < left.end or both_insert:
            raise InputError(
                "edit-overlap",
                "Two edits that were to be applied together change the same place.",
                expected="edits that touch different reference bases",
                next_step="apply them one at a time, or keep one of them",
            )
    edited = window
    for change in reversed(changes):
        edited = edited[: change.start] + change.alt + edited[change.end :]
    return edited


def _checked(window: str, edit: RelEdit) -> Replacement | None:
    end = edit.rel_pos + len(edit.ref_bases)
    if end > len(window):
        raise InputError(
            "edit-outside-window",
            "An edit does not lie inside the window it was applied to.",
            expected="every base of the edit's reference allele inside the window",
        )
    if window[edit.rel_pos : end].upper() != edit.ref_bases.upper():
        raise InputError(
            "window-mismatch",
            "A window's bases differ from an edit's reference bases.",
            expected="a window fetched from the assembly the edit was called on",
            next_step="check that the reference FASTA and the variants belong to the same assembly",
        )
    return trim(edit.rel_pos, edit.ref_bases.upper(), edit.alt_bases.upper())
