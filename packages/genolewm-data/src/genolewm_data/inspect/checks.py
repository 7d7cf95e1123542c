"""What can be said without looking at a picture: each expectation, and whether the release meets it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from genolewm_data.inspect.edits import EditFacts, geometric_law
from genolewm_data.inspect.gather import Inspection
from genolewm_data.inspect.words import source_words
from genolewm_data.release.release import SPLITS
from genolewm_data.samplers.synthetic import MAX_EVENT_BP

__all__ = ["FAR", "Check", "checks_of", "departure"]

FAR = 4.5
"""Standard errors. By chance alone one count in 150,000 is as far from what is expected."""

_LEAST_EXPECTED = 5.0
_POINTS = 1.0
_TRANSITIONS = ("C>T", "T>C")


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation.

    Attributes:
        title: what is expected, in a few words.
        ok: whether it is so.
        said: what was found, with numbers and units.
    """

    title: str
    ok: bool
    said: str


def checks_of(found: Inspection) -> list[Check]:
    """Every expectation that the release has data for."""
    checks = [_windows(found), _places_held(found), _integrity(found)]
    edits = found.edits
    if edits.n_windows:
        checks += [_filled(found), _asked(found), _several(found), _margin(edits)]
        some = (
            _as_checked(found),
            _mix(found),
            _uniform(edits),
            _lengths(edits),
            _equal(edits),
            _thirds(edits),
        )
        checks += [check for check in some if check is not None]
    if found.frequencies is not None and edits.drawn_variants.get("gnomad"):
        missing = found.frequencies.missing
        checks.append(
            Check(
                "Every gnomAD edit is a variant of the table",
                missing == 0,
                f"{missing:,} of {edits.drawn.get('gnomad', 0):,} edits are in no row of it that has a frequency.",
            )
        )
    return checks


def departure(observed: Sequence[float], expected: Sequence[float]) -> float:
    """Largest distance of a count from what is expected, in standard errors.

    Of those expected five times or more; infinite where something was seen that is never expected.
    """
    n = sum(expected)
    far = 0.0
    for seen, wanted in zip(observed, expected, strict=True):
        if wanted == 0 < seen:
            return math.inf
        if _LEAST_EXPECTED <= wanted < n:
            far = max(far, abs(seen - wanted) / math.sqrt(wanted * (1 - wanted / n)))
    return far


def _windows(found: Inspection) -> Check:
    windows = found.windows
    stated = [{name: n for name, n in found.manifest.windows.get(split, {}).items() if n} for split in SPLITS]
    same = stated == [windows.by_origin["train"], windows.by_holdout]
    counts = ", ".join(f"{windows.n(split):,} of {split}" for split in SPLITS)
    return Check(
        "The files hold the windows that the manifest counts",
        same,
        f"{counts} in the files{'.' if same else '; the manifest says otherwise.'}",
    )


def _places_held(found: Inspection) -> Check:
    touching = found.windows.touching
    placed = found.windows.by_origin["train"].get("placed", 0)
    named = ", ".join(f"{name} {n:,}" for name, n in touching.items())
    return Check(
        "No placed window of training has a held-out base",
        not touching,
        f"{placed:,} windows compared by coordinates"
        + (f"; some have bases of: {named}." if touching else "."),
    )


def _integrity(found: Inspection) -> Check:
    title = "The integrity check of the release saw nothing held out"
    integrity = found.integrity
    if integrity is None:
        return Check(title, False, "The release has no integrity report.")
    report = integrity.training
    said = (
        f"{report.placed + report.unplaced:,} windows and {report.edits:,} edits looked at, "
        f"{sum(report.containment):,} windows compared by sequence; {report.flagged:,} flagged, highest containment "
        f"{report.highest:.1%}."
    )
    return Check(title, integrity.clean, " ".join((said, *(f"{leak}." for leak in integrity.leaks))))


def _filled(found: Inspection) -> Check:
    wanted = found.edits.n_windows * found.options.edits_per_window
    return Check(
        "Every slot of a window has its tuple",
        found.edits.n_tuples == wanted,
        f"{found.edits.n_tuples:,} tuples in {wanted:,} slots.",
    )


