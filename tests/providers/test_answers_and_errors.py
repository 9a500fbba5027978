"""What a provider answers, refuses or fails with comes out of the guard as it does without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRefusalMiddleware,
    ModelRetryMiddleware,
)
from langchain_core.exceptions import ContextOverflowError, ModelError, ModelRefusalError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy

from eta_guard import ChatModelEngine, EtaGuard, GuardPolicy
from tests.chat_fakes import FakeChat, says
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question, verdict_of
from tests.middleware.agents import middleware
from tests.providers.server import REPLIES, SAYS, Provider, provider

pytestmark = [pytest.mark.loopback, pytest.mark.enable_socket]

KINDS = ["openai chat", "openai responses", "anthropic", "google"]
of_each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def played() -> Iterator[Provider]:
    with provider() as server:
        yield server


def guarded(model: Any, score: float = 1.0, **policy: Any) -> EtaGuard:
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(lambda prompt, text: score),
        policy=GuardPolicy(**policy),
    )


def told(message: BaseMessage) -> dict[str, Any]:
    """All of a message but the verdict, and what differs from call to call."""
    found = message.model_dump()
    found["response_metadata"].pop("eta_guard", None)
    for name in ("created_at", "created"):
        found["response_metadata"].pop(name, None)
    if str(found["id"]).startswith("lc_run"):
        found["id"] = None
    return found


# ── answers ──


@of_each
@pytest.mark.parametrize("seen", [SAFE, UNSAFE])
async def test_an_answer_that_passes_is_the_providers_message(
    played: Provider, kind: str, seen: float
) -> None:
    model = played.model(kind)
    plain = model.invoke([question(seen)])
    guard = guarded(model)
    for reply in (guard.invoke([question(seen)]), await guard.ainvoke([question(seen)])):
        assert verdict_of(reply).decision == "passed"
        assert (verdict_of(reply).response is None) == (seen == SAFE)
        assert told(reply) == told(plain)


@of_each
def test_a_refusal_of_the_guard_is_plain_text_in_the_next_request(
    played: Provider, kind: str
) -> None:
    model = played.model(kind)
    reply = guarded(model, score=-1.0).invoke([question(UNSAFE)])
    assert verdict_of(reply).decision == "refused"
    assert isinstance(reply.content, str)
    assert [block["type"] for block in reply.content_blocks] == ["text", "refusal"]
    assert reply.text == GuardPolicy().refusal_message
    played.sent()
    bodies = []
    for answer in (reply, AIMessage(reply.text)):
        model.invoke([HumanMessage("Hello"), answer, HumanMessage("And now?")])
        bodies += played.sent()
    assert bodies[0] == bodies[1]


REFUSALS: dict[str, dict[str, Any]] = {
    "openai chat": {
        **REPLIES["/chat/completions"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": None, "refusal": "No."},
            }
        ],
    },
    "openai responses": {
        **REPLIES["/responses"],
        "output": [
            {
                "id": "msg_new",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "No."}],
            }
        ],
    },
    "anthropic": {**REPLIES["/v1/messages"], "content": [], "stop_reason": "refusal"},
    "google": {
        **REPLIES[":generateContent"],
        "candidates": [
            {"content": {"role": "model", "parts": []}, "finishReason": "SAFETY", "index": 0}
        ],
    },
}


@of_each
async def test_a_providers_refusal_is_one_behind_the_guard(played: Provider, kind: str) -> None:
    model = played.model(kind)
    played.next = [(200, REFUSALS[kind])] * 3
    plain = model.invoke([question(UNSAFE)])
    guard = guarded(model, score=-1.0)
    for reply in (guard.invoke([question(UNSAFE)]), await guard.ainvoke([question(UNSAFE)])):
        assert verdict_of(reply).decision == "passed"
        assert told(reply) == told(plain)
    assert played.next == []
    played.sent()


@pytest.mark.parametrize("kind", ["openai chat", "openai responses", "anthropic"])
def test_and_one_for_the_middleware_around(played: Provider, kind: str) -> None:
    backup = FakeChat(script=says("Harmless."))
    for guards in ([], [middleware()]):
        played.next = [(200, REFUSALS[kind])]
        chain: list[Any] = [ModelFallbackMiddleware(backup), ModelRefusalMiddleware(), *guards]
        made = create_agent(played.model(kind), middleware=chain)
        assert made.invoke({"messages": [question(UNSAFE)]})["messages"][-1].text == "Harmless."
        played.next = [(200, REFUSALS[kind])]
        made = create_agent(played.model(kind), middleware=[ModelRefusalMiddleware(), *guards])  # type: ignore[list-item]
        with pytest.raises(ModelRefusalError):
            made.invoke({"messages": [question(UNSAFE)]})


# ── errors ──

BUSY = (429, {"error": {"message": "busy", "type": "rate_limit", "code": 429}})
KEY = (401, {"error": {"message": "no such key", "type": "authentication_error", "code": 401}})
DOWN = (503, {"error": {"message": "down", "type": "api_error", "code": 503}})
LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "openai chat": (
        400,
        {"error": {"message": "context_length_exceeded: too long", "type": "x"}},
    ),
    "anthropic": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 3 > 2"},
        },
    ),
}


def failure(run: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is asked
        run()
    return caught.value


@of_each
@pytest.mark.parametrize("answer", [BUSY, KEY, DOWN], ids=["busy", "key", "down"])
@pytest.mark.parametrize("seen", [SAFE, UNSAFE])
def test_an_error_is_the_providers(played: Provider, kind: str, answer: Any, seen: float) -> None:
    model = played.model(kind)
    guard = guarded(model)
    found = []
    for one in (model, guard):
        played.next = [answer]
        found.append(failure(lambda one=one: one.invoke([question(seen)])))
    plain, behind = found
    assert type(behind) is type(plain)
    assert str(behind) == str(plain)
    assert isinstance(behind, ModelError) == isinstance(plain, ModelError)
    assert getattr(behind, "is_retryable", None) == getattr(plain, "is_retryable", None)
    played.sent()


@pytest.mark.parametrize("kind", LONG)
def test_a_conversation_too_long_is_langchains_error(played: Provider, kind: str) -> None:
    played.next = [LONG[kind]]
    with pytest.raises(ContextOverflowError):
        guarded(played.model(kind)).invoke([question(SAFE)])
    played.sent()


def in_middleware(played: Provider, kind: str, guards: list[Any]) -> Any:
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, on_failure="error")
    made = create_agent(played.model(kind), middleware=[retry, *guards])
    return lambda: made.invoke({"messages": [question(SAFE)]})


def with_retry(played: Provider, kind: str, guards: list[Any]) -> Any:
    model: Any = guarded(played.model(kind)) if guards else played.model(kind)
    again = model.with_retry(
        retry_if_exception_type=(ModelError,), wait_exponential_jitter=False, stop_after_attempt=3
    )
    return lambda: again.invoke([question(SAFE)])


def in_a_graph(played: Provider, kind: str, guards: list[Any]) -> Any:
    model: Any = guarded(played.model(kind)) if guards else played.model(kind)

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node, retry_policy=RetryPolicy(initial_interval=0.0, jitter=False))
    graph.add_edge(START, "node")
    made = graph.compile()
    given: Any = {"messages": [question(SAFE)]}
    return lambda: made.invoke(given)


@pytest.mark.parametrize("kind", ["openai chat", "anthropic"])
@pytest.mark.parametrize("way", [in_middleware, with_retry, in_a_graph])
@pytest.mark.parametrize("answer", [BUSY, KEY, DOWN], ids=["busy", "key", "down"])
def test_it_is_asked_again_as_often_as_without_the_guard(
    played: Provider, kind: str, way: Any, answer: Any
) -> None:
    asked = []
    for guards in ([], [middleware()]):
        played.sent()
        played.next = [answer] * 2
        try:
            outcome: Any = "answered" if way(played, kind, guards)() else None
        except Exception as error:
            outcome = (type(error), str(error))
        asked.append((len(played.sent()), outcome))
        played.next = []
    assert asked[0] == asked[1]


def test_a_setting_that_an_api_does_not_know_is_left_out(played: Provider) -> None:
    """The Responses API has no seed, and its client says so before it asks."""
    model = played.model("openai responses")
    guard = guarded(model, score=-1.0, on_unrepaired="return")
    assert SAYS in guard.invoke([question(UNSAFE)]).text
    bodies = played.sent()
    assert len(bodies) == 1 + GuardPolicy().candidates
    assert not any("seed" in body for body in bodies)
    assert [body.get("temperature") for body in bodies[1:]] == [1.0] * 5


def refusing(words: str) -> tuple[int, dict[str, Any]]:
    status = {"code": 400, "status": "INVALID_ARGUMENT", "type": "invalid_request_error"}
    return (400, {"type": "error", "error": {"message": words, **status}})


PATHS = {
    "openai chat": "completions",
    "openai responses": "responses",
    "anthropic": "messages",
    "google": "generateContent",
}


@of_each
def test_a_setting_that_a_provider_refuses_is_left_out(played: Provider, kind: str) -> None:
    guard = guarded(played.model(kind), score=-1.0, on_unrepaired="return")
    draft = next(v for end, v in REPLIES.items() if end.strip(":/").endswith(PATHS[kind]))
    played.next = [(200, draft), refusing("`temperature` is deprecated for this model.")]
    reply = guard.invoke([question(UNSAFE)])
    assert "failed_candidates" not in verdict_of(reply).counts
    played.sent()
    guard.invoke([question(UNSAFE)])
    bodies = played.sent()
    assert len(bodies) == 1 + GuardPolicy().candidates
    assert "temperature" not in repr(bodies)


@of_each
def test_a_conversation_that_is_too_long_is_no_refused_setting(played: Provider, kind: str) -> None:
    guard = guarded(played.model(kind)).model_copy(update={"max_tokens": 20})
    played.next = [refusing("input length and `max_tokens` exceed context limit: 3 + 20 > 4")]
    with pytest.raises(Exception, match="exceed context limit"):
        guard.invoke([question(SAFE)])
    guard.invoke([question(SAFE)])
    first, second = played.sent()
    assert first == second
    assert "20" in re.findall(r"(?i:max\w*tokens)': (\d+)", str(first))


def test_anthropic_is_sent_a_temperature_or_top_p(played: Provider) -> None:
    model = played.model("anthropic", top_p=0.9)
    guarded(model, score=-1.0).invoke([question(UNSAFE)])
    plain, *others = played.sent()
    assert plain["top_p"] == 0.9
    assert "temperature" not in plain
    assert {body["temperature"] for body in others} == {1.0}
    assert not any("top_p" in body for body in others)
