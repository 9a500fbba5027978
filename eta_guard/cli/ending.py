"""How a command ends: an exit code and, where something is wrong, one line on stderr."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import typer
from rich.text import Text

from eta_guard.cli.console import printable, stderr
from eta_guard.errors import EngineError, EtaGuardError

DEBUG = "ETA_GUARD_DEBUG"
"""Environment variable that brings the traceback of a fault of the program back."""

FAULT, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141

# Typer carries a click of its own from some release on; this is the right class in either case.
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])


@dataclass
class Ending:
    """How it ended."""

    code: int = 0


@contextmanager
def ending() -> Iterator[Ending]:
    """Turns whatever stops the work within into a line on stderr and an exit code."""
    end = Ending()
    try:
        yield end
        sys.stdout.flush()  # a full disk shows here at the latest
    except BaseException as error:
        end.code = _end(error)


def _end(error: BaseException) -> int:
    """Says what is wrong, and returns the exit code."""
    if isinstance(error, SystemExit):  # rich's and typer's way out of a broken pipe
        _drop_output()
        return BROKEN_PIPE if error.code == 1 else int(error.code or 0)
    if isinstance(error, BrokenPipeError):
        _drop_output()
        return BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    broken = isinstance(error, EngineError) and error.__cause__ is not None
    if isinstance(error, EtaGuardError) and not broken:
        return say_error(error.message, error.hint)
    if isinstance(error, _UsageError):
        return say_error(cast(Any, error).format_message(), _see_help(error))
    if isinstance(error, OSError):
        return _end_os_error(error)
    if os.environ.get(DEBUG) or not isinstance(error, Exception):
        raise error
    cause = error.__cause__ if broken and error.__cause__ else error
    what = f"{type(cause).__name__}: {cause}".removesuffix(": ")
    say_error(f"This should not have happened ({what})", f"Set {DEBUG}=1 to see where.")
    return FAULT


def _end_os_error(error: OSError) -> int:
    """What the commands read has errors of its own: one that is left over is about the output."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return say_error(f"{error.filename}: {reason}", "Check the path and its permissions.")
    _drop_output()
    hint = "Free some space there" if error.errno == errno.ENOSPC else "Send it somewhere else"
    return say_error(f"The output cannot be written ({reason})", f"{hint} and try again.")


def say_error(message: str, hint: str) -> int:
    """Prints one line, however long, and returns the exit code of bad input."""
    message, hint = (printable(" ".join(text.split())) for text in (message, hint))
    line = Text("error: ", style="red")
    line.append(message if message.endswith((".", "!", "?")) else f"{message}.", style="default")
    line.append(f" {hint}", style="default")
    with suppress(OSError):  # with stderr gone as well, the exit code has to do
        stderr().print(line, soft_wrap=True)
    return BAD_INPUT


def _see_help(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "eta-guard"
    return f"Run `{command} --help`."


def prepare_output() -> None:
    """Finds out, before any work is done, whether there is a place for its result.

    Raises:
        OSError: Standard output is closed.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        # A terminal that has no ✓ gets a ?, not a traceback: a word stands beside every symbol.
        reconfigure(errors="replace")


def _drop_output() -> None:
    """Lets go of what could not be written, so that Python's own flush at exit does not fail."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
