"""How far a long run is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eta_guard.cli.console import stderr

LINE_EVERY = 60.0
"""Seconds between two lines in a log."""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that is told how many cases are done, and how many there are.

    It shows nothing before it is called first, so that the models may be loaded under a display
    of their own.
    """
    console = stderr()
    if not console.is_terminal:
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)

    def told(done: int, total: int) -> None:
        if not bar.tasks:
            bar.add_task(what, completed=done, total=total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield told
    finally:
        if bar.tasks:
            bar.stop()


class _Lines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._before: int | None = None
        self._begun = self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before = done
            self._begun = self._told = now
        if now - self._told < LINE_EVERY:
            return
        self._told = now
        each = (now - self._begun) / (done - self._before)
        left = each * (total - done) / 60
        stderr().print(
            f"{self._what}: {done} of {total}, about {left:.0f} min left", soft_wrap=True
        )
