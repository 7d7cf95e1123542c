"""How many edits of a window come from which source: largest remainder, with what is left over carried on.

A window has few edits, so rounding 40/30/20/10 anew in every window would give some sources too much for
ever. What rounding took from a source is owed to it in the next window. The weights are whole numbers, so the
debts come round again after some windows, and the counts of any window are looked up by its number: no worker
needs to have seen the windows before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from genolewm_core.errors import ConfigError
from genolewm_data.samplers.edit import SOURCES, EditSource

__all__ = ["SourceMix", "apportion"]

_MAX_TOTAL = 1_000


@dataclass(frozen=True, slots=True)
class SourceMix:
    """Weights of the sources of edits.

    Attributes:
        weights: source and weight, a whole number; weights need not add up to 100.

    Raises:
        ConfigError: `config-invalid`, for a source named twice or unknown, a weight below 0, or a total that is
            0 or above 1,000.
    """

    weights: tuple[tuple[EditSource, int], ...]

    def __post_init__(self) -> None:
        names = [source for source, _ in self.weights]
        numbers = [weight for _, weight in self.weights]
        sane = set(names) <= set(SOURCES) and len(set(names)) == len(names)
        if not sane or min(numbers, default=-1) < 0 or not 0 < sum(numbers) <= _MAX_TOTAL:
            raise ConfigError(
                "config-invalid",
                "The mix of edit sources cannot be used.",
                where="weights",
                expected=f"sources out of {', '.join(SOURCES)}, each once, and a total of 1 to {_MAX_TOTAL}",
                found=f"{len(names)} weights that add up to {sum(numbers)}",
            )

    @classmethod
    def standard(cls, *, clinvar: bool = False) -> SourceMix:
        """gnomAD 40, synthetic SNVs 30, synthetic indels 20, ClinVar 10 (RFC-0006).

        ClinVar is left out unless asked for, since it holds the labels that scores are evaluated on; its share
        then goes to synthetic SNVs, where its slots would fall back to.
        """
        if clinvar:
            return cls((("gnomad", 40), ("synthetic_snv", 30), ("synthetic_indel", 20), ("clinvar", 10)))
        return cls((("gnomad", 40), ("synthetic_snv", 40), ("synthetic_indel", 20)))

    @property
    def sources(self) -> tuple[EditSource, ...]:
        """Sources with a weight above 0."""
        return tuple(source for source, weight in self.weights if weight)

    def of_window(self, window: int, n_slots: int) -> list[EditSource]:
        """The source of every slot of a window, in the order of the weights."""
        counts = apportion(tuple(weight for _, weight in self.weights), n_slots, window)
        return [source for (source, _), n in zip(self.weights, counts, strict=True) for _ in range(n)]

    def pick(self, chance: float) -> EditSource:
        """One source at random by weight; `chance` is in [0, 1)."""
        left = chance * sum(weight for _, weight in self.weights)
        for source, weight in self.weights:
            left -= weight
            if left < 0:
                return source
        return self.weights[-1][0]


def apportion(weights: tuple[int, ...], n: int, window: int) -> tuple[int, ...]:
    """Seats of every weight in the window of that number, 0 and up; they add up to `n`."""
    lead_in, cycle = _cycle(weights, n)
    if window < len(lead_in):
        return lead_in[window]
    return cycle[(window - len(lead_in)) % len(cycle)]


@lru_cache(maxsize=64)
def _cycle(
    weights: tuple[int, ...], n: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Seats of every window up to the first whose debts have been seen before, and from there on."""
    total = sum(weights)
    owed = (0,) * len(weights)
    seen: dict[tuple[int, ...], int] = {}
    windows: list[tuple[int, ...]] = []
    while owed not in seen:
        seen[owed] = len(windows)
        due = [o + w * n for o, w in zip(owed, weights, strict=True)]
        seats = [0] * len(weights)
        for _ in range(n):
            most = max(range(len(due)), key=due.__getitem__)
            seats[most] += 1
            due[most] -= total
        windows.append(tuple(seats))
        owed = tuple(due)
    return tuple(windows[: seen[owed]]), tuple(windows[seen[owed] :])
