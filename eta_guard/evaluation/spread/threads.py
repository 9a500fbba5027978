"""Asks several cases at a time in this process, for a chat model that runs on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eta_guard.evaluation.spread.protocol import Asked

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.setup import Setup
    from eta_guard.pretrained import Parts


@dataclass(frozen=True)
class Threads:
    """Threads of this process that share its models; records in any order.

    A server works on their requests side by side. Seconds of a case are those that it took among
    the others.
    """

    count: int = 16
    load: Callable[[], Parts] | None = None
    """As that of ``Here``."""

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Yields the records as they come."""
        runner = setup.runner(self.load() if self.load else None)
        pool = ThreadPoolExecutor(self.count)
        try:
            for case in as_completed([pool.submit(runner.run, case) for case in cases]):
                yield case.result()
        finally:
            pool.shutdown(cancel_futures=True)
