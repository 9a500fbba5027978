"""A policy's timeout: what there is by then, if it is safe, or else a refusal; never a hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Finding, Sampling, Watch
from eta_guard.state import Verdict
from tests.chat_fakes import FakeChat
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeSession,
    candidate,
    question,
)

TIMEOUT = 1.5
"""Enough for all that does not hang, on a slow machine as well."""


class Hanging:
    """Hangs at what is named, until the test is over."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.over = threading.Event()

    def at(self, name: str) -> None:
        if name in self.names:
            self.over.wait(60)


@dataclass
class SlowSession(FakeSession):
    def answer(self, watch: Watch | None = None) -> Completion:
        if watch:
            for end in range(1, len(DRAFT) + 1):
                if end == len(DRAFT) // 2:
                    self.engine.hanging.at("draft")  # type: ignore[attr-defined]
                if watch(DRAFT[:end]):
                    return Completion(DRAFT[:end], "stop")
        else:
            self.engine.hanging.at("draft")  # type: ignore[attr-defined]
        return super().answer()

    def propose(self, n: int, sampling: Sampling) -> list[Any]:
        self.engine.hanging.at(f"sentence {self.sentence + 1}")  # type: ignore[attr-defined]
        return super().propose(n, sampling)

    def finish(self) -> Completion:
        self.engine.hanging.at("finish")  # type: ignore[attr-defined]
        return super().finish()


@dataclass
class SlowEngine(FakeEngine):
    hanging: Hanging = None  # type: ignore[assignment]

    def open(self, conversation: Any, generation: Any) -> SlowSession:
        return SlowSession(self, generation)


def guard(hanging: Hanging, **policy: Any) -> EtaGuard:
    class Images(FakeImages):
        def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
            hanging.at("image")
            return super().evaluate(images, prompt, question)

    def scored(prompt: str, text: str) -> float:
        is_final = text.startswith("As an AI") and prompt == GuardPolicy().post_prompt
        hanging.at("final" if is_final else "response")
        return 0.0 if text.startswith("DRAFT") else 1.0

    return EtaGuard(
        engine=SlowEngine(hanging=hanging),
        image_evaluator=Images(),
        response_evaluator=FakeResponses(scored),
        policy=GuardPolicy(timeout=TIMEOUT, alpha=0.0, **policy),
    )


async def ask(made: EtaGuard, form: str, score: float) -> tuple[str, Verdict, str]:
    messages = [question(score)]
    if form == "sync":
        reply = await asyncio.to_thread(made.invoke, messages)
    elif form == "async":
        reply = await made.ainvoke(messages)
    elif form == "stream":
        chunks = await asyncio.to_thread(lambda: list(made.stream(messages)))
        reply = chunks[0]
        for chunk in chunks[1:]:
            reply = reply + chunk
    else:
        graph: Any = made.graph
        found = await graph.ainvoke({"messages": messages})
        reply = found["messages"][-1]
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    return reply.text, verdict, reply.response_metadata["finish_reason"]


PREFIX = GuardPolicy().prefix
CASES: dict[str, tuple[tuple[str, ...], float, dict[str, Any], str, str]] = {
    # what hangs, the picture's score, the policy, the decision, how the text begins
    "a safe picture's answer": (("draft",), SAFE, {}, "passed", DRAFT[:5]),
    "a draft that scores safe": (
        ("draft",),
        UNSAFE,
        {"response_threshold": -1.0},
        "passed",
        "DRAFT",
    ),
    "a draft that scores unsafe": (("draft",), UNSAFE, {}, "refused", ""),
    "the second sentence": (("sentence 2",), UNSAFE, {}, "aligned", PREFIX),
    "the first sentence": (("sentence 1",), UNSAFE, {}, "refused", ""),
    "without a search": (("finish",), UNSAFE, {"search": False}, "refused", ""),
    "the evaluation of pictures": (("image",), SAFE, {}, "refused", ""),
    "that of the draft": (("response",), UNSAFE, {}, "refused", ""),
    "that of the repaired answer": (("final",), UNSAFE, {}, "refused", ""),
    "a second sentence, and its evaluation": (("sentence 2", "final"), UNSAFE, {}, "refused", ""),
    "observed": (("draft",), UNSAFE, {"mode": "observe"}, "observed", DRAFT[:5]),
}


