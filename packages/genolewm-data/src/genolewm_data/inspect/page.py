"""The page: one HTML file that needs nothing from outside, runs no script, and may load nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genolewm_core.artifacts.atomic import write_atomic
from genolewm_core.artifacts.page import check_page
from genolewm_data.holdouts.report import IntegrityReport
from genolewm_data.inspect.charts import HEIGHT, UNITS, WIDTH, BarChart, bar_chart, lanes_of
from genolewm_data.inspect.checks import checks_of
from genolewm_data.inspect.edits import N_GC, N_PLACES, OUTSIDE, SUBSTITUTIONS, EditFacts, geometric_law
from genolewm_data.inspect.gather import SAMPLE, Inspection, inspect_release
from genolewm_data.inspect.tables import AF_EDGES, ClinvarFacts, Frequencies
from genolewm_data.inspect.words import kind_words, origin_words, source_words, term_words, visible
from genolewm_data.release.release import Release
from genolewm_data.samplers.synthetic import MAX_EVENT_BP
from genolewm_data.tuples import MULTI_EDITS

__all__ = ["page_path", "render", "write_page"]

_TRANSITIONS = ("C>T", "T>C")


def page_path(folder: Path) -> Path:
    """Where the page of a release goes: beside its folder, since a release holds nothing but its own files."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.html")


def write_page(
    folder: Path,
    output: Path | None = None,
    *,
    n_windows: int | None = SAMPLE,
    annotation: Path | None = None,
    fresh: bool = False,
) -> tuple[Path, Inspection]:
    """Write the page about a release.

    Args:
        folder: the release.
        output: the page; `page_path(folder)` when None.
        n_windows, annotation: see `inspect_release`.
        fresh: replace a page that is there.

    Raises:
        InputError: see `inspect_release`.
        ConfigError: `output-exists`, `output-format`; see also `inspect_release`.
        ResourceError: `output-unwritable`.
    """
    target = page_path(folder) if output is None else output
    check_page(target, fresh=fresh)
    found = inspect_release(Release.open(folder), n_windows=n_windows, annotation=annotation)
    write_atomic(target, render(found).encode())
    return target, found


def render(found: Inspection) -> str:
    """The page as text; the same values give the same page."""
    style = (files("genolewm_data.inspect") / "templates" / "page.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("genolewm_data.inspect"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    filters: dict[str, Callable[[Any], str]] = {
        "thousands": lambda number: f"{number:,}",
        "percent": lambda share: f"{100 * share:.1f}\u202f%",
        "bases": lambda n: _sized(n, "bp", (("Gb", 10**9), ("Mb", 10**6), ("kb", 10**3))),
        "bytes": lambda n: _sized(n, "B", (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))),
        "source": source_words,
        "origin": origin_words,
        "words": term_words,
    }
    environment.filters.update(filters)
    edits = found.edits
    return environment.get_template("page.html.j2").render(
        found=found,
        manifest=found.manifest,
        digest=found.manifest.digest,
        options=found.options,
        windows=found.windows,
        edits=edits,
        checks=checks_of(found),
        size={"width": WIDTH, "height": HEIGHT, "units": UNITS},
        lanes=lanes_of(found.windows),
        origins=_origins(found.windows.by_origin),
        gc=_gc(edits),
        mix=_mix(found),
        refused=_tallied(_tally(found), "refused."),
        types=_matrix(edits.types, ("SNV", "MNV", "INS", "DEL", "INDEL"), kind_words),
        lengths=[_lengths(source, held) for source, held in edits.lengths.items()],
        several=_several(found),
        places=_places(found),
        substitutions=[_substitutions(source, held) for source, held in edits.substitutions.items()],
        frequencies=_frequencies(found.frequencies),
        consequences=_consequences(edits.consequences),
        clinvar=[(split, facts, _terms(facts)) for split, facts in found.clinvar.items()],
        integrity=found.integrity,
        containment=_containment(found),
        seen=[] if found.integrity is None else _seen(found.integrity.training),
        config=json.dumps(found.manifest.config, indent=2, sort_keys=True, ensure_ascii=False),
        style=Markup(style),
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
    )


