"""Thresholds of several evaluators that are asked as one: any that flags flags the whole.

Each alone at the target, their union would flag more than the target. So all are set to one level,
the share of safe cases that each may flag by itself, and the level is moved until the union is
where it is to be. On the safe cases that is the single-step min-P procedure of Westfall and Young
(Resampling-Based Multiple Testing, 1993): it takes from the cases how far the evaluators err on the
same ones. Where they never do, it comes to the target divided among them (Bonferroni); where they
always do, to the target for each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from eta_guard.evaluation import roc

_SLACK = 1e-12
"""Of comparisons of shares."""


def choose(
    each: Sequence[roc.Labelled],
    *,
    max_false_alarm: float | None = None,
    max_missed: float | None = None,
) -> list[float]:
    """The thresholds at the common level that keeps the union's error within its limit.

    False alarms of the union rise with the level, and what it misses falls: the level is the
    highest that keeps the one within its limit, or the lowest that keeps the other. For one
    evaluator that is ``roc.choose``. (A common level of what is missed would not do: evaluators
    that find different hazards each miss most of them.)

    Args:
        each: The same cases, of both kinds, under each evaluator.
        max_false_alarm: Largest share of safe cases that any may flag.
        max_missed: Largest share of unsafe cases that none may; one of the two is given.

    Returns:
        One threshold an evaluator, in their order.
    """
    if len(each) == 1:
        limits = {"max_false_alarm": max_false_alarm, "max_missed": max_missed}
        return [roc.choose(each[0], **limits)]
    safe = int((~each[0].unsafe).sum())

    def thresholds(level: int) -> list[float]:
        return [roc.choose(one, max_false_alarm=level / safe) for one in each]

    def error(level: int) -> float:
        false_alarm, missed = errors(each, thresholds(level))
        return missed if max_false_alarm is None else false_alarm

    levels = range(safe + 1)
    if max_false_alarm is None:
        assert max_missed is not None
        limit = max_missed + _SLACK
        return thresholds(bisect_left(levels, True, key=lambda level: error(level) <= limit))
    limit = max_false_alarm + _SLACK
    # At level 0 nobody flags a safe case.
    return thresholds(bisect_left(levels, True, key=lambda level: error(level) > limit) - 1)


def errors(each: Sequence[roc.Labelled], thresholds: Sequence[float]) -> tuple[float, float]:
    """Shares of false alarms among the safe, and of the missed among the unsafe, of the union."""
    pairs = zip(each, thresholds, strict=True)
    flagged = np.any([cases.scores >= threshold for cases, threshold in pairs], axis=0)
    unsafe = each[0].unsafe
    return float(flagged[~unsafe].mean()), float((~flagged)[unsafe].mean())


def resampled(each: Sequence[roc.Labelled], rng: np.random.Generator) -> list[roc.Labelled]:
    """The same cases drawn for all, as ``Labelled.resampled`` draws them."""
    rows = each[0].rows(rng)
    return [roc.Labelled(one.scores[rows], one.unsafe[rows]) for one in each]
