"""Whether the work for a request is still wanted.

Whoever waits may give up: a task is cancelled, a stream closed, a time limit reached. What runs in
a thread cannot be stopped from outside, and knows nothing of who asks; so it looks, between two
steps, whether the scope that it was begun in was cancelled. The scope is found through the context,
as counts are. Names are those of Trio and AnyIO.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Cancelled(BaseException):
    """Nobody waits for this any more.

    Like ``asyncio.CancelledError`` it is no ``Exception``: what treats failures is not to treat it
    as one, and go on.
    """


class CancelScope:
    """What is done within it can be given up, together with all that is begun there."""

    def __init__(self, around: CancelScope | None = None) -> None:
        self._around = around
        self._cancelled = False

    def cancel(self) -> None:
        """Gives up; the work ends at its next checkpoint."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether it was given up, or a scope around it."""
        return self._cancelled or (self._around is not None and self._around.cancelled)


_scope: ContextVar[CancelScope | None] = ContextVar("eta_guard_cancel_scope", default=None)


def open_scope() -> CancelScope:
    """Opens a scope for the rest of the current context, within the one that is open there."""
    scope = CancelScope(_scope.get())
    _scope.set(scope)
    return scope


@contextmanager
def cancel_scope() -> Iterator[CancelScope]:
    """Opens a scope for a block."""
    scope = CancelScope(_scope.get())
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def checkpoint() -> None:
    """Is called between two steps of long work.

    Raises:
        Cancelled: The scope around was given up.
    """
    scope = _scope.get()
    if scope is not None and scope.cancelled:
        raise Cancelled
