from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage

from eta_guard import ChatModelEngine, EtaGuard
from eta_guard.context_length import ContextLengthError
from eta_guard.errors import EngineError
from eta_guard.pretrained import load_chat_model
from eta_guard.protocols import Candidate, Engine, Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.chat_fakes import FakeChat
from tests.engines.vllm.server import PlayedServer, refuses
from tests.engines.vllm.sessions import PREFIX, SAMPLING, begun, opened, saying
from tests.fakes import UNSAFE, FakeImages, FakeResponses, question


def guarded(engine: Engine) -> EtaGuard:
    return EtaGuard(engine=engine, image_evaluator=FakeImages(), response_evaluator=FakeResponses())


def asked(server: PlayedServer) -> list[int]:
    return [body["max_tokens"] for body in server.bodies]


@pytest.mark.parametrize("max_tokens", [8, 1024])
def test_the_budget_is_cut_down_to_what_the_context_leaves(max_tokens: int) -> None:
    server = PlayedServer(context=256)
    session = begun(server, max_tokens=max_tokens)
    session.answer()
    session.propose(2, SAMPLING)
    session.accept(0)
    session.finish()
    # The prompt has ten tokens; those of the prefix are counted by the second request.
    wanted = [256, 70, 256 - 10 - 4] if max_tokens == 1024 else [8, 8, 4]
    assert asked(server) == wanted


def test_a_guard_with_the_default_policy_answers_over_a_small_context() -> None:
    server = PlayedServer(context=256)
    guard = guarded(server.engine())
    reply = guard.invoke([question(UNSAFE)])
    assert guard.policy.max_tokens > 256
    assert reply.text


@pytest.mark.parametrize("count", [1, 5])
def test_a_conversation_too_long_says_by_how_much(count: int) -> None:
    server = PlayedServer(prompt=299 + count, context=300)
    with pytest.raises(ContextOverflowError, match=f"is {count} tokens too long") as caught:
        opened(server).answer()
    assert isinstance(caught.value, ContextLengthError)
    assert "max-model-len" in caught.value.hint


def test_where_the_server_counts_no_tokens_its_own_words_are_told() -> None:
    def fails(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(404) if request.url.path == "/tokenize" else None

    server = PlayedServer(prompt=300, context=300, fails=fails)
    with pytest.raises(ContextOverflowError, match="maximum context length is 300 tokens"):
        opened(server).answer()


def test_a_server_that_does_not_cut_the_budget_itself_is_asked_for_what_is_left() -> None:
    """As older ones do."""

    def fails(request: httpx.Request) -> httpx.Response | None:
        if b'"max_tokens":256' not in request.content.replace(b" ", b""):
            return None
        return refuses(
            "This model's maximum context length is 256 tokens. However, you requested 266 tokens"
        )

    server = PlayedServer(context=256, fails=fails)
    assert opened(server).answer().text
    assert asked(server) == [246]


def test_a_server_that_tells_no_context_is_asked_for_the_whole_budget() -> None:
    def fails(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(404) if request.method == "GET" else None

    server = PlayedServer(fails=fails)
    session = opened(server)
    session.answer()
    session.finish()
    assert asked(server) == [1024, 1024]
    assert sum(one.method == "GET" for one in server.requests) == 1


def test_sentences_that_fill_the_context_end_the_answer() -> None:
    server = saying(" a b.", context=10 + 4 + 2)
    session = begun(server)
    session.answer()
    limited = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=2)
    assert session.propose(1, limited) == [Candidate(" a b.", (), None)]
    session.accept(0)
    assert session.propose(1, limited) == [Candidate("", (), "length")]
    assert session.finish().text == f"{PREFIX} a b."


def test_a_full_context_ends_the_answer() -> None:
    server = saying(" a b c d e f g h", context=16)
    assert begun(server).propose(1, SAMPLING) == [Candidate(" a b", (), "length")]
    assert begun(server).finish().finish_reason == "length"


# ── every engine says it in the same way ──


@pytest.mark.slow
def test_the_local_engine_says_so_too() -> None:
    engine = load_chat_model("embedded", device="cpu")
    given = read_conversation([HumanMessage("cup " * 2100)])
    with pytest.raises(ContextOverflowError, match=r"is \d+ tokens too long") as caught:
        engine.open(given, Generation()).answer()
    assert isinstance(caught.value, ContextLengthError)


class OverflowingError(EngineError, ContextOverflowError):
    """A provider's own."""


async def test_a_providers_own_overflow_passes_through_unchanged() -> None:
    error = OverflowingError("It is 7 tokens too long.", hint="Shorten it.")

    def script(messages: Any, settings: Any) -> AIMessage:
        raise error

    guard = guarded(ChatModelEngine(FakeChat(script=script)))
    with pytest.raises(ContextOverflowError) as caught:
        guard.invoke([question(UNSAFE)])
    assert caught.value is error
    with pytest.raises(ContextOverflowError) as caught:
        await guard.ainvoke([question(UNSAFE)])
    assert caught.value is error


async def test_that_of_a_server_reaches_the_caller_in_both_ways() -> None:
    guard = guarded(PlayedServer(prompt=300, context=300).engine())
    with pytest.raises(ContextOverflowError):
        guard.invoke([question(UNSAFE)])
    with pytest.raises(ContextOverflowError):
        await guard.ainvoke([question(UNSAFE)])
