"""Where things are printed: results on stdout, all else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.theme import Theme

_ONE_LINE = Column(no_wrap=True, overflow="ellipsis")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # called where the error is handled; rich would exit with code 1 then and there


def stdout() -> Console:
    """The console of results; without colour unless it is a terminal."""
    return _Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """The console of progress, warnings and errors."""
    theme = Theme({"progress.elapsed": "dim"})  # rich's yellow cannot be read on white
    return _Console(stderr=True, theme=theme, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """Prints one JSON document; ASCII, which every locale can write."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def printable(text: str) -> str:
    """The text without what would steer a terminal: an answer is not to be trusted with that."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


class Status:
    """What is going on, in one line that passes away; only on a terminal."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(printable(what))

    def __call__(self, what: str) -> None:
        """Says what is being done from now on."""
        self._progress.update(self._task, description=printable(what))


@contextmanager
def status(what: str) -> Iterator[Status]:
    """Shows ``what`` on stderr, with the time it takes, until the end of the block."""
    columns = (
        SpinnerColumn(style="default"),
        TextColumn("{task.description}", markup=False, table_column=_ONE_LINE),
        TimeElapsedColumn(),
    )
    console = stderr()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield Status(bar, what)
