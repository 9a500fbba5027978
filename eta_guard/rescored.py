"""An evaluation under another policy, as far as those who were asked can tell."""

from __future__ import annotations

from typing import Any, TypeVar

from eta_guard.panel.evaluation import CombinedEvaluation, Kind
from eta_guard.policy import GuardPolicy


class UnknownError(Exception):
    """The scores do not tell what comes next."""

    def __init__(self, what: str, *, flagged: bool | None = None) -> None:
        """Takes what is lacking.

        Args:
            what: In a few words.
            flagged: Whether the request would be flagged, where that is known all the same.
        """
        super().__init__(what)
        self.flagged = flagged


E = TypeVar("E", bound=CombinedEvaluation)


def rescored(found: E, kind: Kind, policy: GuardPolicy) -> E:
    """An evaluation under this policy.

    Raises:
        UnknownError: It would ask others than those who were asked, and that may matter.
    """
    known = found.under(policy, kind)
    if known.spared and known.outcome == "safe":
        raise UnknownError(not_asked(known))
    if policy.on_unscored != "unsafe":  # then it matters who fails
        not_safe = [one.outcome for one in known.findings if one.outcome != "safe"]
        if policy.short_circuit and len(not_safe) > 1 and "unscored" in not_safe:
            raise UnknownError("it depends on which evaluator is asked first")
        if known.spared and not policy.short_circuit:
            raise UnknownError(not_asked(known))
    return known


def not_asked(found: CombinedEvaluation) -> str:
    """Says of whom nothing is known."""
    return f"not asked: {', '.join(found.spared)}"


def plain(found: CombinedEvaluation) -> dict[str, Any]:
    """As it stands in the graph's state."""
    return found.model_dump(mode="json")
