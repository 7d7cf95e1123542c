"""`data_card.md`: a release described for those who use it, from its manifest and its integrity report alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from genolewm_data.dataset.shortfalls import ENDED, shortfalls
from genolewm_data.release.asked import options_asked, windows_asked
from genolewm_data.release.integrity import SplitIntegrity
from genolewm_data.release.manifest import ReleaseManifest, SourceFile

__all__ = ["CARD", "card"]

CARD = "data_card.md"

_MEANINGS = {
    "held_out": "held out",
    "short": "too short",
    "all_n": "nothing but N",
    "n_share": "too many unknown bases",
    "similar": "too similar to held-out sequence",
    "undecided": "too few k-mers to be compared with held-out sequence",
    "empty": "without a sequence",
    "outside_slice": "outside the slice",
    "rare": "too rare",
    "label": "another label",
    "label_changed": "label differs between the two releases",
    "too_long": "longer than an edit may be",
    "outside_windows": "in no window that could use it",
    "no_tuple": "its variants do not fit in one tuple",
    ENDED: "no more records, so that the corpus stops (files of windows)",
    "no_window": "no room for a window at a multiple of the stride",
    "ambiguous": "too many ambiguous bases",
    "other_letter": "letters that are no bases",
    "uracil": "RNA",
    "gap": "gaps",
}

_ROLES = {
    "gnomad": "variants to train on",
    "clinvar": "variants to train on",
    "haplotypes": "haplotypes to train on",
    "holdouts.clinvar": "variants held out for an evaluation",
    "holdouts.haplotypes": "haplotypes held out for an evaluation",
    "regions": "where windows of training lie",
    "holdouts.haplotypes.regions": "where haplotypes are held out",
    "validation.regions": "where windows of validation lie",
}

_LIMITS = """\
- For research only. It is not made for diagnosis, and a model trained on it must not be used for any.
- The human reference is a mosaic of few people, most of one ancestry; frequencies and labels are of those populations
  that were sequenced. What a model learns of others is worse, and nobody has measured how much.
- Labels of ClinVar are claims of submitters. They change, and genes that were studied more have more of them.
- The comparison of sequence does not see copies shorter than a tenth of a window, nor relatives that differ in more
  than about 6 % of their bases, such as the genes of the mouse. Of windows with too few k-mers
  only those with a place are kept, which clears them.
- Sequence around held-out variants and haplotypes is not held out by itself.
- Synthetic edits are uniform; nature's are not.""".splitlines()


def card(manifest: ReleaseManifest, integrity: SplitIntegrity) -> str:
    """The card, Markdown; equal releases have equal cards."""
    return "\n".join(_lines(manifest, integrity)) + "\n"


