"""max_waiting: past it an error at once, and no queue that grows for ever."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from eta_guard.errors import OverloadedError
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Watch
from tests.fakes import SAFE, FakeEngine, FakeImages, FakeResponses, FakeSession, question

WAITING = 3


class Held(FakeSession):
    """Answers once it is let go."""

    def answer(self, watch: Watch | None = None) -> Completion:
        engine: Any = self.engine
        engine.begun.release()
        engine.free.wait(30)
        return super().answer(watch)


class Engine(FakeEngine):
    def open(self, conversation: Any, generation: Any) -> Held:
        return Held(self, generation)


@pytest.fixture
def guard() -> Iterator[EtaGuard]:
    engine: Any = Engine()
    engine.begun, engine.free = threading.Semaphore(0), threading.Event()
    yield EtaGuard(
        engine=engine,
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(),
        max_waiting=WAITING,
    )
    engine.free.set()


def begun(guard: EtaGuard, number: int) -> None:
    engine: Any = guard.engine
    for _ in range(number):
        assert engine.begun.acquire(timeout=30)


def test_one_more_than_may_wait_is_an_error_at_once(guard: EtaGuard) -> None:
    engine: Any = guard.engine
    tenant = guard.with_policy(GuardPolicy(name="tenant"))
    with ThreadPoolExecutor(WAITING + 1) as pool:
        asked = [pool.submit(guard.invoke, [question(SAFE)]) for _ in range(WAITING + 1)]
        begun(guard, WAITING + 1)
        graph: Any = guard.graph
        for one_more in (
            lambda: guard.invoke([question(SAFE)]),
            lambda: list(guard.stream([question(SAFE)])),
            lambda: graph.invoke({"messages": [question(SAFE)]}),
            lambda: asyncio.run(guard.ainvoke([question(SAFE)])),
            lambda: tenant.invoke([question(SAFE)]),
            lambda: guard.evaluate([question(SAFE)]),
        ):
            with pytest.raises(OverloadedError, match="4 requests are under way"):
                one_more()
        engine.free.set()
        assert all(isinstance(one.result(), AIMessage) for one in asked)
    assert tenant.invoke([question(SAFE)]).text  # there is room again


def test_errors_and_cancelled_requests_leave_room(guard: EtaGuard) -> None:
    guard.engine.free.set()  # type: ignore[attr-defined]
    for _ in range(2 * WAITING):
        with pytest.raises(ValueError, match="messages"):
            guard.invoke([])

    async def cancelled() -> None:
        tasks = [asyncio.create_task(guard.ainvoke([question(SAFE)])) for _ in range(WAITING)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(cancelled())
    assert guard._under_way.count == 0
    assert guard.invoke([question(SAFE)]).text


def test_a_copy_counts_for_itself(guard: EtaGuard) -> None:
    with guard._under_way.one():
        assert copy.deepcopy(guard._under_way).count == 0
        assert guard.with_policy(GuardPolicy())._under_way.count == 1


@pytest.mark.parametrize("wrong", [-1, 1.5])
def test_the_number_is_checked(wrong: float) -> None:
    with pytest.raises(ValueError, match="max_waiting"):
        EtaGuard(
            engine=FakeEngine(),
            image_evaluator=FakeImages(),
            response_evaluator=FakeResponses(),
            max_waiting=wrong,
        )
