"""The page of the contract ablation: decision, tables and plot, from the study's JSON and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genolewm_train.studies.contract_summary import SEPARATIONS
from genolewm_train.studies.page_text import about, figure_axes, interval, number, save_figure, table

__all__ = ["plot", "render", "verdict"]

_FIELDS = ("layer", "radius", "form", "pool", "distance")
_TITLES = {
    "brca1_missense": "BRCA1 missense",
    "brca1_all": "BRCA1 all",
    "clinvar_missense": "ClinVar missense",
    "synthetic_vs_common": "synthetic against common",
}


def verdict(summary: Mapping[str, Any]) -> str:
    """The setting that the numbers support, and why."""
    decision, settings = summary["decision"], summary["settings"]
    own, proposed = settings[decision["own"]], settings[decision["proposed"]]
    if decision["proposed"] == decision["own"]:
        return (
            f"The contract stays as it is: {_name(own)}. Of {decision['n_settings']} settings none separates one of "
            "the four pairs of classes better than it, to an AUROC above one half, without separating another "
            "worse or agreeing less between phases (95 % intervals, simultaneous over all settings and measures)."
        )
    gains = "; ".join(
        f"{_TITLES[name]} {interval(proposed[name], 3)}, {interval(proposed[name]['gain'], 3, signed=True)} "
        "against the contract"
        for name in SEPARATIONS
    )
    return (
        f"The contract ({_name(own)}) is not the best supported choice. {decision['n_better']} of "
        f"{decision['n_settings']} settings separate one of the four pairs of classes better, to an AUROC above "
        "one half, without separating another worse or agreeing less between phases (95 % intervals, "
        f"simultaneous over all settings and measures). Proposed: {_name(proposed)} ({gains})."
    )


def render(summary: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    classes = {name: summary["classes"][name] for name in SEPARATIONS}
    sets = ", ".join(
        f"{found['n']:,} {_TITLES[name]} ({found['n_positive']:,} of the first class)"
        for name, found in classes.items()
    )
    left_out = sum(summary["left_out"].values())
    return f"""# The state contract

A displacement is the distance that a state moves, and "the state" is a choice: after which layer, over how many
tokens, of which rows, pooled and compared how. This page compares every combination of layer, radius (reference
tokens besides the first), rows (each divided by its root mean square, or raw), pooling (`span_mean`: the tokens
from the first changed one; `centered_mean`: as many to its left as well, which cannot change) and distance (of
unit vectors, or plain).

{about(summary, "contract", sets, summary["settings"][summary["decision"]["own"]]["brca1_missense"])}
## Decision

{verdict(summary)}

{_alone(summary)}{_steadier(summary)}

{_separable(summary)}

![Agreement and separation by layer](contract.png)

## One choice at a time

The contract's setting (bold) and its neighbours, one choice changed. *Phases* is the mean Spearman correlation of
three six-mer phases over {summary["agreement_n"]["phases"]:,} substitutions, *indels* the same over
{summary["agreement_n"]["phases_indel_in_phase"]:,} indels in phase (kept apart), *next radius* the correlation
with the next larger radius. The other columns are AUROC: loss of function in BRCA1, pathogenic against benign
missense variants in held-out genes, random against common substitutions with the same change between the same
neighbours. 0.5 is a coin.

{_neighbours(summary)}

Tokens are of one pass with the default scores on a personal genome (NA12878, chromosome 21). Rows, pooling and
distance cost none.

## The best of all, by each measure

The best of {len(summary["settings"])} looks good by chance: the last column is its difference from the contract
with an interval that is simultaneous over all of them and over the five measures.

{_best(summary)}

