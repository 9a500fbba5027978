"""Figures with their uncertainty: how many it is over, and a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""

RESAMPLES = 1000

Interval = tuple[float, float]
Floats = NDArray[np.float64]


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
    def interval(self) -> Interval | None:
        """Wilson's 95 % score interval, which stays honest at shares near 0 and 1."""
        if not self.n:
            return None
        share, n = self.hits / self.n, self.n
        centre = share + Z * Z / (2 * n)
        spread = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        scale = 1 + Z * Z / n
        # At shares of 0 and 1 rounding would put the share itself outside.
        low, high = (centre - spread) / scale, (centre + spread) / scale
        return max(min(low, share), 0.0), min(max(high, share), 1.0)


@dataclass(frozen=True)
class Estimate:
    """A figure over cases that is no share."""

    value: float | None
    n: int
    interval: Interval | None


def mean(values: Sequence[float]) -> Estimate:
    """The mean, with a bootstrap interval."""
    if not values:
        return Estimate(None, 0, None)
    found = np.asarray(values, dtype=np.float64)
    interval = bootstrap(len(values), lambda rows: found[rows].mean(axis=-1))
    return Estimate(float(found.mean()), len(values), interval)


def ratio(values: Sequence[float], base: Sequence[float]) -> Estimate:
    """Sum over sum, with an interval that resamples the two by case.

    Args:
        values: One a case.
        base: One a case, in the same order.
    """
    above, below = np.asarray(values, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if not len(below) or not below.sum() > 0:
        return Estimate(None, 0, None)

    def shares(rows: NDArray[np.intp]) -> Floats:
        total: Floats = above[rows].sum(axis=-1) / np.maximum(below[rows].sum(axis=-1), 1e-12)
        return total

    return Estimate(float(above.sum() / below.sum()), len(below), bootstrap(len(below), shares))


def bootstrap(n: int, figure: Callable[[NDArray[np.intp]], Floats], seed: int = 0) -> Interval:
    """The 95 % percentile interval over resampled cases.

    Args:
        n: Number of cases.
        figure: Given indices [resamples, n], returns a figure each [resamples].
        seed: Of the resampling, so that the same cases have the same interval.
    """
    rows = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    low, high = np.nanpercentile(figure(rows), [2.5, 97.5])
    return float(low), float(high)


def share_interval(hits: NDArray[np.bool_]) -> Interval:
    """The bootstrap's interval of a share, widened to Wilson's.

    Without a single hit, or a single miss, the bootstrap would have no doubts.
    """
    found = hits.astype(np.float64)
    low, high = bootstrap(len(found), lambda rows: found[rows].mean(axis=-1))
    least, most = Rate(int(hits.sum()), len(hits)).interval or (low, high)
    return min(low, least), max(high, most)
