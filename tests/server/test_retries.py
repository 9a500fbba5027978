"""A request is sent again while nothing of an answer has come, and never after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from eta_guard.errors import EngineError, EvaluationError
from eta_guard.evaluators.model_server import ModelServer, Request
from eta_guard.server import retries
from eta_guard.server.retries import Retries, TryAgainError
from eta_guard.steps import adrive, drive
from tests.engines.vllm.server import DRAFT, Body, PlayedServer, refuses, sse
from tests.engines.vllm.sessions import opened
from tests.evaluators import played_server

Failure = Callable[[], httpx.Response]


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited."""
    found: list[float] = []

    async def arest(self: Any, seconds: float) -> None:
        found.append(seconds)

    def rest(self: Any, seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(retries._Pause, "rest", rest)
    monkeypatch.setattr(retries._Pause, "arest", arest)
    return found


def raising(error: Exception) -> Failure:
    def fails() -> httpx.Response:
        raise error

    return fails


def breaking(*events: Any) -> Failure:
    def pieces() -> Iterator[bytes]:
        yield from map(sse, events)
        raise httpx.ReadError("reset")

    return lambda: httpx.Response(200, stream=Body(pieces()))


def told(content: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}


PASSING: dict[str, Failure] = {
    "busy": lambda: refuses("Too many.", 503),
    "rate": lambda: refuses("Too many.", 429),
    "refused": raising(httpx.ConnectError("refused")),
    "gone": raising(httpx.RemoteProtocolError("disconnected")),
}


def failing(times: int, failure: Failure, **settings: Any) -> PlayedServer:
    left = times

    def fails(request: httpx.Request) -> httpx.Response | None:
        nonlocal left
        if request.method == "GET" or not left:
            return None
        left -= 1
        return failure()

    return PlayedServer(fails=fails, **settings)


async def answered(server: PlayedServer, ways: str, most: int) -> str:
    engine_of = server.engine
    server.engine = lambda **settings: engine_of(retries=most, **settings)  # type: ignore[method-assign]
    session = opened(server)
    return (await session.aanswer() if ways == "async" else session.answer()).text


def posts(server: PlayedServer) -> int:
    return sum(one.method == "POST" for one in server.requests)


@pytest.mark.parametrize("ways", ["sync", "async"])
@pytest.mark.parametrize("name", [*PASSING, "breaks before the first token"])
async def test_what_passes_is_tried_again(name: str, ways: str, waited: list[float]) -> None:
    failure = PASSING.get(name) or breaking(told(""))
    server = failing(2, failure)
    assert await answered(server, ways, 3) == DRAFT
    assert posts(server) == 3
    assert waited[0] <= 0.25 <= 2 * waited[1] <= 1.0


@pytest.mark.parametrize("ways", ["sync", "async"])
async def test_after_the_first_token_nothing_is(ways: str, waited: list[float]) -> None:
    server = failing(1, breaking(told("One")))
    with pytest.raises(EngineError, match="ended before"):
        await answered(server, ways, 3)
    assert (posts(server), waited) == (1, [])


@pytest.mark.parametrize("ways", ["sync", "async"])
@pytest.mark.parametrize(
    "failure", [lambda: refuses("Wrong.", 400), raising(httpx.ReadTimeout("slow"))]
)
async def test_what_will_not_pass_is_not(failure: Failure, ways: str, waited: list[float]) -> None:
    server = failing(1, failure)
    with pytest.raises(EngineError):
        await answered(server, ways, 3)
    assert (posts(server), waited) == (1, [])


@pytest.mark.parametrize("ways", ["sync", "async"])
async def test_tries_are_bounded_and_the_last_error_is_told(ways: str) -> None:
    server = failing(9, PASSING["busy"])
    with pytest.raises(EngineError, match="status 503: Too many"):
        await answered(server, ways, 2)
    assert posts(server) == 3


def test_the_server_says_how_long_to_wait_within_bounds(waited: list[float]) -> None:
    after = iter(["3", "3600", "tomorrow"])

    def fails(request: httpx.Request) -> httpx.Response | None:
        head = {"retry-after": value} if (value := next(after, None)) else {}
        return httpx.Response(429, headers=head) if head else None

    played = played_server.PlayedServer(lambda *_: {})
    client = httpx.Client(transport=httpx.MockTransport(lambda r: fails(r) or played.handle(r)))
    server = ModelServer("http://vllm.test", "guard", client=client)
    assert server.ask([Request("/", {})]) == [{}]
    assert waited[:2] == [3.0, retries.LONGEST_WAIT]
    assert 0.5 <= waited[2] <= 1.0


def test_nothing_is_sent_again_after_its_time(waited: list[float]) -> None:
    asked = 0

    def busy() -> None:
        nonlocal asked
        asked += 1
        raise TryAgainError(EvaluationError("Busy.", hint="Wait."), after=2.0)

    with pytest.raises(EvaluationError):
        drive(Retries(5, within=1.0).persistently(busy))
    assert (asked, waited) == (1, [])


@pytest.mark.parametrize("name", PASSING)
async def test_evaluators_on_a_server_are_asked_again_as_well(name: str) -> None:
    for ways in ("sync", "async"):
        left = 2

        def plays(path: str, body: Any) -> Any:
            nonlocal left
            left -= 1
            return {} if left < 0 else PASSING[name]()

        played = played_server.PlayedServer(plays)
        server = ModelServer("http://vllm.test", "guard", **played.clients)
        request = [Request("/", {})]
        found = await server.aask(request) if ways == "async" else server.ask(request)
        assert found == [{}]
        assert len(played.requests) == 3


async def test_a_cancelled_wait_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def arest(self: Any, seconds: float) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(retries._Pause, "arest", arest)
    server = failing(9, PASSING["busy"])
    task = asyncio.create_task(answered(server, "async", 3))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert posts(server) == 1


async def test_an_answer_that_trickles_is_not_waited_for_for_ever() -> None:
    def trickles() -> Iterator[bytes]:
        while True:
            yield b" "

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                await asyncio.sleep(0.01)
                yield b" "

    def sync(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=trickles())

    def slow(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Slow())

    with httpx.Client(transport=httpx.MockTransport(sync)) as client:
        async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as async_client:
            server = ModelServer(
                "http://vllm.test", "guard", timeout=0.1, client=client, async_client=async_client
            )
            for found in (server.ask([Request("/", {})]), await server.aask([Request("/", {})])):
                assert "does not answer" in str(found[0])


def test_the_driver_of_coroutines_tries_as_often() -> None:
    left = [TryAgainError(EvaluationError("Busy.", hint="Wait."))] * 2

    def asked() -> str:
        if left:
            raise left.pop()
        return "told"

    assert asyncio.run(adrive(Retries(2, within=60).persistently(asked))) == "told"
