"""Every fault at every place: no plain answer by accident, no hang, and always a reason."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage
from langchain_core.tracers.base import BaseTracer

from eta_guard.errors import EvaluationError
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, Completion, Finding, Sampling, Watch
from eta_guard.state import Verdict
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeResponseSession,
    FakeSession,
    question,
    red,
)

TIMEOUT = 1.5
"""Of the policy where something hangs."""


class HangError(Exception):
    """Stands for a part that never answers."""


FAULTS: dict[str, Exception | float | None] = {
    "exception": RuntimeError("broken"),
    "time-out": TimeoutError("no answer"),
    "out of memory": MemoryError("none left"),
    "out of the GPU's memory": torch.OutOfMemoryError("none left"),
    "server gone": ConnectionResetError("gone"),
    "hang": HangError(),
    "NaN": math.nan,
    "infinity": math.inf,
    "wrong number of scores": None,
}
ENGINE_FAULTS = [name for name, fault in FAULTS.items() if isinstance(fault, Exception)]

ENGINE = ["open", "before the draft", "within the draft", "prefill", "sentence 1", "sentence 2",
          "accept", "finish"]  # fmt: skip
EVALUATORS = ["images", "draft opened", "draft scored", "search opened", "candidates 1",
              "candidates 2", "likeness", "final scored"]  # fmt: skip


@dataclass
class Fault:
    """Strikes at one place."""

    place: str
    kind: str
    over: threading.Event = field(default_factory=threading.Event)
    struck: int = 0

    def at(self, place: str, scores: list[Any] | None = None) -> list[Any]:
        """Returns the scores, or what became of them."""
        if place != self.place:
            return scores or []
        self.struck += 1
        fault = FAULTS[self.kind]
        if isinstance(fault, HangError):
            self.over.wait(30)
            return scores or []
        if isinstance(fault, Exception):
            raise fault
        return (scores or [])[1:] if fault is None else [fault for _ in scores or []]


@dataclass
class Session(FakeSession):
    fault: Fault = None  # type: ignore[assignment]

    def answer(self, watch: Watch | None = None) -> Completion:
        self.fault.at("before the draft")
        for end in (5, 9) if watch else ():
            if watch and watch(DRAFT[:end]):
                return Completion(DRAFT[:end], "stop")
        self.fault.at("within the draft")
        return super().answer(watch)

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        self.fault.at("prefill")
        super().prefill(prefix, accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.fault.at(f"sentence {self.sentence + 1}")
        return super().propose(n, sampling)

    def accept(self, index: int) -> None:
        self.fault.at("accept")
        super().accept(index)

    def finish(self) -> Completion:
        self.fault.at("finish")
        return super().finish()


def remote(part: type) -> type:
    """The same part with asynchronous forms, which are then the only ones asked in a loop."""

    def form(name: str) -> Callable[..., Any]:
        async def asked(self: Any, *args: Any, **kwargs: Any) -> Any:
            # What hangs there hangs on the loop's side: it is awaited, and can be cancelled.
            fault = self.fault if hasattr(self, "fault") else self.evaluator.fault
            if isinstance(FAULTS[fault.kind], HangError):
                made = asyncio.to_thread(getattr(self, name), *args, **kwargs)
                return await made
            return getattr(self, name)(*args, **kwargs)

        return asked

    own = ("open", "answer", "prefill", "propose", "accept", "finish", "evaluate", "likeness",
           "score")  # fmt: skip
    names = [name for name in own if hasattr(part, name)]
    return type(f"Remote{part.__name__}", (part,), {f"a{name}": form(name) for name in names})


def parts(fault: Fault, where: str) -> dict[str, Any]:
    kind: Callable[[type], Any] = remote if where == "remote" else lambda part: part

    class Engine(FakeEngine):
        def open(self, conversation: Any, generation: Any) -> FakeSession:
            fault.at("open")
            made: FakeSession = kind(Session)(self, generation, fault=fault)
            return made

    class Images(FakeImages):
        def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
            return list(map(Finding, fault.at("images", [red(image) for image in images])))

        def likeness(self, image: Any, texts: Sequence[str]) -> list[float]:
            return fault.at("likeness", [0.0 for _ in texts])

    class Scores(FakeResponseSession):
        def score(self, continuations: Sequence[str]) -> list[float]:
            texts = [self.text + more for more in continuations]
            if self.prompt == GuardPolicy().search_prompt:
                place = f"candidates {texts[0].count('sentence')}"
                return fault.at(place, [1.0 for _ in texts])
            if texts[0].startswith("DRAFT"):
                return fault.at("draft scored", [0.0])
            return fault.at("final scored", [1.0])

    class Responses(FakeResponses):
        def open(self, prompt: str, question: str = "", pictures: Any = ()) -> Any:
            fault.at("search opened" if prompt == GuardPolicy().search_prompt else "draft opened")
            return kind(Scores)(self, prompt)

    made = {
        "engine": kind(Engine)(),
        "image_evaluator": kind(Images)(),
        "response_evaluator": kind(Responses)(),
    }
    for part in made.values():
        part.fault = fault
    return made


class Trace(BaseTracer):
    """Keeps all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.told = ""

    def _persist_run(self, run: Any) -> None:
        self.told += f"{run.error} {run.outputs} {run.extra}"
        for child in run.child_runs:
            self._persist_run(child)


