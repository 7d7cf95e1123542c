"""Where some numbers lie: mean, median and the range of the middle nine tenths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Numbers in short; `low` and `high` have 5 % of them below and above."""

    n: int
    mean: float
    low: float
    median: float
    high: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Of some numbers; None where there are none."""
        if not values:
            return None
        low, median, high = np.quantile(values, (0.05, 0.5, 0.95)).tolist()
        return cls(len(values), float(np.mean(values)), low, median, high, float(max(values)))
