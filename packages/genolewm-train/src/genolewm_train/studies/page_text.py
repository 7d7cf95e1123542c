"""How the pages of studies write numbers and name what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["about", "figure_axes", "interval", "number", "save_figure", "table"]


def number(value: Any, places: int = 2) -> str:
    """A number, or an estimate's value; a dash where there is none."""
    if isinstance(value, Mapping):
        value = value["value"]
    return "–" if value is None else f"{value:.{places}f}"


def interval(estimate: Mapping[str, Any], places: int = 2, *, signed: bool = False) -> str:
    """Value and 95 % interval."""
    sign = "+" if signed else ""
    value, low, high = (f"{estimate[part]:{sign}.{places}f}" for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def about(summary: Mapping[str, Any], study: str, extra: str, missense: Mapping[str, Any]) -> str:
    """What was measured on what, by which command.

    Args:
        summary: the study's JSON.
        study: its name.
        extra: how many variants of what.
        missense: AUROC of the displacement on BRCA1 missense variants, as the contract has it.
    """
    model = summary["model"]
    warning = (
        f"**{model['name']} is a demonstration model that does not know biology.** The AUROC of its displacement on "
        f"BRCA1 missense variants is {interval(missense)}, where a coin has 0.50. It can show how the arithmetic "
        "behaves, not which setting finds harmful variants: repeat the study on the encoder you use.\n\n"
        if model["demonstration"]
        else ""
    )
    return (
        f"{warning}Measured on {model['name']} {model['version']} (weights `{model['weights_sha256'][:12]}`), "
        f"{extra}, all in sequence that was held out of training; "
        f"95 % intervals from {summary['resamples']:,} bootstrap resamples over variants. "
        f"Machine: {summary['machine']}, backend {summary['backend']}. Every number is filled in by the command "
        f"from [{study}.json]({study}.json):\n\n"
        f"```\ngeno-lewm study {study} --model MODEL --data DATA --output OUTPUT --pages docs/studies "
        f"--variants {summary['variants']} --resamples {summary['resamples']}\n```\n"
    )


def figure_axes(n: int) -> tuple[Any, Any]:
    """A figure with `n` panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * n, 3.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n)


def save_figure(figure: Any, path: Any) -> None:
    """As PNG without a date or a program's name: equal numbers give equal files."""
    figure.savefig(path, metadata={"Software": None})