def _shown(value: object) -> object:
    """Text of files with its hidden characters written out; markup is ours."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _sized(n: int, unit: str, larger: Iterable[tuple[str, int]]) -> str:
    """A number with the largest unit that it has one of."""
    for name, size in larger:
        if n >= size:
            return f"{n / size:.3g}\u202f{name}"
    return f"{n}\u202f{unit}"


def _origins(by_origin: Mapping[str, Mapping[str, int]]) -> list[tuple[str, dict[str, int]]]:
    names = sorted({origin for counts in by_origin.values() for origin in counts})
    return [(name, {split: counts.get(name, 0) for split, counts in by_origin.items()}) for name in names]


def _gc(edits: EditFacts) -> list[BarChart]:
    percent = 100 // N_GC
    return [
        bar_chart(
            origin_words(origin),
            {f"{percent * i} to {percent * (i + 1)} %": n for i, n in enumerate(counts)},
            name="GC content of a window (%)",
            what="windows",
            ticks=[(N_GC * part / 4, f"{25 * part}") for part in range(5)],
        )
        for origin, counts in edits.gc_bins.items()
    ]


def _mix(found: Inspection) -> list[dict[str, Any]]:
    """Every source of the mix or of the edits, with the shares that it is wanted, asked for and drawn."""
    tally = _tally(found)
    weights: dict[str, int] = dict(found.options.mix.weights)
    asked, drawn, fallback = (_tallied(tally, prefix) for prefix in ("asked.", "drawn.", "fallback."))
    # Haplotype blocks are asked for by the tuple, and are no part of the mix.
    blocks = asked.pop("haplotype", 0)
    return [
        {
            "source": source,
            "wanted": weights[source] / sum(weights.values()) if source in weights else None,
            "asked": asked.get(source, blocks),
            "asked_share": asked[source] / sum(asked.values()) if source in asked else None,
            "fallback": fallback.get(source, 0),
            "drawn": drawn.get(source, 0),
            "drawn_share": drawn.get(source, 0) / max(sum(drawn.values()), 1),
        }
        for source in dict.fromkeys((*weights, *drawn, *(["haplotype"] if blocks else [])))
    ]


def _tally(found: Inspection) -> Mapping[str, int]:
    """Of the first epoch where the release has counted it, else of the windows that were looked at."""
    return found.edits.tally if found.integrity is None else found.integrity.tuples


def _tallied(tally: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): n for key, n in tally.items() if key.startswith(prefix)}


def _matrix(counts: Mapping[str, Mapping[str, int]], rows: Iterable[str], words: Any) -> dict[str, Any]:
    """Rows that occur, with a count and a share of the column in each cell."""
    totals = {name: sum(held.values()) for name, held in counts.items()}
    return {
        "columns": list(totals.items()),
        "rows": [
            (
                words(row),
                [
                    (held.get(row, 0), held.get(row, 0) / max(totals[name], 1))
                    for name, held in counts.items()
                ],
            )
            for row in rows
            if any(held.get(row) for held in counts.values())
        ],
    }


def _lengths(source: str, held: Mapping[int, int]) -> BarChart:
    most = max(MAX_EVENT_BP, *(abs(length) for length in held))
    labels = [length for length in range(-most, most + 1) if length]
    law = geometric_law(sum(held.values()) / 2)
    expected = [*reversed(law), *law] if source == "synthetic_indel" else None
    return bar_chart(
        source_words(source),
        {f"{length:+d} bp": held.get(length, 0) for length in labels},
        name="bases lost (−) and gained (+)",
        what="insertions and deletions",
        expected=expected,
        ticks=[
            (i + 0.5, f"{length:+d}".replace("-", "−"))
            for i, length in enumerate(labels)
            if abs(length) in (1, 5, 10, 15) and length != 1
        ],
    )


def _several(found: Inspection) -> list[dict[str, Any]]:
    """Tuples by their number of edits, with the number that is wanted."""
    edits, percent = found.edits, found.options.multi_percent
    n = max(edits.n_tuples, 1)
    wanted = {1: 100 - percent, **dict.fromkeys(MULTI_EDITS, percent / len(MULTI_EDITS))}
    return [
        {
            "k": k,
            "n": edits.tuples_by_k.get(k, 0),
            "share": edits.tuples_by_k.get(k, 0) / n,
            "haplotypes": edits.haplotypes_by_k.get(k, 0),
            "wanted": wanted.get(k, 0) / 100,
        }
        for k in sorted({*wanted, *edits.tuples_by_k})
    ]


def _places(found: Inspection) -> list[BarChart]:
    edits, window_bp = found.edits, found.manifest.window_bp
    titles = {"synthetic": "synthetic edits", "table": "edits of tables"}
    part = window_bp / N_PLACES
    return [
        bar_chart(
            titles[made],
            {f"{round(i * part):,} to {round((i + 1) * part):,}": n for i, n in enumerate(counts)},
            name="place in the window (bp)",
            what="tuples of one edit",
            expected=edits.places_expected if made == "synthetic" else None,
            ticks=[(N_PLACES * at, f"{round(window_bp * at):,}") for at in (0, 0.5, 1)],
            lines=[edits.margin_bp / part, N_PLACES - edits.margin_bp / part],
        )
        for made, counts in edits.places.items()
    ]


def _substitutions(source: str, held: Mapping[str, int]) -> tuple[BarChart, float | None]:
    """The chart of a source, and its transitions for each transversion."""
    n = sum(held.values())
    transitions = sum(held.get(name, 0) for name in _TRANSITIONS)
    chart = bar_chart(
        source_words(source),
        {name: held.get(name, 0) for name in SUBSTITUTIONS},
        name="substitution, either strand",
        what="SNVs",
    )
    return chart, transitions / (n - transitions) if n > transitions else None


def _frequencies(found: Frequencies | None) -> BarChart | None:
    """Of the edits drawn, beside what the table would give."""
    if found is None or not sum(found.drawn):
        return None
    labels = [f"{100 * low:g} to {100 * high:g} %" for low, high in pairwise(AF_EDGES)]
    table, drawn = sum(found.table), sum(found.drawn)
    return bar_chart(
        "gnomAD edits",
        dict(zip(labels, found.drawn, strict=True)),
        name="allele frequency (%)",
        what="edits",
        expected=[n * drawn / max(table, 1) for n in found.table],
        ticks=[(i, f"{100 * edge:g}") for i, edge in enumerate(AF_EDGES)],
    )


def _consequences(counts: Mapping[str, Mapping[str, int]] | None) -> dict[str, Any] | None:
    if counts is None:
        return None
    rows = dict.fromkeys(name for held in counts.values() for name in held)
    ordered = sorted(rows, key=lambda name: -sum(held.get(name, 0) for held in counts.values()))
    return _matrix(
        counts, ordered, lambda name: "outside of all genes" if name == OUTSIDE else term_words(name)
    )


def _terms(facts: ClinvarFacts) -> dict[str, Any]:
    names = dict.fromkeys(term for held in facts.consequences.values() for term in held)
    ordered = sorted(names, key=lambda term: -sum(held.get(term, 0) for held in facts.consequences.values()))
    # Releases up to 2017 have no such column.
    return _matrix(facts.consequences, ordered if ordered != ["none"] else [], term_words)


def _containment(found: Inspection) -> BarChart | None:
    report = None if found.integrity is None else found.integrity.training
    if report is None or not sum(report.containment):
        return None
    counts: Sequence[int] = report.containment
    width = 100 / len(counts)
    return bar_chart(
        "windows compared by sequence",
        {f"{width * i:g} to {width * (i + 1):g} %": n for i, n in enumerate(counts)},
        name="k-mers shared with held-out sequence (%)",
        what="windows",
        ticks=[(len(counts) * part / 4, f"{25 * part}") for part in range(5)],
        lines=[report.threshold * len(counts)],
    )


def _seen(report: IntegrityReport) -> list[tuple[str, list[int]]]:
    """What the check saw of every hold-out that it saw something of."""
    columns = (
        report.windows_touching,
        report.overlap_bp,
        report.edits_held,
        report.haplotypes_held,
        report.windows_similar,
    )
    names = sorted({name for column in columns for name in column})
    return [(name, [column.get(name, 0) for column in columns]) for name in names]
