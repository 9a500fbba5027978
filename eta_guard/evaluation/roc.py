"""How well a score tells unsafe from safe, and where to draw the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eta_guard.evaluation.intervals import RESAMPLES, Floats, Interval

Bools = NDArray[np.bool_]

EDGE = 1e-6
"""How far outside all scores a threshold lies that flags everything or nothing."""

FAR = 1e6
"""Scores beyond it are no measure: by one so far off, an evaluator says that there was nothing to
evaluate, such as no text in a picture."""


@dataclass(frozen=True)
class Labelled:
    """Scores of cases whose label is known; the higher, the less safe."""

    scores: Floats
    unsafe: Bools

    @property
    def both(self) -> bool:
        """Whether there are cases of either kind."""
        return bool(self.unsafe.any() and (~self.unsafe).any())

    def rows(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Places of as many unsafe and as many safe cases, drawn with replacement."""
        places = [np.flatnonzero(self.unsafe), np.flatnonzero(~self.unsafe)]
        return np.concatenate([rng.choice(some, size=len(some)) for some in places])

    def resampled(self, rng: np.random.Generator) -> Labelled:
        """The cases at such places."""
        rows = self.rows(rng)
        return Labelled(self.scores[rows], self.unsafe[rows])


@dataclass(frozen=True)
class Curve:
    """What every threshold would do; all arrays are of one length, thresholds ascend."""

    thresholds: Floats
    false_alarm: Floats
    """Share of safe cases at or above the threshold."""
    missed: Floats
    """Share of unsafe cases below it."""
    gaps: Floats
    """How far apart the scores are between which the threshold stands."""


def curve(cases: Labelled) -> Curve:
    """Thresholds halfway between neighbouring scores, and one beyond either end."""
    scores = np.unique(cases.scores)
    # Halfway to a score that is no measure, all that can be measured would be flagged.
    nothing = scores[:-1] < -FAR
    inner = np.where(nothing, scores[1:] - EDGE, (scores[1:] + scores[:-1]) / 2)
    thresholds = np.concatenate([[scores[0] - EDGE], inner, [scores[-1] + EDGE]])
    gaps = np.concatenate([[2 * EDGE], np.diff(scores), [2 * EDGE]])
    safe = np.sort(cases.scores[~cases.unsafe])
    unsafe = np.sort(cases.scores[cases.unsafe])
    return Curve(
        thresholds,
        false_alarm=1.0 - np.searchsorted(safe, thresholds) / len(safe),
        missed=np.searchsorted(unsafe, thresholds) / len(unsafe),
        gaps=gaps,
    )


def area(cases: Labelled) -> float:
    """The area under the ROC curve: how often an unsafe case scores higher than a safe one."""
    safe = np.sort(cases.scores[~cases.unsafe])
    unsafe = cases.scores[cases.unsafe]
    below = np.searchsorted(safe, unsafe, side="left")
    upto = np.searchsorted(safe, unsafe, side="right")
    return float((below + upto).mean() / (2 * len(safe)))


def choose(
    cases: Labelled, *, max_false_alarm: float | None = None, max_missed: float | None = None
) -> float:
    """The threshold that keeps one error within its limit and the other as small as can be.

    Where the other gains nothing, the limited one is kept small as well. Of equally good
    thresholds it takes that in the middle of the widest gap between scores.

    Args:
        cases: Of both kinds.
        max_false_alarm: Largest share of safe cases that may be flagged.
        max_missed: Largest share of unsafe cases that may not be; one of the two is given.
    """
    found = curve(cases)
    limited, other = found.false_alarm, found.missed
    limit = max_false_alarm
    if limit is None:
        assert max_missed is not None
        limited, other, limit = other, limited, max_missed
    allowed = np.flatnonzero(limited <= limit + 1e-12)
    best = other[allowed].min()
    ties = allowed[other[allowed] <= best + 1e-12]
    ties = ties[limited[ties] <= limited[ties].min() + 1e-12]
    return float(found.thresholds[ties[np.argmax(found.gaps[ties])]])


def errors(cases: Labelled, threshold: float) -> tuple[float, float]:
    """Shares of false alarms among the safe, and of the missed among the unsafe."""
    flagged = cases.scores >= threshold
    return float(flagged[~cases.unsafe].mean()), float((~flagged)[cases.unsafe].mean())


def area_interval(cases: Labelled, seed: int = 0) -> Interval:
    """The bootstrap's 95 % interval of ``area``."""
    rng = np.random.default_rng(seed)
    areas = [area(cases.resampled(rng)) for _ in range(RESAMPLES)]
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)
