"""All that a model wrote is evaluated before its message goes out, wherever it stands in it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, InvalidToolCall

from eta_guard.engines.chat_model.answers import completion
from eta_guard.protocols import Generation
from tests.chat_fakes import FakeChat, says
from tests.engines.chat_model.test_wrapped import guarded
from tests.fakes import UNSAFE, question, verdict_of

SAID = {"type": "text", "text": "Harmless."}
FILTERED: Any = {"finish_reason": "content_filter"}


def unparsed(words: str) -> Any:
    args = f'{{"at": "{words}'
    return [InvalidToolCall(type="invalid_tool_call", name="look", args=args, id="1", error=None)]


def of(provider: str) -> Any:
    return {"model_provider": provider}


def messages(words: str) -> dict[str, AIMessage]:
    thinking = {"type": "thinking", "thinking": words, "signature": "s"}
    code = {"type": "server_tool_use", "name": "code", "input": {"code": words}, "id": "2"}
    mcp = {"type": "mcp_call", "name": "look", "arguments": words, "output": "x", "id": "m"}
    summary = [{"type": "summary_text", "text": words}]
    reasoning = {"type": "reasoning", "id": "rs", "summary": summary}
    function = {"name": "look", "arguments": words}
    return {
        "thinking": AIMessage([thinking, SAID]),
        "thinking, Anthropic": AIMessage([thinking, SAID], response_metadata=of("anthropic")),
        "thinking, filtered": AIMessage([thinking], response_metadata=FILTERED),
        "reasoning, OpenAI": AIMessage([reasoning, SAID], response_metadata=of("openai")),
        "reasoning_content": AIMessage("Ok.", additional_kwargs={"reasoning_content": words}),
        "Bedrock": AIMessage([{"reasoningContent": {"text": words}}, SAID]),
        "unparsed call": AIMessage("Ok.", invalid_tool_calls=unparsed(words)),
        "unparsed call alone": AIMessage(
            "", invalid_tool_calls=unparsed(words), response_metadata=FILTERED
        ),
        "function_call": AIMessage("", additional_kwargs={"function_call": function}),
        "server's tool": AIMessage([SAID, code], response_metadata=of("anthropic")),
        "MCP, OpenAI": AIMessage([SAID, mcp], response_metadata=of("openai")),
        "MCP, unknown": AIMessage([SAID, mcp]),
        "refusal beside": AIMessage([SAID, {"type": "refusal", "refusal": words}]),
        "refusal beside, OpenAI": AIMessage("Ok.", additional_kwargs={"refusal": words}),
    }


KINDS = list(messages(""))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streamed", [False, True])
def test_nothing_that_the_model_wrote_goes_out_unevaluated(kind: str, streamed: bool) -> None:
    model = FakeChat(script=says(messages("DRAFT words")[kind]))
    guard = guarded(model)
    if streamed:
        replies: list[Any] = list(guard.stream([question(UNSAFE)]))
        reply = sum(replies[1:], replies[0])
    else:
        reply = guard.invoke([question(UNSAFE)])
    assert verdict_of(reply).decision == "aligned"
    assert "DRAFT" not in repr(reply)


@pytest.mark.parametrize("kind", KINDS)
def test_and_what_is_safe_goes_out_as_it_came(kind: str) -> None:
    own = messages("Other words")[kind]
    reply = guarded(FakeChat(script=says(own))).invoke([question(UNSAFE)])
    assert verdict_of(reply).decision == "passed"
    assert (reply.content, reply.additional_kwargs) == (own.content, own.additional_kwargs)
    assert reply.invalid_tool_calls == own.invalid_tool_calls


def evaluated(message: AIMessage) -> tuple[str, ...]:
    return completion(message, Generation()).evaluated


def test_what_nobody_can_read_is_not_scored() -> None:
    opaque = base64.b64encode(bytes(90)).decode()
    hidden = {"type": "redacted_thinking", "data": "xx"}
    signed = {"type": "thinking", "thinking": "", "signature": "short"}
    other = {"type": "unheard_of", "id": "1", "blob": opaque}
    assert evaluated(AIMessage([hidden, signed, SAID, other])) == ("Harmless.",)


def test_a_call_is_scored_once() -> None:
    call: Any = {"type": "tool_use", "id": "1", "name": "look", "input": {"at": "it"}}
    parsed: Any = [{"name": "look", "args": {"at": "it"}, "id": "1", "type": "tool_call"}]
    known: list[Any] = [{}, of("anthropic")]
    for told in known:
        message = AIMessage([SAID, call], tool_calls=parsed, response_metadata=told)
        assert evaluated(message) == ("Harmless.", '{"name": "look", "args": {"at": "it"}}')


def test_what_a_tool_returned_is_no_answer() -> None:
    result = {"type": "server_tool_result", "tool_call_id": "2", "output": "A page."}
    assert evaluated(AIMessage([result, SAID])) == ("Harmless.",)
