"""What thresholds do with the scores of one evaluator."""

from __future__ import annotations

from typing import Any

from eta_guard.evaluation import roc
from eta_guard.evaluation.intervals import Interval, share_interval

LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""False alarms at which operating points are told."""


def operating_points(
    cases: roc.Labelled, chosen: float, before: float, interval: Interval, *, sign: float = 1.0
) -> dict[str, Any]:
    """ROC, operating points and the chosen threshold of one evaluator.

    Args:
        cases: On a scale on which higher is less safe.
        chosen: The threshold, on the evaluator's own scale.
        before: The one that is compared with it, on the same.
        interval: Of the chosen one, on the same.
        sign: Turns one scale into the other.
    """
    line = roc.curve(cases)
    return {
        "unsafe_n": int(cases.unsafe.sum()),
        "safe_n": int((~cases.unsafe).sum()),
        "area": roc.area(cases),
        "area_ci": roc.area_interval(cases),
        "chosen": {**_point(cases, chosen, sign), "threshold_ci": interval},
        "before": _point(cases, before, sign),
        "points": [
            {
                "max_false_alarm": limit,
                **_point(cases, sign * roc.choose(cases, max_false_alarm=limit), sign),
            }
            for limit in LIMITS
        ],
        "roc": {
            "threshold": (sign * line.thresholds).tolist(),
            "false_alarm": line.false_alarm.tolist(),
            "missed": line.missed.tolist(),
        },
    }


def _point(cases: roc.Labelled, threshold: float, sign: float) -> dict[str, Any]:
    false_alarm, missed = roc.errors(cases, sign * threshold)
    found = cases.scores >= sign * threshold
    return {
        "threshold": threshold,
        "false_alarm": false_alarm,
        "false_alarm_ci": share_interval(found[~cases.unsafe]),
        "missed": missed,
        "missed_ci": share_interval(~found[cases.unsafe]),
    }
