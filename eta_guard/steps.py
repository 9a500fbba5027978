"""What a node does, written once for requests that are synchronous and asynchronous.

A node is a generator: it yields what it wants asked (of an engine, an evaluator, the reader of
images), is sent the answer, and decides. A driver asks. ``drive`` calls; ``adrive`` awaits the
method's asynchronous form, by the same name with an ``a`` before it, where the part has one, and
calls the others in a thread, so that nothing that computes or waits holds the event loop up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic
from typing import Any, ParamSpec, TypeAlias, TypeVar

from eta_guard.cancellation import CancelScope
from eta_guard.errors import DeadlineExceededError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """One thing that a node wants asked."""

    method: Callable[..., Any] = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)

    def synchronously(self) -> Any:
        """Asks, and waits for the answer."""
        return self.method(*self.args, **self.kwargs)

    async def asynchronously(self) -> Any:
        """Asks without holding up the event loop."""
        if (form := self._form) is not None:
            return await form(*self.args, **self.kwargs)
        with CancelScope() as scope:
            try:
                # A copy of the context goes along: what is counted in the thread counts for the
                # request, and a scope that is given up here is given up there.
                return await asyncio.to_thread(self._in_thread)
            except asyncio.CancelledError:
                scope.cancel()
                raise

    def _in_thread(self) -> Any:
        try:
            return self.synchronously()
        except StopIteration as error:  # asyncio cannot hand it on, and would wait for ever
            raise RuntimeError("StopIteration was raised") from error

    @property
    def _form(self) -> Callable[..., Awaitable[Any]] | None:
        """The method's asynchronous form; None where its part has none."""
        part = getattr(self.method, "__self__", None)
        if part is None:
            return None
        found: Callable[..., Awaitable[Any]] | None = getattr(
            part, f"a{self.method.__name__}", None
        )
        return found


@dataclass(frozen=True)
class Together:
    """Several things that a node wants done at the same time."""

    several: tuple[Steps[Any], ...] = field(repr=False)

    def synchronously(self) -> list[Any]:
        """Does each in a thread of its own."""
        with ThreadPoolExecutor(len(self.several)) as pool:
            begun = [pool.submit(copy_context().run, drive, steps) for steps in self.several]
            return [one.result() for one in begun]

    async def asynchronously(self) -> list[Any]:
        """Does each in a task of its own."""
        return list(await asyncio.gather(*map(adrive, self.several)))


@dataclass(frozen=True)
class Until:
    """Something that a node wants asked, and for which it waits no longer than until a moment."""

    wanted: Ask | Together | Until = field(repr=False)
    deadline: float
    """By ``time.monotonic()``."""

    def synchronously(self) -> Any:
        """Asks in a thread, which is left to itself once the time is over.

        Raises:
            DeadlineExceededError: It is.
        """
        seconds = self._left()
        answer: Future[Any] = Future()

        def work() -> None:
            try:
                answer.set_result(self.wanted.synchronously())
            except BaseException as error:  # it belongs to the one who asks
                answer.set_exception(error)

        with CancelScope() as scope:
            # Not of a pool: Python waits at its own end for all that a pool has begun.
            Thread(target=copy_context().run, args=(work,), daemon=True).start()
            try:
                return answer.result(seconds)
            except TimeoutError as error:
                scope.cancel()
                if answer.done():  # a limit of its own, or at the last moment
                    return answer.result()
                raise DeadlineExceededError from error
            except BaseException:  # an interrupt
                scope.cancel()
                raise

    async def asynchronously(self) -> Any:
        """Asks, and cancels what is not answered in time.

        Raises:
            DeadlineExceededError: It was not.
        """
        limit = asyncio.timeout(self._left())
        try:
            async with limit:
                return await self.wanted.asynchronously()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceededError from error

    def _left(self) -> float:
        seconds = self.deadline - monotonic()
        if seconds <= 0:
            raise DeadlineExceededError
        return seconds


Steps: TypeAlias = Generator[Ask | Together | Until, Any, T]
"""Yields what to ask, is sent the answers, and returns what came of them."""


def ask(method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """Has one thing asked: a method, with its arguments; what it raises is raised here.

    Example:
        >>> answer = yield from ask(session.propose, 5, sampling)
    """
    answer: T = yield Ask(method, args, kwargs)
    return answer


def together(several: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Has several things done at the same time; what each returns, in their order."""
    if len(several) == 1:
        return [(yield from several[0])]
    found: list[T] = yield Together(tuple(several))
    return found


def until(deadline: float, steps: Steps[T]) -> Steps[T]:
    """Does as the steps do, but waits for nothing longer than until the deadline.

    Args:
        deadline: By ``time.monotonic()``.
        steps: In which ``DeadlineExceededError`` is then raised.
    """
    try:
        wanted = next(steps)
        while True:
            failure: BaseException | None = None
            try:
                answer = yield Until(wanted, deadline)
            except BaseException as error:
                failure = error
            wanted = steps.send(answer) if failure is None else steps.throw(failure)
    except StopIteration as end:
        value: T = end.value
        return value


def drive(steps: Steps[T]) -> T:
    """Asks one thing after the other, and returns what the steps return."""
    try:
        wanted = next(steps)
        while True:
            failure: BaseException | None = None
            try:
                answer = wanted.synchronously()
            except BaseException as error:  # the steps decide what becomes of it
                failure = error
            # Not within the handler: what the steps raise in its place would carry it along.
            wanted = steps.send(answer) if failure is None else steps.throw(failure)
    except StopIteration as end:
        value: T = end.value
        return value


async def adrive(steps: Steps[T]) -> T:
    """Does as ``drive`` without holding up the event loop.

    Where the request is cancelled, so is what is being asked; what runs in a thread ends at its
    next ``checkpoint``, and nobody hears of it.
    """
    try:
        wanted = next(steps)
        while True:
            failure: BaseException | None = None
            try:
                answer = await wanted.asynchronously()
            except BaseException as error:
                failure = error
            wanted = steps.send(answer) if failure is None else steps.throw(failure)
    except StopIteration as end:
        value: T = end.value
        return value
