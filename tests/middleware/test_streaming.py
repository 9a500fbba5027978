"""What streams through an agent: an answer that goes out in any case, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk

from tests.chat_fakes import FakeChat, says
from tests.fakes import SAFE, UNSAFE
from tests.middleware.agents import REPAIRED, asked, calling, look, middleware, run

pytestmark = pytest.mark.filterwarnings("ignore:The v3 streaming protocol")

WORDS = [f"word{number}" for number in range(22)]


def messages(made: Any, given: Any) -> Iterator[Any]:
    for chunk, _ in made.stream(given, stream_mode="messages"):
        yield chunk


def messages_async(made: Any, given: Any) -> Iterator[Any]:
    async def gather() -> list[Any]:
        return [chunk async for chunk, _ in made.astream(given, stream_mode="messages")]

    yield from run(gather())


def events(made: Any, given: Any) -> Iterator[Any]:
    async def gather() -> list[Any]:
        return [
            event["data"]["chunk"]
            async for event in made.astream_events(given, version="v2")
            if event["event"] == "on_chat_model_stream"
        ]

    yield from run(gather())


LOOKING: dict[str, Callable[[Any, Any], Iterator[Any]]] = {
    "messages": messages,
    "messages, async": messages_async,
    "events v2": events,
}
looking = pytest.mark.parametrize("look_at", LOOKING.values(), ids=LOOKING)


def chunks(look_at: Any, score: float, *, guarded: bool, **options: Any) -> list[AIMessageChunk]:
    model = options.pop("model", None) or FakeChat(
        script=says(" ".join(WORDS)), disable_streaming=False
    )
    guards: list[Any] = [middleware(**options.pop("settings", {}))] if guarded else []
    made = create_agent(model, middleware=guards, **options)
    return [one for one in look_at(made, asked(score)) if isinstance(one, AIMessageChunk)]


@looking
@pytest.mark.parametrize("tools", [[], [look]], ids=["alone", "tools bound"])
def test_the_answer_to_a_safe_image_streams_as_unguarded(look_at: Any, tools: Any) -> None:
    found = chunks(look_at, SAFE, guarded=True, tools=tools)
    plain = chunks(look_at, SAFE, guarded=False, tools=tools)
    said = [one.text for one in found if one.text]
    assert said == [one.text for one in plain if one.text]
    assert len(said) == len(WORDS)
    assert len({one.id for one in found}) == 1
    verdicts = [one.response_metadata["eta_guard"] for one in found if one.response_metadata]
    assert [verdict["decision"] for verdict in verdicts] == ["passed"]
    assert found[-1].response_metadata["eta_guard"] == verdicts[0]


def protocol(made: Any, given: Any) -> Iterator[Any]:
    with made.stream_events(given, version="v3") as stream:
        yield from stream


def protocol_async(made: Any, given: Any) -> Iterator[Any]:
    async def gather() -> list[Any]:
        async with await made.astream_events(given, version="v3") as stream:
            return [event async for event in stream]

    yield from run(gather())


@pytest.mark.parametrize("look_at", [protocol, protocol_async])
def test_the_blocks_of_events_v3_are_those_of_the_unguarded_answer(look_at: Any) -> None:
    def parts(guards: list[Any]) -> list[tuple[Any, ...]]:
        model = FakeChat(script=says(" ".join(WORDS)), disable_streaming=False)
        made = create_agent(model, middleware=guards)
        found = [
            event["params"]["data"][0]
            for event in look_at(made, asked(SAFE))
            if event["method"] == "messages"
        ]
        return [(one["event"], one.get("delta"), one.get("content")) for one in found]

    guarded = parts([middleware()])
    assert guarded == parts([])
    assert [event for event, *_ in guarded].count("content-block-delta") == len(WORDS)


@looking
def test_a_call_of_a_tool_streams_as_unguarded(look_at: Any) -> None:
    calls = FakeChat(script=says(calling(at="it")), disable_streaming=False)
    found, plain = (
        [
            call
            for one in chunks(
                look_at, SAFE, guarded=guarded, model=calls, tools=[look], interrupt_after=["model"]
            )
            for call in one.tool_call_chunks
        ]
        for guarded in (True, False)
    )
    assert found == plain
    assert len(found) == 1


@looking
@pytest.mark.parametrize("held", [True, False])
def test_a_repaired_answer_comes_as_far_as_it_is_judged(look_at: Any, held: bool) -> None:
    """A provider's candidate is a whole answer: there is nothing before its verdict."""
    settings = {"policy": {"on_unrepaired": "refuse" if held else "return"}}
    found = chunks(look_at, UNSAFE, guarded=True, model=FakeChat(), settings=settings)
    assert "".join(one.text for one in found) == REPAIRED