def _mix(found: Inspection) -> Check | None:
    tally = found.edits.placed_tally
    weights: dict[str, int] = dict(found.options.mix.weights)
    seen = {key.removeprefix("drawn."): n for key, n in tally.items() if key.startswith("drawn.")}
    sources = [source for source in {**weights, **seen} if source != "haplotype"]
    drawn = [seen.get(source, 0) for source in sources]
    n = sum(drawn)
    if not n:
        return None
    wanted = [n * weights.get(source, 0) / sum(weights.values()) for source in sources]
    off = [
        f"{source_words(source)} {100 * got / n:.1f} % instead of {100 * expected / n:.1f} %"
        for source, got, expected in zip(sources, drawn, wanted, strict=True)
        if 100 * abs(got - expected) / n > _POINTS
    ]
    far = departure(drawn, wanted)
    said = "; ".join(off) or f"No source is farther off than {_POINTS:g} point"
    return Check(
        "In windows with a place the drawn mix is the wanted one",
        not off or far <= FAR,
        f"{n:,} edits, haplotype blocks aside. {said}.",
    )


def _as_checked(found: Inspection) -> Check | None:
    if found.integrity is None or found.edits.n_windows < found.windows.n("train"):
        return None
    same = dict(found.edits.tally) == dict(found.integrity.tuples)
    return Check(
        "The tuples are those that the release was checked with",
        same,
        f"{found.edits.n_tuples:,} tuples counted by source, refusal and number of edits"
        + ("." if same else ": this version of genolewm-data draws others."),
    )


def _asked(found: Inspection) -> Check:
    tally = found.edits.tally
    asked = [tally.get(f"asked.{source}", 0) for source, _ in found.options.mix.weights]
    weights = [weight for _, weight in found.options.mix.weights]
    far = departure(asked, [sum(asked) * weight / sum(weights) for weight in weights])
    return _close("Sources are asked for as the mix says", far, f"{sum(asked):,} edits asked for")


def _several(found: Inspection) -> Check:
    counts = found.edits.tuples_by_k
    n, percent = sum(counts.values()), found.options.multi_percent
    several = n - counts.get(1, 0)
    # Those that were cut to one edit are told by no count of their own.
    shortened = found.edits.tally.get("shortened", 0)
    wanted = n * percent / 100
    far = departure([several, n - several], [wanted, n - wanted])
    return Check(
        "Tuples of several edits have their share",
        far <= FAR or several < wanted <= several + shortened,
        f"{several:,} of {n:,} tuples, {100 * several / max(n, 1):.1f} %; wanted are {percent} %. {shortened:,} were "
        "shortened for want of room.",
    )


def _margin(edits: EditFacts) -> Check:
    nearest = edits.nearest_bp
    return Check(
        "No edit lies in the margins of its window",
        nearest is None or nearest >= edits.margin_bp,
        f"The nearest one is {nearest} bp from an end; the margin is {edits.margin_bp} bp.",
    )


def _uniform(edits: EditFacts) -> Check | None:
    observed = edits.places.get("synthetic")
    if observed is None:
        return None
    far = departure(observed, edits.places_expected)
    return _close("Synthetic edits lie evenly in the window", far, f"{sum(observed):,} tuples of one edit")


def _lengths(edits: EditFacts) -> Check | None:
    held = edits.lengths.get("synthetic_indel")
    if not held:
        return None
    n = sum(held.values())
    observed = [held.get(size, 0) + held.get(-size, 0) for size in range(1, MAX_EVENT_BP + 1)]
    far = departure(observed, geometric_law(n))
    return _close("Lengths of synthetic indels follow the geometric law", far, f"{n:,} indels")


def _equal(edits: EditFacts) -> Check | None:
    held = edits.lengths.get("synthetic_indel")
    if not held:
        return None
    n = sum(held.values())
    gained = sum(count for length, count in held.items() if length > 0)
    far = departure([gained, n - gained], [n / 2, n / 2])
    said = f"{gained:,} insertions and {n - gained:,} deletions"
    return _close("Half of the synthetic indels are insertions", far, said)


def _thirds(edits: EditFacts) -> Check | None:
    held = edits.substitutions.get("synthetic_snv")
    if not held:
        return None
    n = sum(held.values())
    transitions = sum(held.get(name, 0) for name in _TRANSITIONS)
    far = departure([transitions, n - transitions], [n / 3, 2 * n / 3])
    return _close("One synthetic SNV in three is a transition", far, f"{transitions:,} of {n:,}")


def _close(title: str, far: float, said: str) -> Check:
    return Check(
        title,
        far <= FAR,
        f"{said}; the count farthest off is {far:.1f} standard errors from the expected one.",
    )
