"""Sending a request once more to a server that was busy, or whose connection broke."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from eta_guard.steps import Steps, ask

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_WAIT = 0.25
"""Seconds before a request is sent again for the first time; twice as many each further time."""
LONGEST_WAIT = 8.0
"""Seconds, also where the server asks for more (``Retry-After``)."""
BUSY = frozenset({429, 503})
"""Statuses by which a server, or what stands before it, says that it takes no more just now."""


class TryAgainError(Exception):
    """A request failed in a way that may pass, and nothing of an answer has come.

    Args:
        error: What is raised once there is no further try.
        after: Seconds that the server asks to wait for.
    """

    def __init__(self, error: Exception, after: float | None = None) -> None:
        super().__init__(type(error).__name__)
        self.error, self.after = error, after


class _Pause:
    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    async def arest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Retries:
    """How often, and how long, a request is sent again."""

    most: int
    """Beside the first time."""
    within: float
    """Seconds from the first time on, after which it is not sent any more."""

    def persistently(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        """Has a method asked again as long as it raises ``TryAgainError``.

        The waits grow, with chance in them: those who were sent away together do not come back
        together.
        """
        begun = time.monotonic()
        for number in range(self.most + 1):
            try:
                return (yield from ask(method, *args, **kwargs))
            except TryAgainError as again:
                failure = again
            wait = min(failure.after or _wait(number), LONGEST_WAIT)
            if number == self.most or time.monotonic() + wait > begun + self.within:
                break
            logger.info("A server is asked again in %.2f s (%s).", wait, failure)
            yield from ask(_Pause().rest, wait)
        raise failure.error


def _wait(number: int) -> float:
    return FIRST_WAIT * 2.0**number * random.uniform(0.5, 1.0)
