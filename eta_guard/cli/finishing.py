"""Sees a run through to its end: how far it is, and what is kept of one that stops."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from eta_guard.cli.console import stderr
from eta_guard.cli.progress import progress

if TYPE_CHECKING:
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.run import EvaluationRun


def finished(run: EvaluationRun) -> list[CaseRecord]:
    """Asks what has not been asked, and returns a record for every case, in their order."""
    begun = False
    try:
        # Ray tells of workers that died on stdout, where nothing but the result belongs.
        with redirect_stdout(sys.stderr), progress("Asking") as show:

            def told(done: int, total: int) -> None:
                nonlocal begun
                begun = True
                show(done, total)

            return run.finish(told)
    except BaseException:
        if run.out and begun:
            stderr().print(
                f"{run.done} of {run.total} cases are kept in {run.out}; the same command goes on"
                " from there.",
                soft_wrap=True,
            )
        raise
