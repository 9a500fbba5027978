"""The package's log on a terminal: a line for each event, without tracebacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from eta_guard.cli.console import printable, stderr


@contextmanager
def one_line_log() -> Iterator[None]:
    """Shows the package's warnings within as lines on stderr, and no other library's."""
    ours, root = logging.getLogger("eta_guard"), logging.getLogger()
    line, nothing = _Line(logging.WARNING), logging.NullHandler()
    ours.addHandler(line)
    # Without any handler, Python (and open_clip, by `logging.info`) would set one up for stderr.
    root.addHandler(nothing)
    try:
        yield
    finally:
        ours.removeHandler(line)
        root.removeHandler(nothing)


class _Line(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        line = Text("warning: ", style="magenta")
        line.append(printable(" ".join(record.getMessage().split())), style="default")
        stderr().print(line, soft_wrap=True)
