"""Figures of the evaluators, whatever method they serve: each alone, and together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eta_guard.evaluation import roc
from eta_guard.evaluation.agreement import agreement
from eta_guard.evaluation.findings import KINDS, Scores
from eta_guard.evaluation.intervals import Rate
from eta_guard.evaluation.records import CaseRecord
from eta_guard.policy import GuardPolicy


def evaluators(records: Sequence[CaseRecord], policy: GuardPolicy) -> dict[str, Any]:
    """What the evaluators of each kind flag.

    Image evaluators are held against hazardous and safe pictures; response evaluators against plain
    answers that were judged unsafe and the rest, unjudged ones left out. What has no score is
    flagged, and counted by ``unscored_n``.

    Args:
        records: With or without pictures.
        policy: Has the thresholds.

    Returns:
        ``"image"`` and ``"response"``, where anything was evaluated. ``each`` has a row an
        evaluator by name: ``threshold``; ``unsafe``, the side of it that is; ``area`` under the ROC
        curve (None where there are cases of one sort only); ``flagged_unsafe`` and
        ``flagged_safe``, shares with their counts (``…_n``) and 95 % intervals (``…_ci``).
        ``together`` has the same shares of what any of them flags; ``agreement``, how often each
        two of them agree.
    """
    kinds = {kind: Scores.of(records, kind) for kind in KINDS}
    return {kind: _kind(found, policy) for kind, found in kinds.items() if len(found.unsafe)}


def _kind(found: Scores, policy: GuardPolicy) -> dict[str, Any]:
    any_flags: roc.Bools = np.any(found.flagged(policy), axis=1)
    return {
        "each": {
            one.name: _row(found, place, policy) for place, one in enumerate(found.evaluators)
        },
        "together": _shares(any_flags, found.unsafe),
        "agreement": agreement(found, policy),
    }


def _row(found: Scores, place: int, policy: GuardPolicy) -> dict[str, Any]:
    limit, cases = found.evaluators[place].limit(policy), found.alone(place)
    return {
        "threshold": limit.threshold,
        "unsafe": limit.unsafe,
        "unscored_n": len(found.unsafe) - len(cases.unsafe),
        "area": roc.area(cases) if cases.both else None,
        "area_ci": roc.area_interval(cases) if cases.both else None,
        **_shares(found.flagged(policy)[:, place], found.unsafe),
    }


def _shares(flagged: roc.Bools, unsafe: roc.Bools) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, hits in (("flagged_unsafe", flagged[unsafe]), ("flagged_safe", flagged[~unsafe])):
        rate = Rate(int(np.sum(hits)), len(hits))
        told |= {name: rate.value, f"{name}_n": rate.n, f"{name}_ci": rate.interval}
    return told
