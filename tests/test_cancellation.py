"""Whoever goes away: the work for them stops within a step, and nobody waits for it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eta_guard.cancellation import Cancelled, CancelScope, checkpoint
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.guard import EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.policy import GuardPolicy
from tests.engines.local.tiny import llava
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question

LONG = 300
REQUESTS = 12


class Forwards:
    """Which thread ran each forward of the model, in order."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.wanted: list[tuple[int, Callable[[], object]]] = []

    def __call__(self, *_: object) -> None:
        self.threads.append(threading.get_ident())
        for number, tell in self.wanted:
            if len(self.threads) == number:
                tell()

    def reached(self, number: int) -> asyncio.Event:
        """Is set once there were so many."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        self.wanted.append((number, lambda: loop.call_soon_threadsafe(event.set)))
        return event


@contextmanager
def counted(engine: LocalEngine) -> Iterator[Forwards]:
    forwards = Forwards()
    handle = engine.model.register_forward_pre_hook(forwards)
    try:
        yield forwards
    finally:
        handle.remove()


@pytest.fixture(params=["tree", "batch"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    made = LocalEngine(*llava())
    made._shares_a_row = request.param == "tree"
    return made


def guard(engine: LocalEngine, **policy: Any) -> EtaGuard:
    rules = {"max_tokens": LONG, "max_sentence_tokens": 20, "alpha": 0.0, **policy}
    evaluators = {
        "image_evaluator": FakeImages(),
        "response_evaluator": FakeResponses(lambda *_: 0.0),
    }
    return EtaGuard(engine=engine, policy=GuardPolicy(**rules), **evaluators)


def test_a_scope_ends_what_was_begun_in_it_and_within_scopes_inside() -> None:
    checkpoint()
    with CancelScope() as outer:
        with CancelScope() as inner:
            inner.cancel()
            with pytest.raises(Cancelled):
                checkpoint()
        checkpoint()
        with CancelScope():
            outer.cancel()
            with pytest.raises(Cancelled):
                checkpoint()
    checkpoint()


@pytest.mark.parametrize("score", [SAFE, UNSAFE], ids=["safe", "flagged"])
async def test_cancelled_requests_keep_nobody_waiting(engine: LocalEngine, score: float) -> None:
    whole = guard(engine)
    with counted(engine) as forwards:
        under_way = forwards.reached(20)
        tasks = [asyncio.create_task(whole.ainvoke([question(score)])) for _ in range(REQUESTS)]
        await under_way.wait()
        for task in tasks:
            task.cancel()
        done = len(forwards.threads)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)
        reply = await guard(engine, max_tokens=4).ainvoke([question(SAFE)])
        # Of all that were cancelled a single one can have been within a step.
        own = reply.response_metadata["eta_guard"]["counts"]["vlm_forwards"]
        assert len(forwards.threads) - done <= own + 1


async def test_the_unguarded_model_stops_as_well(engine: LocalEngine) -> None:
    model = ChatLocalVLM(engine=engine, max_tokens=LONG)
    short = ChatLocalVLM(engine=engine, max_tokens=4)
    with counted(engine) as forwards:
        under_way = forwards.reached(20)
        tasks = [asyncio.create_task(model.ainvoke([question(SAFE)])) for _ in range(3)]
        await under_way.wait()
        for task in tasks:
            task.cancel()
        done = len(forwards.threads)
        await asyncio.gather(*tasks, return_exceptions=True)
        await short.ainvoke([question(SAFE)])
        assert len(forwards.threads) <= done + 1 + 5

        stream: Any = model.stream([question(SAFE)])
        next(stream)
        stream.close()
        done = len(forwards.threads)
        await short.ainvoke([question(SAFE)])
        assert len(forwards.threads) <= done + 5


def test_a_stream_that_is_closed_ends_the_work(engine: LocalEngine) -> None:
    stream: Any = guard(engine).stream([question(SAFE)])
    with counted(engine) as forwards:
        next(stream)
        stream.close()
        assert len(forwards.threads) < LONG // 2
        done = len(forwards.threads)
        guard(engine, max_tokens=4).invoke([question(SAFE)])
        assert len(forwards.threads) <= done + 5


@pytest.mark.parametrize("form", ["model", "graph"])
async def test_an_asynchronous_stream_that_is_closed(engine: LocalEngine, form: str) -> None:
    whole = guard(engine)
    with counted(engine) as forwards:
        stream: Any = (
            whole.astream([question(SAFE)])
            if form == "model"
            else whole.graph.astream({"messages": [question(SAFE)]}, stream_mode="messages")
        )
        await anext(stream)
        await stream.aclose()
        await guard(engine, max_tokens=4).ainvoke([question(SAFE)])
        # LangChain leaves it to the event loop to close the generator that it asks.
        assert len(forwards.threads) < LONG // 4


def test_a_safe_request_waits_for_steps_of_flagged_ones_not_for_their_answers(
    engine: LocalEngine,
) -> None:
    flagged, safe = guard(engine), guard(engine, max_tokens=12)
    begun = threading.Event()
    with counted(engine) as forwards:
        forwards.wanted.append((10, begun.set))
        scopes = [CancelScope() for _ in range(7)]

        def long(scope: CancelScope) -> None:
            with scope, pytest.raises(Cancelled):
                flagged.invoke([question(UNSAFE)])

        others = [threading.Thread(target=long, args=(scope,)) for scope in scopes]
        for other in others:
            other.start()
        begun.wait()
        safe.invoke([question(SAFE)])
        for scope in scopes:
            scope.cancel()
        for other in others:
            other.join()
    me = threading.get_ident()
    own = [place for place, thread in enumerate(forwards.threads) if thread == me]
    # After the prompt it is not in line until its answer is made ready.
    between = [
        forwards.threads[before + 1 : after] for before, after in itertools.pairwise(own[1:])
    ]
    assert sum(map(len, between)) > len(own), "the others were under way"
    # Nobody else has had two steps while this one waited for its next.
    assert all(len(set(waited)) == len(waited) for waited in between)
