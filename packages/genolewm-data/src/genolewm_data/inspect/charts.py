"""Geometry of the page's pictures; the templates only write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genolewm_data.inspect.windows import Track, WindowFacts

__all__ = ["HEIGHT", "UNITS", "WIDTH", "Bar", "BarChart", "Lane", "bar_chart", "lanes_of"]

WIDTH, HEIGHT = 340.0, 150.0
"""Inner size of a chart of bars, in its own units."""

UNITS = 1_000.0
"""Width of the longest contig's lane, in its own units."""

_FEW = 50
_N_LEVELS = 4
_MOST_LANES = 40
_LEAST = 3.0
"""Units that a hold-out is drawn wide at least."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `expected_y` is where its end is expected, or None."""

    label: str
    x: float
    y: float
    width: float
    height: float
    n: int
    share: float
    expected: float | None
    expected_y: float | None


@dataclass(frozen=True, slots=True)
class BarChart:
    """Counts side by side.

    Attributes:
        name: what the bars are told apart by, with its unit.
        what: what is counted.
        ticks: (x, text) below the axis.
        lines: x of upright lines.
        top: share that the chart's upper edge stands for.
    """

    title: str
    name: str
    what: str
    n: int
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[float, ...]
    top: float

    @property
    def few(self) -> bool:
        """Whether the shares of a sample of so few say little."""
        return self.n < _FEW


def bar_chart(
    title: str,
    counts: Mapping[str, int],
    *,
    name: str,
    what: str,
    expected: Sequence[float] | None = None,
    ticks: Sequence[tuple[float, str]] | None = None,
    lines: Sequence[float] = (),
) -> BarChart:
    """A chart of counts.

    Args:
        title: of the chart.
        counts: label of a bar to its count.
        name, what: see `BarChart`.
        expected: counts that are expected.
        ticks: (place, text), where a place counts bars from the left edge; None to write each label below its bar.
        lines: places of upright lines.
    """
    n = sum(counts.values())
    step = WIDTH / max(len(counts), 1)
    highest = max([*counts.values(), *(expected or ()), 1])
    bars = []
    for i, (label, count) in enumerate(counts.items()):
        wanted = None if expected is None else float(expected[i])
        height = HEIGHT * count / highest
        bars.append(
            Bar(
                label=label,
                x=_short(i * step + 0.08 * step),
                y=_short(HEIGHT - height),
                width=_short(0.84 * step),
                height=_short(height),
                n=count,
                share=count / max(n, 1),
                expected=wanted,
                expected_y=None if wanted is None else _short(HEIGHT * (1 - wanted / highest)),
            )
        )
    placed = ticks if ticks is not None else [(i + 0.5, label) for i, label in enumerate(counts)]
    return BarChart(
        title=title,
        name=name,
        what=what,
        n=n,
        bars=tuple(bars),
        ticks=tuple((_short(at * step), text) for at, text in placed),
        lines=tuple(_short(at * step) for at in lines),
        top=highest / max(n, 1),
    )


@dataclass(frozen=True, slots=True)
class Lane:
    """One contig, drawn in a height of 1.

    Attributes:
        width: in units.
        shades: for each level of density, 1 to 4, the path of the cells with windows of training.
        validation: path of the cells with windows of validation.
        held: path of what is held out.
    """

    track: Track
    width: float
    shades: tuple[str, ...]
    validation: str
    held: str


def lanes_of(windows: WindowFacts) -> tuple[Lane, ...]:
    """The contigs with the most windows, in their usual order and on one scale."""
    kept = sorted(windows.tracks, key=lambda track: -(sum(track.train) + sum(track.validation)))[:_MOST_LANES]
    tracks = [track for track in windows.tracks if track in kept]
    longest = max((track.length_bp for track in tracks), default=1)
    fullest = max((max(track.train) for track in tracks), default=0)
    lanes = []
    for track in tracks:
        scale = UNITS / longest
        cell = windows.cell_bp * scale
        width = max(_short(track.length_bp * scale), _LEAST)
        levels = [-(-n * _N_LEVELS // fullest) if fullest else 0 for n in track.train]
        lanes.append(
            Lane(
                track=track,
                width=width,
                shades=tuple(
                    _cells([level == wanted for level in levels], cell, width)
                    for wanted in range(1, _N_LEVELS + 1)
                ),
                validation=_cells([n > 0 for n in track.validation], cell, width),
                held="".join(
                    _box(min(start * scale, width - _LEAST), max(end * scale, start * scale + _LEAST))
                    for start, end in track.held
                ),
            )
        )
    return tuple(lanes)


def _cells(inside: Sequence[bool], cell: float, width: float) -> str:
    path, begun = "", None
    for i, on in enumerate([*inside, False]):
        if on and begun is None:
            begun = i
        elif not on and begun is not None:
            path += _box(begun * cell, min(i * cell, width))
            begun = None
    return path


def _box(left: float, right: float) -> str:
    return f"M{left:.6g} 0H{right:.6g}V1H{left:.6g}z"


def _short(number: float) -> float:
    return round(float(number), 2)
