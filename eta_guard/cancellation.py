"""Whether the work for a request is still wanted.

Whoever waits may give up: a task is cancelled, a stream closed, a time limit reached. What runs in
a thread cannot be stopped from outside, and knows nothing of who asks; so it looks, between two
steps, whether the scope that it was begun in was cancelled. The scope is found through the context,
as counts are. Names are those of Trio and AnyIO.
"""

from __future__ import annotations

from contextvars import ContextVar, Token


class Cancelled(BaseException):
    """Nobody waits for this any more.

    Like ``asyncio.CancelledError`` it is no ``Exception``: what treats failures is not to treat it
    as one, and go on.
    """


class CancelScope:
    """What is begun within it can be given up, from anywhere.

    Example:
        >>> with CancelScope() as scope:
        ...     begin(work, copy_context())
        >>> scope.cancel()
    """

    def __init__(self) -> None:
        self._around: CancelScope | None = None
        self._cancelled = False
        self._token: Token[CancelScope | None] | None = None

    def __enter__(self) -> CancelScope:
        self._around = _scope.get()
        self._token = _scope.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _scope.reset(self._token)

    def cancel(self) -> None:
        """Gives up; the work ends at its next checkpoint."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether it was given up, or a scope around it."""
        return self._cancelled or (self._around is not None and self._around.cancelled)


_scope: ContextVar[CancelScope | None] = ContextVar("eta_guard_cancel_scope", default=None)


def checkpoint() -> None:
    """Is called between two steps of long work.

    Raises:
        Cancelled: The scope around was given up.
    """
    scope = _scope.get()
    if scope is not None and scope.cancelled:
        raise Cancelled