def _lines(manifest: ReleaseManifest, integrity: SplitIntegrity) -> Iterator[str]:
    m, check = manifest, integrity.training
    yield f"# {m.name} {m.version}"
    yield ""
    yield (
        f"Windows of {m.window_bp:,} bases, variants and haplotypes to train and validate a model of the effect of DNA "
        f"edits. Human coordinates are of {m.assembly}. A file of `windows/` holds bases; which edits a window gets is "
        "drawn while it is read, from the seed and the window's number, so that every reader draws the same."
    )
    yield ""
    yield "## What is in it"
    yield ""
    yield from _table(
        ("split", "windows of", "windows"),
        ((split, origin, f"{n:,}") for split, counts in m.windows.items() for origin, n in counts.items()),
    )
    yield ""
    rows = [(name.replace(".", ", "), f"{n:,}") for name, n in integrity.variants.items() if name != "shared"]
    rows += [
        (f"{name}, haplotype blocks", f"{n:,}")
        for name, n in integrity.haplotypes.items()
        if name != "shared"
    ]
    rows += [
        (f"{split}, ClinVar {label}", f"{n:,}")
        for split, labels in integrity.labels.items()
        for label, n in labels.items()
    ]
    if rows:
        yield from _table(("table", "rows"), rows)
        yield ""
    yield "## What it was made of"
    yield ""
    yield from _table(
        ("used as", "release", "file", "licence", "bytes", "SHA-256"),
        (
            (
                _role(s),
                s.release or "not stated",
                f"`{s.name}`",
                s.licence or "not stated",
                f"{s.n_bytes:,}",
                _short(s),
            )
            for s in m.sources
        ),
    )
    yield ""
    yield "Whole digests, and what was asked for in every detail, are in `dataset_manifest.json`."
    yield ""
    yield "## How windows and edits are made"
    yield ""
    yield from _made(m)
    yield ""
    yield "## Splits, and what keeps them apart"
    yield ""
    yield from _splits(m, integrity)
    yield ""
    yield from (
        f"The check read every training window with its {check.edits:,} edits of the first epoch on the reference:",
        "",
    )
    yield from _table(
        ("compared", "result"),
        (
            (
                "by place",
                f"{check.placed:,} windows, {sum(check.windows_touching.values()):,} with held-out bases",
            ),
            ("by variant", f"{sum(check.edits_held.values()):,} held-out edits"),
            ("by haplotype", f"{sum(check.haplotypes_held.values()):,} tuples of a held-out block"),
            (
                "by sequence",
                (
                    f"{sum(check.containment):,} windows, {check.flagged:,} with {check.threshold:.0%} or more of "
                    f"their k-mers in held-out sequence, the highest {check.highest:.1%}; "
                    f"{check.undecided:,} undecided"
                ),
            ),
            ("variant tables", f"{integrity.variants.get('shared', 0):,} rows in training and validation"),
            (
                "haplotype tables",
                f"{integrity.haplotypes.get('shared', 0):,} blocks in training and validation",
            ),
        ),
    )
    yield ""
    short = list(shortfalls(m, integrity))
    if short:
        yield "## What fell short of what was asked"
        yield ""
        yield from (f"- {line}." for line in short)
        yield ""
    yield "## What was left out"
    yield ""
    reasons_of = [
        (stage, _MEANINGS.get(reason, reason), f"{n:,}")
        for stage, reasons in sorted(m.left_out.items())
        for reason, n in reasons.items()
    ]
    yield from _table(("of", "because", "number"), reasons_of) if reasons_of else ("Nothing.",)
    yield ""
    yield "## Limits"
    yield ""
    yield from _LIMITS
    yield ""
    yield "## To make it again"
    yield ""
    yield (
        "Save `config` of `dataset_manifest.json` as a file of its own, which is YAML as well. Paths were reduced to "
        "names in it: put the paths of the files above back, which their SHA-256 tells apart. `geno-lewm dataset "
        "build` with it and "
        + ", ".join(f"{name} {number}" for name, number in sorted(m.made_with.items()))
        + " gives the same bytes, whatever the number of processes. `geno-lewm dataset verify` does the check again."
    )


def _made(m: ReleaseManifest) -> Iterator[str]:
    asked, options = windows_asked(m), options_asked(m)
    placed, corpus = asked.placed, asked.corpus
    if placed is not None:
        step = f"every {placed.stride_bp:,} bases" if placed.layout == "strides" else "one for each cell"
        where = "anywhere" if placed.regions is None else f"inside the regions of `{placed.regions}`"
        yield f"- Placed windows lie on the reference, {step}, {where}."
    if corpus is not None:
        mix = ", ".join(f"{name} {share}" for name, share in corpus.mix.items())
        yield (
            f"- Corpus windows are stretches of records without coordinates; mix {mix}; {corpus.slice:.0%} of the "
            f"records; every {corpus.stride_bp:,} bases from a start that is drawn for each record."
        )
    mix = ", ".join(f"{source} {weight}" for source, weight in sorted(options.mix.weights))
    yield f"- Each window has {options.edits_per_window} tuples; mix of edits {mix}; seed {options.seed}."
    yield (
        f"- {options.multi_percent} of 100 tuples have 2, 3, 5 or 8 edits within {options.spread_bp:,} bases. "
        f"Where a window has haplotype blocks, {options.haplotype_percent} of 100 of those are a block."
    )
    yield "- A slot whose source has nothing in the window gets a synthetic SNV. Drawn in the first epoch is in"
    yield "  `split_integrity.json`."


def _splits(m: ReleaseManifest, integrity: SplitIntegrity) -> Iterator[str]:
    yield (
        f"Held out are the regions, variants and haplotype blocks of `holdouts.json` ({m.holdouts}). No training "
        "window has a base of a held-out region, no edit is a held-out variant, no tuple has two variants of a "
        "held-out block, and no window shares a tenth of its k-mers with held-out sequence. Validation is made of "
        "what is held out:"
    )
    yield ""
    yield from _table(
        ("validation of", "windows", "training windows at the same place", "of the same sequence"),
        (
            (name, f"{one.windows:,}", f"{one.touching:,}", f"{one.same_sequence:,}")
            for name, one in integrity.overlaps.items()
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _role(source: SourceFile) -> str:
    """What a file was used for: its key in the configuration, and in words where files of one name are usual."""
    said = _ROLES.get(source.role)
    return f"`{source.role}`" if said is None else f"`{source.role}`: {said}"


def _short(source: SourceFile) -> str:
    return f"`{source.sha256[:16]}…`" if source.sha256 else "pinned by its commit"
