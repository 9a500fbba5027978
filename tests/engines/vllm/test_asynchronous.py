from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage

from eta_guard import EtaGuard, GuardPolicy
from eta_guard.counts import counting
from eta_guard.protocols import Generation
from eta_guard.request.conversation import read_conversation
from tests.engines.vllm.server import PlayedServer
from tests.engines.vllm.sessions import PREFIX, SAMPLING, opened, saying
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question, scoring

POLICY = GuardPolicy(candidates=3)


def guarded(server: PlayedServer, **settings: Any) -> EtaGuard:
    scores = scoring(candidates=lambda text: float(len(text) % 7))
    return EtaGuard(
        engine=server.engine(**settings),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(scores),
        policy=POLICY,
    )


def requests(count: int) -> list[list[HumanMessage]]:
    """By turns flagged and safe, each with words of its own."""
    kinds = (UNSAFE, SAFE)
    return [[question(kinds[number % 2], text=f"Thing {number}?")] for number in range(count)]


async def test_a_session_draws_the_same_in_both_ways() -> None:
    server, other = PlayedServer(), PlayedServer()
    with counting() as spent:
        here = opened(server, HumanMessage("So?"))
        found: list[Any] = [here.answer()]
        here.prefill(PREFIX)
        found.append(here.propose(3, SAMPLING))
        here.accept(1)
        found.append(here.finish())
    with counting() as spent_too:
        there = opened(other, HumanMessage("So?"))
        again: list[Any] = [await there.aanswer()]
        await there.aprefill(PREFIX)
        again.append(await there.apropose(3, SAMPLING))
        await there.aaccept(1)
        again.append(await there.afinish())
    assert found == again
    assert server.bodies == other.bodies
    assert spent == spent_too


async def test_a_watch_is_told_off_the_event_loop() -> None:
    """It may score what it is told, and the loop would wait for that."""
    told: list[tuple[str, bool]] = []
    loop_thread = threading.current_thread()

    def watch(text: str) -> bool:
        told.append((text, threading.current_thread() is loop_thread))
        return text.endswith("two")

    completion = await opened(saying("One two three four.")).aanswer(watch)
    assert completion.text == "One two"
    assert told == [("One", False), ("One two", False)]


async def test_64_requests_wait_on_one_event_loop_without_a_thread_each() -> None:
    """Each stream waits until all have begun, and then until no thread is left of a request."""
    count, workers = 64, 2
    begun, all_there = 0, asyncio.Event()

    async def waits() -> None:
        nonlocal begun
        begun += 1
        if begun == count:
            while threading.active_count() > before + workers:  # beside the graph's executor
                await asyncio.sleep(0.01)
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 60)

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(workers))
    before = threading.active_count()
    guard = guarded(PlayedServer(waits=waits))
    replies = await asyncio.gather(*(guard.ainvoke(one) for one in requests(count)))
    assert all(reply.text for reply in replies)
    assert all_there.is_set()


async def test_32_requests_with_16_in_flight_say_what_they_say_one_after_another() -> None:
    guard, given = guarded(PlayedServer()), list(enumerate(requests(32)))
    alone = [guard.invoke(one, seed=seed).text for seed, one in given]
    places = asyncio.Semaphore(16)

    async def asked(seed: int, one: Any) -> str:
        async with places:
            return str((await guard.ainvoke(one, seed=seed)).text)

    together = await asyncio.gather(*(asked(*one) for one in given))
    assert list(together) == alone
    assert len(set(alone)) == 16 + 1  # each search, and the plain answer to what is safe


def test_an_engine_serves_one_event_loop_after_another() -> None:
    made: list[httpx.AsyncClient] = []
    server = PlayedServer()
    engine = server.engine(async_client=None)

    def make() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(server.handle)))
        return made[-1]

    engine._connection._of_loops._make = make
    given = read_conversation([HumanMessage("So?")])

    async def several() -> list[str]:
        asking = (engine.open(given, Generation()).aanswer() for _ in range(4))
        return [one.text for one in await asyncio.gather(*asking)]

    texts = [asyncio.run(several()) for _ in range(3)]
    assert len({text for each in texts for text in each}) == 1
    # One each, and closed with its loop.
    assert [client.is_closed for client in made] == [True] * 3


async def test_a_cancelled_request_closes_its_stream_at_once() -> None:
    streaming, never = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        if server.streams[-1].sent == 3:
            streaming.set()
            await never.wait()

    server = PlayedServer(waits=waits)
    guard = guarded(server)
    task = asyncio.create_task(guard.ainvoke([question(UNSAFE)]))
    await streaming.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (stream,) = server.streams
    assert stream.closed
    assert stream.sent == 3
    server.waits = None
    assert (await guard.ainvoke([question(UNSAFE)])).text


async def test_the_fingerprint_is_asked_for_off_the_event_loop() -> None:
    asked: list[bool] = []
    loop_thread = threading.current_thread()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            asked.append(threading.current_thread() is loop_thread)
        return server.handle(request)

    server = PlayedServer()
    client = httpx.Client(transport=httpx.MockTransport(handle))
    # To make a guard looks at the engine's fingerprint, up to Python 3.11.
    guard = await asyncio.to_thread(guarded, server, client=client)
    reply = await guard.ainvoke([question(SAFE)])
    assert reply.response_metadata["eta_guard"]["models"]["chat_model"] == "llava (org/llava-7b)"
    assert asked == [False]
