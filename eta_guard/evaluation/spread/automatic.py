"""Chooses by itself: what keeps one core busy and no more is worth a process a core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eta_guard.evaluation.spread.here import Here
from eta_guard.evaluation.spread.processes import Processes, cores
from eta_guard.evaluation.spread.protocol import Asked, Spread

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.setup import Setup
    from eta_guard.pretrained import Parts

FEW = 60
"""Cases that one process has asked before a second one has loaded its models."""


@dataclass(frozen=True)
class Automatic:
    """A process a core for many cases of the small models that ship; else this process alone."""

    load: Callable[[], Parts] | None = None
    """As that of ``Here``."""

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Asks them where it fits."""
        return self.fitting(len(cases), setup)(cases, setup)

    def fitting(self, cases: int, setup: Setup) -> Spread:
        """What so many cases are asked by."""
        small = setup.only_embedded and setup.parts is None
        if small and cases > FEW and (count := cores()) > 1:
            return Processes(count)
        return Here(self.load)
