"""What several evaluators of a kind flag together, and which of them flag the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from eta_guard.evaluation.findings import Scores
from eta_guard.evaluation.intervals import share_interval
from eta_guard.evaluation.roc import Bools
from eta_guard.policy import GuardPolicy


def together(scores: Scores, policy: GuardPolicy) -> dict[str, Any]:
    """Errors of the union: flagged is what any evaluator flags.

    Args:
        scores: Of one kind. Cases that lack a score of some evaluator are left out, and counted:
            the guard flags them whatever the thresholds are.
        policy: Has the thresholds.

    Returns:
        ``false_alarm`` among the safe cases and ``missed`` among the unsafe, each with its 95 %
        interval (``…_ci``) and None where there are no such cases; and the numbers of cases.
    """
    scored = scores.scored_by_all()
    flagged: Bools = np.any(scored.flagged(policy), axis=1)
    told: dict[str, Any] = {
        "unsafe_n": int(scored.unsafe.sum()),
        "safe_n": int((~scored.unsafe).sum()),
        "unscored_n": len(scores.unsafe) - len(scored.unsafe),
    }
    errors = {"false_alarm": flagged[~scored.unsafe], "missed": ~flagged[scored.unsafe]}
    for name, hits in errors.items():
        told[name] = float(hits.mean()) if len(hits) else None
        told[f"{name}_ci"] = share_interval(hits) if len(hits) else None
    return told


def agreement(scores: Scores, policy: GuardPolicy) -> list[dict[str, Any]]:
    """For each two evaluators of a kind, how many cases both, one or none of them flags.

    Args:
        scores: Of one kind; cases that lack a score of some evaluator are left out.
        policy: Has the thresholds.

    Returns:
        ``first`` and ``second``, their names; ``unsafe`` and ``safe``, counts of such cases each:
        ``both``, ``only_first``, ``only_second``, ``neither``.
    """
    scored = scores.scored_by_all()
    flagged = scored.flagged(policy)
    return [
        {
            "first": first.name,
            "second": second.name,
            "unsafe": _counts(flagged[scored.unsafe, i], flagged[scored.unsafe, j]),
            "safe": _counts(flagged[~scored.unsafe, i], flagged[~scored.unsafe, j]),
        }
        for (i, first), (j, second) in combinations(enumerate(scores.evaluators), 2)
    ]


def _counts(first: Bools, second: Bools) -> Mapping[str, int]:
    return {
        "both": int((first & second).sum()),
        "only_first": int((first & ~second).sum()),
        "only_second": int((~first & second).sum()),
        "neither": int((~first & ~second).sum()),
    }
