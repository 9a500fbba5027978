"""Chunks of a provider that are more than words wait for the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from pydantic import Field

from tests.chat_fakes import FakeChat
from tests.fakes import SAFE, UNSAFE, image_block, question, verdict_of
from tests.middleware.agents import middleware

PICTURE = image_block(UNSAFE)["base64"]
URL = f"data:image/png;base64,{PICTURE}"
CALL: Any = {
    "name": "wipe",
    "args": '{"at": "disk"}',
    "id": "c1",
    "index": 0,
    "type": "tool_call_chunk",
}


class Chunked(FakeChat):
    chunks: list[Any] = Field(default_factory=list)
    disable_streaming: Any = False

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if any(isinstance(message, ToolMessage) for message in messages):
            yield ChatGenerationChunk(message=AIMessageChunk(content="Done."))
            return
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk.model_copy())


PICTURES: dict[str, AIMessageChunk] = {
    "block": AIMessageChunk(content=[{**image_block(UNSAFE), "index": 1}]),
    "Responses, as it is by default": AIMessageChunk(
        content="",
        additional_kwargs={
            "tool_outputs": [{"type": "image_generation_call", "id": "ig_1", "result": PICTURE}]
        },
    ),
    "Responses, v1": AIMessageChunk(
        content=[{"type": "image_generation_call", "id": "ig_1", "result": PICTURE, "index": 1}]
    ),
    "beside a text": AIMessageChunk(
        content=[
            {
                "type": "text",
                "text": "x",
                "image_url": f"data:image/png;base64,{PICTURE}",
                "index": 1,
            }
        ]
    ),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize(
    "messages", [[question(SAFE)], [HumanMessage("Draw.")]], ids=["safe image", "no image"]
)
def test_no_picture_is_seen_and_no_call_carried_out_before_all_is_evaluated(
    picture: AIMessageChunk, messages: list[Any]
) -> None:
    ran: list[str] = []

    @tool
    def wipe(at: str) -> str:
        """Wipes."""
        ran.append(at)
        return "done"

    chunks = [
        AIMessageChunk(content=[{"type": "text", "text": "See: ", "index": 0}]),
        AIMessageChunk(content="", tool_call_chunks=[CALL]),
        picture,
    ]
    made = create_agent(Chunked(chunks=chunks), tools=[wipe], middleware=[middleware()])
    given: Any = {"messages": messages}
    events: list[Any] = list(made.stream(given, stream_mode=["messages", "values"]))
    last: Any = [value for mode, value in events if mode == "values"][-1]["messages"][-1]
    assert ran == []
    assert last.tool_calls == []
    assert verdict_of(last).decision in ("refused", "aligned")
    shown = repr([value for mode, value in events if mode == "messages"]) + repr(last)
    assert "See: " in shown
    assert PICTURE not in shown


def test_words_do_not_wait() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "A" * 300, "index": 0}
    chunks = [
        AIMessageChunk(content=[thinking], response_metadata={"model_provider": "anthropic"}),
        *(
            AIMessageChunk(
                content=[{"type": "text", "text": f"word{n} ", "index": 1}],
                response_metadata={"model_provider": "anthropic"},
            )
            for n in range(5)
        ),
    ]
    made = create_agent(Chunked(chunks=chunks), middleware=[middleware()])
    given: Any = {"messages": [question(SAFE)]}
    events: Any = made.stream(given, stream_mode="messages")
    seen = [chunk for chunk, _ in events]
    assert [one.text for one in seen if one.text] == [f"word{n} " for n in range(5)]
    whole = sum(seen[1:], seen[0])
    assert [block["type"] for block in whole.content_blocks] == ["reasoning", "text"]
