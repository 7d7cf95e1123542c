"""The page of the phase study: decision, tables and plot, from the study's JSON and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from genolewm_core.scoring.heads import HEADS
from genolewm_train.studies.page_text import about, figure_axes, interval, number, save_figure, table
from genolewm_train.studies.phases import PLANS

__all__ = ["plot", "render", "verdict"]

_TITLES = {
    "substitution": "substitutions",
    "indel_in_phase": "indels in phase",
    "indel_out_of_phase": "indels out of phase",
    "brca1_substitution": "BRCA1 substitutions",
}
_FIRST = PLANS[0].name
_ALL = PLANS[-1].name


def verdict(summary: Mapping[str, Any]) -> str:
    """The default that the numbers support, and why."""
    cost, budget = summary["cost"]["plans"], summary["budget"]
    room = min(budget.values())
    tightest = min(budget, key=lambda machine: budget[machine])
    relative = {plan.name: cost[plan.name]["tokens"] / cost[_FIRST]["tokens"] for plan in PLANS}
    repeat = {
        name: found["repeatability"]["value"]
        for name, found in summary["agreement"]["substitution"]["displacement"]["plans"].items()
    }
    fitting = [plan for plan in PLANS if relative[plan.name] <= room]
    chosen = max(fitting, key=lambda plan: repeat[plan.name])
    cheapest = min(ratio for name, ratio in relative.items() if name != _FIRST)
    now = summary["model"]
    same = (chosen.phases, chosen.strands) == (now["phases"], now["strands"])
    return (
        f"The contract's default {'stays' if same else 'should be'} `phases` {chosen.phases}, `strands` "
        f"`{chosen.strands}`. The time budgets decide it: the cheapest average over two passes runs "
        f"{cheapest:.2f} times the tokens of one, and the tightest budget for 100,000 variants with Carbon-500M "
        f"({tightest}) leaves room for {room:.2f} times (counted from floating-point operations, not measured)."
    )


def render(summary: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    counts = {
        name: max((found["n"] for found in summary["agreement"][name].values()), default=0)
        for name in _TITLES
    }
    sets = ", ".join(f"{count:,} {_TITLES[name]}" for name, count in counts.items())
    return f"""# Phases and strands

A six-mer model reads the same variant at six offsets, depending on where the window starts, and on two strands.
Each reading is a *pass* and gives another score. How far do they agree, and is averaging them worth its time?

{about(summary, "phases", sets, summary["auroc"]["missense"]["displacement"][_FIRST])}
## Decision

{verdict(summary)}

{_consequence(summary)}

{_choice_of_head(summary)}

{_gain(summary)}

`--phases 2|3|6` and `--both-strands` stay available to whoever has the time.

![Repeatability against tokens](phases.png)

## What a plan costs and how repeatable it is

Substitutions of one person (NA12878, chromosome 21, whole cells). *Repeatability* is the Spearman correlation
of a plan's score with the same plan's score on other phases, so that nothing is compared with itself; for six
phases no others are left, and it is extrapolated from the two halves (Spearman-Brown, marked \\*). *Tokens* and
*time* are of all {summary["cost"]["n"]:,} variants in these cells, time relative to one phase in the same run
(median over cells).

{_plans(summary)}

## How far single passes agree

Mean Spearman correlation of two passes that differ in phase (same strand; in brackets the 95 % interval of the
mean, then the lowest and the highest pair) or in strand, and of the means over the six phases of each strand.
Classes of edits are never pooled.

{_passes(summary)}

## What averaging does for BRCA1

AUROC for loss of function in the saturation editing of BRCA1 (Findlay et al. 2018), larger meaning more damage;
0.5 is a coin. The difference from one phase is taken on the same resamples.

{_areas(summary)}

## A part agrees with its whole

Against the mean of all twelve passes a plan looks better than it is, because it is part of that mean. Against
the mean of the passes that it does *not* contain (displacement of substitutions):

