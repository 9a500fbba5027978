"""One description of what to ask, and two ways to ask it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from eta_guard.counts import add, counting
from eta_guard.steps import Steps, adrive, ask, drive


@dataclass
class Part:
    asked: list[str] = field(default_factory=list)

    def double(self, number: int, *, plus: int = 0) -> int:
        self.asked.append("double")
        if number < 0:
            raise ValueError("negative")
        add("input_tokens", 1)
        return 2 * number + plus

    def where(self) -> int:
        return threading.get_ident()


class Networked(Part):
    async def adouble(self, number: int, *, plus: int = 0) -> int:
        self.asked.append("adouble")
        await asyncio.sleep(0)
        return 2 * number + plus


def steps(part: Part, number: int) -> Steps[int]:
    try:
        first = yield from ask(part.double, number, plus=1)
    except ValueError:
        first = 0
    second = yield from ask(part.double, first)
    return second + 1


@pytest.mark.parametrize("number", [3, -3])
async def test_both_drivers_come_to_the_same(number: int) -> None:
    part, other = Part(), Networked()
    expected = {3: 15, -3: 1}[number]
    assert drive(steps(part, number)) == expected
    assert await adrive(steps(Part(), number)) == expected
    if number > 0:
        assert await adrive(steps(other, number)) == expected
        assert other.asked == ["adouble", "adouble"]


async def test_what_has_no_asynchronous_form_leaves_the_loop_free() -> None:
    def place() -> Steps[int]:
        return (yield from ask(Part().where))

    assert await adrive(place()) != threading.get_ident()
    assert drive(place()) == threading.get_ident()


async def test_what_is_counted_in_a_thread_counts() -> None:
    with counting() as tally:
        await adrive(steps(Part(), 3))
    assert tally["input_tokens"] == 2


async def test_an_error_that_no_step_takes_goes_up() -> None:
    def fails() -> Steps[int]:
        return (yield from ask(Part().double, -1))

    with pytest.raises(ValueError, match="negative"):
        drive(fails())
    with pytest.raises(ValueError, match="negative"):
        await adrive(fails())


async def test_a_cancelled_request_cancels_what_is_asked() -> None:
    cancelled = asyncio.Event()

    class Slow:
        def answer(self) -> str:
            raise AssertionError

        async def aanswer(self) -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return "never"

    def waits() -> Steps[str]:
        return (yield from ask(Slow().answer))

    task = asyncio.create_task(adrive(waits()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