FORMS = ("sync", "async", "stream", "graph")


@pytest.mark.parametrize("case", CASES)
async def test_what_is_there_by_then_goes_out_if_it_is_safe(case: str) -> None:
    names, score, policy, decision, text = CASES[case]
    hanging = Hanging(*names)
    try:
        made = guard(hanging, **policy)
        found = await asyncio.gather(*(ask(made, form, score) for form in FORMS))
    finally:
        hanging.over.set()
    for said, verdict, finish_reason in found:
        assert verdict.decision == decision
        if decision == "refused":
            assert said.endswith(GuardPolicy().refusal_message)
            assert finish_reason == "content_filter"
        else:
            assert said.startswith(text)
            assert len(said) < len(DRAFT) or decision == "aligned"
            assert finish_reason == "length"
            assert verdict.reason == f"cut short by the timeout of {TIMEOUT:g} s"


async def test_who_is_in_time_is_answered_as_without_a_limit() -> None:
    for score in (SAFE, UNSAFE):
        timed = guard(Hanging())
        free = timed.with_policy(timed.policy.updated({"timeout": None}))
        replies = [await one.ainvoke([question(score)]) for one in (timed, free)]
        assert replies[0].text == replies[1].text
        told = [reply.response_metadata["eta_guard"] for reply in replies]
        assert [one["decision"] for one in told] == [told[0]["decision"]] * 2
        assert told[0]["reason"] is None


async def test_evaluating_alone_has_the_same_time() -> None:
    hanging = Hanging("response")
    try:
        made = guard(hanging)
        said = [question(SAFE), AIMessage(DRAFT)]
        found = await asyncio.gather(asyncio.to_thread(made.evaluate, said), made.aevaluate(said))
    finally:
        hanging.over.set()
    for verdict in found:
        assert verdict.response
        assert verdict.response.outcome == "unscored"
        assert verdict.response.reason == "DeadlineExceededError"
        assert verdict.image
        assert verdict.image.outcome == "safe"


def test_the_time_is_that_of_the_whole_request() -> None:
    """No node is given the whole of it anew."""
    steps = list[float]()

    class Session(SlowSession):
        def propose(self, n: int, sampling: Sampling) -> list[Any]:
            steps.append(time.monotonic())
            time.sleep(0.5)
            self.proposed = [candidate(f" sentence {len(steps)}.") for _ in range(n)]
            return self.proposed

    class Engine(SlowEngine):
        def open(self, conversation: Any, generation: Any) -> Session:
            return Session(self, generation)

    made = guard(Hanging())
    made = made.model_copy(update={"engine": Engine(hanging=Hanging())})
    reply = made.invoke([question(UNSAFE)])
    assert reply.response_metadata["eta_guard"]["decision"] == "aligned"
    assert 1 <= len(steps) <= 4  # an endless search, 0.5 s a sentence


def test_the_seconds_are_checked() -> None:
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            GuardPolicy(timeout=wrong)


class HangingChat(FakeChat):
    """A provider's model whose stream stops within a sentence, after a space."""

    over: Any = Field(default_factory=threading.Event)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in ("The ", "answer "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece, id="run-1"))
        self.over.wait(60)


@pytest.mark.parametrize("form", ["stream", "astream"])
async def test_chunks_that_were_shown_are_the_answer_and_stand_there_once(form: str) -> None:
    model = HangingChat()
    made = EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(),
        policy=GuardPolicy(timeout=TIMEOUT),
    )
    messages = [question(SAFE)]
    try:
        if form == "stream":
            chunks = await asyncio.to_thread(lambda: list(made.stream(messages)))
        else:
            chunks = [chunk async for chunk in made.astream(messages)]
    finally:
        model.over.set()
    assert "".join(chunk.text for chunk in chunks).strip() == "The answer"
    verdict = Verdict.model_validate(chunks[-1].response_metadata["eta_guard"])
    assert (verdict.decision, verdict.reason) == (
        "passed",
        f"cut short by the timeout of {TIMEOUT:g} s",
    )
