"""Asynchronous to the bottom: requests share one event loop, and no thread waits for a provider."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import DRAFT, repairs
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question, verdict_of
from tests.middleware.agents import KEPT, middleware

REQUESTS = 24
CANDIDATES = 5


class AsyncOnly(BaseChatModel):
    """A provider that is waited for, and that no thread may ask."""

    calls: Any = Field(default_factory=list)
    now: Any = Field(default_factory=dict)
    most: Any = Field(default_factory=dict)
    cancelled: Any = Field(default_factory=list)
    threads: Any = Field(default_factory=set)
    latency: float = 0.05
    together: Any = Field(default_factory=dict)
    """Calls of a kind that wait for each other, however slow the machine: none ends before so many
    are under way."""
    complete: Any = Field(default_factory=lambda: defaultdict(asyncio.Event))
    seed: int | None = None
    temperature: float | None = None

    @property
    def _llm_type(self) -> str:
        return "async-only"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise AssertionError("asked synchronously")

    async def _said(self, messages: list[BaseMessage]) -> str:
        kind = "candidate" if repairs(messages) else "draft"
        self.threads.add(threading.get_ident())
        self.calls.append(kind)
        self.now[kind] = self.now.get(kind, 0) + 1
        self.most[kind] = max(self.most.get(kind, 0), self.now[kind])
        if self.now[kind] >= self.together.get(kind, 0):
            self.complete[kind].set()
        try:
            await self.complete[kind].wait()
            await asyncio.sleep(self.latency)
        except asyncio.CancelledError:
            self.cancelled.append(kind)
            raise
        finally:
            self.now[kind] -= 1
        return f"CANDIDATE of seed {self.seed}." if kind == "candidate" else DRAFT

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = await self._said(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class Streaming(AsyncOnly):
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in (await self._said(messages)).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))


def score(prompt: str, text: str) -> float:
    return 0.0 if "DRAFT" in text else 1.0


def guard_of(model: BaseChatModel, **policy: Any) -> EtaGuard:
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(score),
        policy=GuardPolicy(candidates=CANDIDATES, **policy),
    )


async def test_all_drafts_are_under_way_at_once_and_then_all_candidates() -> None:
    model = AsyncOnly(together={"draft": REQUESTS, "candidate": REQUESTS * CANDIDATES})
    guard = guard_of(model)
    threads = 0

    async def watch() -> None:
        nonlocal threads
        while True:
            threads = max(threads, threading.active_count())
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(60):
        asking = (guard.ainvoke([question(UNSAFE)]) for _ in range(REQUESTS))
        replies = await asyncio.gather(*asking)
    watching.cancel()
    assert [verdict_of(reply).decision for reply in replies] == ["aligned"] * REQUESTS
    assert model.most == {"draft": REQUESTS, "candidate": REQUESTS * CANDIDATES}
    assert model.threads == {threading.get_ident()}
    # Evaluators that have no asynchronous form share asyncio's own pool.
    assert threads <= 40


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("seen", [UNSAFE, SAFE])
async def test_nothing_is_asked_synchronously(streamed: bool, seen: float) -> None:
    model = Streaming()
    guard = guard_of(model)
    if streamed:
        chunks = [chunk async for chunk in guard.astream([question(seen)])]
        text = "".join(chunk.text for chunk in chunks)
        assert (len([chunk for chunk in chunks if chunk.text]) > 2) == (seen == SAFE)
    else:
        text = (await guard.ainvoke([question(seen)])).text
    assert text.strip().startswith(DRAFT if seen == SAFE else GuardPolicy().prefix)
    assert model.threads == {threading.get_ident()}


async def test_nor_by_the_graph_and_the_middleware() -> None:
    model = Streaming()
    given: Any = {"messages": [question(UNSAFE)]}
    state = await guard_of(model).graph.ainvoke(given)
    assert "CANDIDATE" in state["messages"][-1].text
    state = await create_agent(Streaming(), middleware=[middleware()]).ainvoke(given)
    assert "CANDIDATE" in state["messages"][-1].text
    assert KEPT in state["messages"][-1].text


Cancel = Callable[[EtaGuard], Any]
RUNS: dict[str, Cancel] = {
    "guard": lambda guard: guard.ainvoke([question(UNSAFE)]),
    "graph": lambda guard: guard.graph.ainvoke({"messages": [question(UNSAFE)]}),
    "batch": lambda guard: guard.abatch([[question(UNSAFE)], [question(UNSAFE)]]),
}


async def drained(guard: EtaGuard) -> None:
    async for _ in guard.astream([question(UNSAFE)]):
        pass


@pytest.mark.parametrize("run", [*RUNS.values(), drained], ids=[*RUNS, "stream"])
@pytest.mark.parametrize("kind", ["draft", "candidate"])
async def test_a_cancelled_request_cancels_its_calls(run: Cancel, kind: str) -> None:
    count = (2 if run is RUNS["batch"] else 1) * (CANDIDATES if kind == "candidate" else 1)
    model = AsyncOnly(together={kind: count + 1})  # one more than come: none ends by itself
    task = asyncio.ensure_future(run(guard_of(model)))
    while model.now.get(kind, 0) < count and not task.done():
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.02)
    assert model.cancelled == [kind] * count
    assert not any(model.now.values())


async def test_whoever_stops_listening_ends_the_request() -> None:
    model = Streaming(latency=0.0)
    answers = guard_of(model).astream([question(SAFE)])
    first = await anext(answers)
    assert isinstance(first, AIMessageChunk)
    await cast(AsyncGenerator[Any, None], answers).aclose()
    for _ in range(100):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) == 1
