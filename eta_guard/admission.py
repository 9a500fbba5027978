"""Admission: how many requests may be under way at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from eta_guard.errors import OverloadedError


class UnderWay:
    """Counts the requests that are under way; shared by all who share one engine."""

    def __init__(self) -> None:
        self.count = 0
        """How many there are at this moment."""
        self._changing = Lock()

    def __reduce__(self) -> tuple[type[UnderWay], tuple[()]]:
        # Who is copied or pickled serves nobody yet.
        return type(self), ()

    @contextmanager
    def one(self, max_waiting: int | None = None) -> Iterator[None]:
        """Counts one while a node of it runs; between two nodes nothing is waited for.

        Args:
            max_waiting: How many may be under way beside the one that is served, for a request that
                is about to begin; None: any number.

        Raises:
            OverloadedError: There are more.
        """
        with self._changing:
            if max_waiting is not None and self.count > max_waiting:
                raise OverloadedError(
                    f"{self.count} requests are under way, of which {max_waiting} may wait.",
                    hint="Ask again later, raise `max_waiting`, or add a replica.",
                )
            self.count += 1
        try:
            yield
        finally:
            with self._changing:
                self.count -= 1