{left_out:,} variants next to N or to the end of what the reference holds, or without a displacement in some
phase, were left out of every setting alike. Indels that re-cut the later six-mers have no displacement by
default and are not part of this study.
"""


def _alone(summary: Mapping[str, Any]) -> str:
    decision = summary["decision"]
    if decision["n_better_alone"] == decision["n_better"]:
        return ""
    return (
        f"With intervals that are corrected for the number of settings but not for that of the measures it would be "
        f"{decision['n_better_alone']} of {decision['n_settings']}: a hint to test on other variants, no result.\n\n"
    )


def _steadier(summary: Mapping[str, Any]) -> str:
    decision, settings = summary["decision"], summary["settings"]
    own, steadiest = settings[decision["own"]], settings[decision["steadiest"]]
    if decision["steadiest"] == decision["own"]:
        return "No setting of the same cost or less agrees better between phases without separating worse."
    return (
        f"Agreement between phases is a matter of its own: {decision['n_steadier']} settings that cost no more agree "
        f"better and separate no pair worse; the steadiest is {_name(steadiest)} with "
        f"{interval(steadiest['phases'])}, where the contract has {interval(own['phases'])}. That is a reason to "
        "prefer it only where separation does not tell settings apart."
    )


def _separable(summary: Mapping[str, Any]) -> str:
    own = summary["settings"][summary["decision"]["own"]]
    told = [name for name in SEPARATIONS if own[name]["low"] > 0.5]
    wrong = [name for name in SEPARATIONS if own[name]["high"] < 0.5]
    parts = "; ".join(f"{_TITLES[name]} {interval(own[name], 3)}" for name in SEPARATIONS)
    above = ", ".join(_TITLES[name] for name in told) or "none"
    below = f"; below it, the wrong way round: {', '.join(_TITLES[n] for n in wrong)}" if wrong else ""
    return f"What the contract's displacement separates at all: {parts}. Above one half: {above}{below}."


def _neighbours(summary: Mapping[str, Any]) -> str:
    own = summary["settings"][summary["decision"]["own"]]
    rows = []
    for setting in summary["settings"]:
        changed = [field for field in _FIELDS if setting[field] != own[field]]
        if len(changed) > 1:
            continue
        name = f"{changed[0]} {_value(setting[changed[0]])}" if changed else f"**{_name(own)}**"
        rows.append(
            (
                _FIELDS.index(changed[0]) if changed else -1,
                [
                    name,
                    number(setting["tokens"], 0),
                    interval(setting["phases"]),
                    number(setting["phases_indel_in_phase"]),
                    number(setting.get("next_radius")),
                    *(interval(setting[measure]) for measure in SEPARATIONS),
                ],
            )
        )
    ordered = [row for _, row in sorted(rows, key=lambda item: item[0])]
    header = ["setting", "tokens", "phases", "indels", "next radius", *(_TITLES[m] for m in SEPARATIONS)]
    return table(header, ordered)


def _best(summary: Mapping[str, Any]) -> str:
    rows = []
    for name in ("phases", *SEPARATIONS):
        best = max(summary["settings"], key=lambda setting: float(setting[name]["value"]))
        rows.append(
            [
                _TITLES.get(name, "agreement between phases"),
                _name(best),
                interval(best[name], 3),
                interval(best[name]["gain"], 3, signed=True),
            ]
        )
    return table(["measure", "best setting", "value", "against the contract"], rows)


def _name(setting: Mapping[str, Any]) -> str:
    rows, pool = _value(setting["form"]), setting["pool"]
    place = f"layer {setting['layer']}, radius {setting['radius']}"
    return f"{place}, {rows} rows, `{pool}`, {setting['distance']} distance"


def _value(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) and "_" in value else str(value)


def plot(summary: Mapping[str, Any], path: Path) -> None:
    """Agreement between phases and AUROC by layer, a line a radius, other choices as in the contract, as PNG."""
    figure, panels = figure_axes(3)
    own = summary["settings"][summary["decision"]["own"]]
    measures = ("phases", "brca1_missense", "clinvar_missense")
    titles = ("agreement between phases", "AUROC, BRCA1 missense", "AUROC, ClinVar missense")
    same = [s for s in summary["settings"] if all(s[f] == own[f] for f in ("form", "pool", "distance"))]
    radii = sorted({s["radius"] for s in same})
    for axes, measure, title in zip(panels, measures, titles, strict=True):
        for i, radius in enumerate(radii):
            line = [s for s in same if s["radius"] == radius]
            layers = [s["layer"] + 0.06 * (i - 1.5) for s in line]
            middle = [s[measure]["value"] for s in line]
            bars = [
                [s[measure]["value"] - s[measure]["low"] for s in line],
                [s[measure]["high"] - s[measure]["value"] for s in line],
            ]
            axes.errorbar(
                layers, middle, yerr=bars, fmt="o-", markersize=3, linewidth=1, label=f"radius {radius}"
            )
        axes.axvline(own["layer"], color="grey", linewidth=0.6, linestyle=":")
        if measure != "phases":
            axes.axhline(0.5, color="grey", linewidth=0.8)
        axes.set_xlabel("layer (dotted: the contract's)")
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    save_figure(figure, path)
