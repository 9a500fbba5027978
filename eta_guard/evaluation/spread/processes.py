"""Asks a suite in several processes of this machine: a small model keeps one core busy, no more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eta_guard.errors import EngineError
from eta_guard.evaluation.spread.protocol import Asked

if TYPE_CHECKING:
    from eta_guard.evaluation.case_runner import CaseRunner
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.setup import Setup

_runner: CaseRunner | None = None
"""A worker's own."""


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Processes:
    """Several processes of this machine, each with models of its own; records in any order.

    They start anew (``spawn``): in a script of your own, what starts a run belongs below
    ``if __name__ == "__main__":``.
    """

    workers: int

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        """Yields the records as they come.

        Raises:
            EngineError: One of the processes died.
            InputError: The setup cannot be sent to them.
        """
        threads = max(1, cores() // self.workers)
        pool = ProcessPoolExecutor(
            self.workers,
            # A fork of a process that has run torch may stand still.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(setup.for_workers(), threads),
        )
        try:
            # Workers that ignore Ctrl-C from their first moment on: this process ends the run.
            with _ignored(signal.SIGINT):
                asked = [pool.submit(_ask, case) for case in cases]
            for done in as_completed(asked):
                yield done.result()
        except BrokenProcessPool:
            raise EngineError(
                "A worker process died, perhaps for want of memory.",
                hint="Run the same command again, with fewer --workers.",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Ignores a signal; a thread other than the main one may not, and starts as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _begin(setup: Setup, threads: int) -> None:
    global _runner
    from eta_guard.loading import silence_libraries

    silence_libraries()
    import torch

    torch.set_num_threads(threads)
    _runner = setup.runner()


def _ask(case: SuiteCase) -> CaseRecord:
    assert _runner is not None
    return _runner.run(case)