{_whole(summary)}
"""


def _consequence(summary: Mapping[str, Any]) -> str:
    one = summary["agreement"]["substitution"]
    parts = []
    for head in HEADS:
        found = one[head]["plans"]
        parts.append(
            f"`{head}` {interval(found[_FIRST]['repeatability'])} with one phase, "
            f"{number(found[_ALL]['repeatability'])} with all twelve passes"
        )
    overlap = one["displacement"]["plans"][_FIRST]["top_overlap"]
    return (
        f"What one phase gives up is repeatability: {'; '.join(parts)} (substitutions). Of the twentieth of a "
        f"person's substitutions with the largest displacement in one phase, {100 * overlap:.0f} % are in the "
        "largest twentieth of the other eleven passes' mean."
    )


def _choice_of_head(summary: Mapping[str, Any]) -> str:
    one = summary["agreement"]["substitution"]
    repeat = {
        (head, name): float(found["repeatability"]["value"])
        for head in HEADS
        for name, found in one[head]["plans"].items()
    }
    steadiest = max(HEADS, key=lambda head: repeat[head, _FIRST])
    least = min(HEADS, key=lambda head: repeat[head, _FIRST])
    overtakes = [plan.name for plan in PLANS if repeat[least, plan.name] >= repeat[steadiest, _FIRST]]
    reached = (
        f"`{least}` needs {overtakes[0]} to reach that"
        if overtakes
        else f"`{least}` does not reach that with all twelve passes"
    )
    return (
        f"Which score is read matters more than how many phases: one phase of `{steadiest}` has "
        f"{repeat[steadiest, _FIRST]:.2f}, and {reached} ({repeat[least, _ALL]:.2f} with all twelve)."
    )


def _gain(summary: Mapping[str, Any]) -> str:
    missense = summary["auroc"]["missense"]
    raised = [
        f"`{head}` with {plan.name} ({interval(missense[head][plan.name]['gain'], 3, signed=True)})"
        for head in HEADS
        for plan in PLANS[1:]
        if missense[head][plan.name]["gain"]["low"] > 0
    ]
    lowered = sum(missense[head][plan.name]["gain"]["high"] < 0 for head in HEADS for plan in PLANS[1:])
    compared = len(HEADS) * (len(PLANS) - 1)
    if not raised and not lowered:
        return (
            f"On BRCA1 missense variants averaging brings nothing that can be measured: none of {compared} "
            "differences from one phase has an interval that excludes zero."
        )
    gained = f" Raised: {'; '.join(raised)}." if raised else ""
    return (
        f"On BRCA1 missense variants, of {compared} differences from one phase {len(raised)} have an interval "
        f"above zero and {lowered} one below (one at a time, not corrected for their number).{gained}"
    )


def _plans(summary: Mapping[str, Any]) -> str:
    cost, one = summary["cost"]["plans"], summary["agreement"]["substitution"]
    rows = []
    for plan in PLANS:
        found = [one[head]["plans"][plan.name] for head in HEADS]
        marks = ["\\*" if each["by_spearman_brown"] else "" for each in found]
        rows.append(
            [
                plan.name,
                number(cost[plan.name]["tokens"], 0),
                number(cost[plan.name]["seconds"], 1),
                *(interval(e["repeatability"]) + mark for e, mark in zip(found, marks, strict=True)),
            ]
        )
    return table(["plan", "tokens a variant", "time", *(f"`{head}`" for head in HEADS)], rows)


def _passes(summary: Mapping[str, Any]) -> str:
    rows = []
    for name, head in product(_TITLES, HEADS):
        if found := summary["agreement"][name].get(head):
            phases, strands = found["phases"], found["strands"]
            low, high = (number(value) for value in phases["range"])
            rows.append(
                [
                    _TITLES[name],
                    f"`{head}`",
                    f"{found['n']:,}",
                    f"{interval(phases)}, {low} to {high}",
                    interval(strands),
                    interval(found["strand_means"]),
                ]
            )
    header = ["edits", "score", "n", "other phase", "other strand", "means of the strands"]
    return table(header, rows)


def _areas(summary: Mapping[str, Any]) -> str:
    rows = []
    for name in ("missense", "all"):
        found = summary["auroc"][name]
        for head in HEADS:
            for plan in (PLANS[0], PLANS[3], PLANS[4], PLANS[7]):
                each = found[head][plan.name]
                gain = "" if plan is PLANS[0] else interval(each["gain"], 3, signed=True)
                kind = f"{name} ({found['n']:,}, {found['n_lof']:,} LOF)"
                rows.append([kind, f"`{head}`", plan.name, interval(each, 3), gain])
    return table(["variants", "score", "plan", "AUROC", "against one phase"], rows)


def _whole(summary: Mapping[str, Any]) -> str:
    found = summary["agreement"]["substitution"]["displacement"]["plans"]
    rows = [
        [plan.name, interval(found[plan.name]["with_all"]), interval(found[plan.name]["with_rest"])]
        for plan in PLANS[:-1]
    ]
    return table(["plan", "with all twelve", "with the rest"], rows)


def plot(summary: Mapping[str, Any], path: Path) -> None:
    """Repeatability against tokens, and AUROC on BRCA1 missense against tokens, as PNG."""
    figure, (left, right) = figure_axes(2)
    cost, one = summary["cost"]["plans"], summary["agreement"]["substitution"]
    missense = summary["auroc"]["missense"]
    for h, head in enumerate(HEADS):
        for strands, style in (("+", "o-"), ("+-", "s--")):
            plans = [plan for plan in PLANS if plan.strands == strands]
            tokens = [cost[plan.name]["tokens"] * (1 + 0.02 * (h - 1)) for plan in plans]
            label = head if strands == "+" else None
            for axes, values in (
                (left, [one[head]["plans"][plan.name]["repeatability"] for plan in plans]),
                (right, [missense[head][plan.name] for plan in plans]),
            ):
                middle = [v["value"] for v in values]
                bars = [[v["value"] - v["low"] for v in values], [v["high"] - v["value"] for v in values]]
                axes.errorbar(
                    tokens,
                    middle,
                    yerr=bars,
                    fmt=style,
                    color=f"C{h}",
                    label=label,
                    markersize=4,
                    linewidth=1,
                )
    right.axhline(0.5, color="grey", linewidth=0.8)
    left.set_ylabel("repeatability (Spearman)")
    right.set_ylabel("AUROC, BRCA1 missense")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks([float(f"{cost[plan.name]['tokens']:.2g}") for plan in PLANS if plan.strands == "+"])
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.set_xlabel("tokens a variant (dashed: both strands)")
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    save_figure(figure, path)
