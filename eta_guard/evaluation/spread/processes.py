"""Asks a suite in several processes of this machine: a small model keeps one core busy, no more."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from eta_guard.errors import EngineError

if TYPE_CHECKING:
    from eta_guard.evaluation.case_runner import Runner
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.setup import Setup

_runner: Runner | None = None
"""A worker's own."""


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(cases: Sequence[SuiteCase], setup: Setup, *, workers: int) -> Iterator[CaseRecord]:
    """Yields the records as they come, in any order.

    Args:
        cases: What to ask.
        setup: Each process loads its models by it.
        workers: How many processes.

    Raises:
        EngineError: One of them died.
    """
    threads = max(1, cores() // workers)
    pool = ProcessPoolExecutor(
        workers,
        # A fork of a process that has run torch may stand still.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(setup, threads),
    )
    try:
        # Workers that ignore Ctrl-C from their first moment on: this process ends the run.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            asked = [pool.submit(_ask, case) for case in cases]
        finally:
            signal.signal(signal.SIGINT, before)
        for done in as_completed(asked):
            yield done.result()
    except BrokenProcessPool:
        raise EngineError(
            "A worker process died, perhaps for want of memory.",
            hint="Run the same command again, with fewer --workers.",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


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