async def ask(guard: EtaGuard, form: str, score: float) -> tuple[AIMessage, Trace]:
    messages, trace = [question(score)], Trace()
    config: Any = {"callbacks": [trace]}
    if form == "sync":
        return await asyncio.to_thread(guard.invoke, messages, config), trace
    return await guard.ainvoke(messages, config), trace


WAYS = [(where, form) for where in ("local", "remote") for form in ("sync", "async")]


def policy_for(place: str, kind: str, **fields: Any) -> GuardPolicy:
    timeout = TIMEOUT if kind == "hang" else None
    return GuardPolicy(search=place != "finish", timeout=timeout, **fields)


async def replies(place: str, kind: str, policy: GuardPolicy, score: float = UNSAFE) -> list[Any]:
    async def one(where: str, form: str) -> Any:
        fault = Fault(place, kind)
        try:
            found = await ask(EtaGuard(**parts(fault, where), policy=policy), form, score)
        except Exception as error:
            found = (error, None)  # type: ignore[assignment]
        finally:
            fault.over.set()
        assert fault.struck, "the fault was never met"
        return found

    return await asyncio.wait_for(asyncio.gather(*(one(*way) for way in WAYS)), 60)


def verdict(reply: AIMessage) -> Verdict:
    return Verdict.model_validate(reply.response_metadata["eta_guard"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENGINE_FAULTS)
@pytest.mark.parametrize("place", ENGINE)
async def test_an_engine_that_fails(place: str, kind: str) -> None:
    for reply, trace in await replies(place, kind, policy_for(place, kind, on_error="refuse")):
        told = verdict(reply)
        kept = kind == "hang" and place in ("sentence 2", "within the draft")
        if kept and place == "sentence 2":
            assert (told.decision, reply.text) == ("aligned", told.rounds[0].text.join(
                (GuardPolicy().prefix, "")))  # fmt: skip
        else:
            assert told.decision == "refused"
            assert reply.text == GuardPolicy().refusal_message
        assert told.reason
        assert "canary" not in trace.told
        assert told.reason in trace.told

    found = await replies(place, kind, policy_for(place, kind))
    for reply, _ in found:
        if kind == "hang":
            assert verdict(reply).decision in ("refused", "aligned")
        else:
            assert type(reply) is type(FAULTS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("place", EVALUATORS)
async def test_an_evaluator_that_fails(place: str, kind: str) -> None:
    if place in ("draft opened", "search opened") and kind not in ENGINE_FAULTS:
        pytest.skip("nothing is scored there")
    for on_unscored in ("unsafe", "refuse", "raise"):
        policy = policy_for(place, kind, on_unscored=on_unscored)
        for reply, trace in await replies(place, kind, policy):
            if isinstance(reply, Exception):
                assert isinstance(reply, EvaluationError)
                assert on_unscored == "raise"
                continue
            assert DRAFT not in reply.text
            told = verdict(reply)
            assert told.decision in ("aligned", "refused", "blocked")
            why = reasons(told)
            assert why
            assert any(reason in trace.told for reason in why)
            if place.startswith(("candidates", "likeness")):
                assert told.decision == ("aligned" if fault_is_harmless(place, kind) else "refused")
            elif on_unscored != "unsafe" or place == "final scored":
                assert told.decision in ("refused", "blocked")


def fault_is_harmless(place: str, kind: str) -> bool:
    """The search goes on without likenesses, and what it has ends where the time does."""
    return place == "likeness" or (kind == "hang" and place == "candidates 2")


def reasons(told: Verdict) -> list[str]:
    found = [told.image, told.response, told.final]
    evaluations = [one.reason for one in found if one and one.reason]
    rounds = [record.reason for record in told.rounds if record.reason]
    return [reason for reason in (told.reason, *evaluations, *rounds) if reason]


@pytest.mark.parametrize("kind", ENGINE_FAULTS)
@pytest.mark.parametrize("place", ["open", "before the draft", "images"])
async def test_a_safe_picture_is_no_reason_to_hide_a_fault(place: str, kind: str) -> None:
    policy = policy_for(place, kind, on_error="refuse", on_unscored="refuse")
    for reply, _ in await replies(place, kind, policy, SAFE):
        assert verdict(reply).decision in ("refused", "blocked")
        assert verdict(reply).reason


async def test_what_failed_is_told_by_name() -> None:
    for named, decision in (("clip", "blocked"), ("reward", "aligned")):
        policy = GuardPolicy(on_unscored={named: "refuse"})
        for reply, _ in await replies("images", "exception", policy):
            assert verdict(reply).decision == decision
    with pytest.raises(ValueError, match="on_unscored"):
        EtaGuard(
            **parts(Fault("", "NaN"), "local"), policy=GuardPolicy(on_unscored={"clp": "raise"})
        )
