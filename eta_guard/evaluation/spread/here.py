"""Asks one case after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eta_guard.evaluation.spread.protocol import Asked

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.setup import Setup
    from eta_guard.pretrained import Parts


@dataclass(frozen=True)
class Here:
    """In this process, in the order of the suite."""

    load: Callable[[], Parts] | None = None
    """Loads the models in the setup's place; called once a run, if there is anything to ask."""

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Loads the models, and returns the records to come."""
        runner = setup.runner(self.load() if self.load else None)
        return (runner.run(case) for case in cases)
