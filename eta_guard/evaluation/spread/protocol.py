"""The seam of spreading: where the cases of a run are asked."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.setup import Setup

Asked: TypeAlias = "Generator[CaseRecord, None, None]"
"""Records as they come; closing it ends the work."""


class Spread(Protocol):
    """Asks cases somewhere, and gives each record as soon as it is there."""

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Asks the cases.

        Args:
            cases: At least one.
            setup: How they are asked; workers of other processes load their models by it.

        Returns:
            A record a case, in any order.
        """
        ...
