"""Win-tie rates of one method against another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from eta_guard.evaluation.intervals import Rate
from eta_guard.evaluation.records import CaseRecord


def comparison(pair: str, records: Sequence[CaseRecord]) -> dict[str, Any]:
    """How the first of ``"method:other"`` does against the second.

    ``win_tie_rate`` is over all cases: one that could not be judged is neither a win nor a tie.
    """
    found = Counter(record.comparisons[pair] for record in records)
    rate = Rate(found["win"] + found["tie"], len(records))
    method, _, other = pair.partition(":")
    return {
        "method": method,
        "against": other,
        "n": len(records),
        "wins": found["win"],
        "ties": found["tie"],
        "losses": found["loss"],
        "unjudged_n": found["unjudged"],
        "win_tie_rate": rate.value,
        "win_tie_rate_ci": rate.interval,
    }
