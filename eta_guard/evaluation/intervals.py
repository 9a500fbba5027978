"""Rates with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Rate:
    """How many of how many."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The share in [0, 1]; None where there is nothing to take a share of."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % score interval, which stays honest at shares near 0 and 1."""
        if not self.n:
            return None
        share, n = self.hits / self.n, self.n
        centre = share + Z * Z / (2 * n)
        spread = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        scale = 1 + Z * Z / n
        return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)
