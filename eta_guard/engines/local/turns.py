"""Turns: who may run a model, one request at a time, in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque

from eta_guard.cancellation import checkpoint


class Turns:
    """A lock that is fair, and that is handed on between two steps.

    A lock of the standard library goes to whoever happens to be quickest, which is the one that
    has just let go of it: a short answer would wait for all the long ones. The same thread may
    enter again while it holds it.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._line: deque[tuple[int, threading.Event]] = deque()

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._changing:
            if self._owner in (None, me):
                self._owner, self._depth = me, self._depth + 1
                return
            called = threading.Event()
            self._line.append((me, called))
        self._wait(me, called)
        try:
            checkpoint()  # who has given up meanwhile holds nobody up
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._changing:
            if self._owner != threading.get_ident():  # interrupted while others were let through
                return
            self._depth -= 1
            if not self._depth:
                self._call_next()

    def let_others(self) -> None:
        """Lets everyone who waits run first; at once if nobody does.

        Raises:
            Cancelled: Nobody waits for this request any more.
        """
        me = threading.get_ident()
        with self._changing:
            depth, waits = self._depth, bool(self._line)
            if waits:
                called = threading.Event()
                self._line.append((me, called))
                self._call_next()
        if waits:
            self._wait(me, called)
            self._depth = depth
        checkpoint()

    def _wait(self, me: int, called: threading.Event) -> None:
        try:
            called.wait()
        except BaseException:  # an interrupt: whoever left the line must not be called
            with self._changing:
                if (me, called) in self._line:
                    self._line.remove((me, called))
                else:
                    self._call_next()
            raise

    def _call_next(self) -> None:
        self._owner, self._depth = None, 0
        if self._line:
            self._owner, called = self._line.popleft()
            self._depth = 1
            called.set()
