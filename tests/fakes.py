"""Fakes at the three seams: scripted, without a model, and honest about what they were asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from PIL import Image

from eta_guard.graph import GuardGraph, build_graph
from eta_guard.guard import EtaGuard
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import (
    Candidate,
    Completion,
    Direction,
    Finding,
    Generation,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation
from eta_guard.state import Verdict

DRAFT = "DRAFT canary: the plain answer."
SAFE_END = " That is all."

Score = float | Exception


def candidate(text: str, *, ends: bool = False, ids: tuple[int, ...] = ()) -> Candidate:
    return Candidate(text, ids, "stop" if ends else None)


@dataclass
class FakeSession:
    engine: FakeEngine
    generation: Generation
    text: str = ""
    sentence: int = 0
    proposed: list[Candidate] = field(default_factory=list)

    def answer(self, watch: Watch | None = None) -> Completion:
        self.engine.calls.append("answer")
        draft = self.engine.draft
        if isinstance(draft, Exception):
            raise draft
        for word in re.finditer(r"\S+", draft) if watch else ():
            if watch and watch(draft[: word.end()]):
                return Completion(draft[: word.end()], "stop")
        return Completion(draft, "stop")

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        self.engine.calls.append("prefill")
        self.engine.prefills.append((prefix, tuple(accepted)))
        self.text = prefix + "".join(c.text for c in accepted)
        self.sentence = len(accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.engine.calls.append("propose")
        self.engine.samplings.append((n, sampling))
        self.proposed = self.engine.sentences(self.sentence + 1, n)
        return self.proposed

    def accept(self, index: int) -> None:
        self.text += self.proposed[index].text
        self.sentence += 1

    def finish(self) -> Completion:
        self.engine.calls.append("finish")
        if isinstance(self.engine.continuation, Exception):
            raise self.engine.continuation
        return Completion(self.text + self.engine.continuation, "stop")


@dataclass
class FakeEngine:
    draft: str | Exception = DRAFT
    sentences: Callable[[int, int], list[Candidate]] = lambda number, n: [
        candidate(f" sentence {number} of candidate {i}.", ends=number == 3, ids=(number, i))
        for i in range(n)
    ]
    continuation: str | Exception = ", continued."
    fingerprint: str = "fake-chat@0"
    calls: list[str] = field(default_factory=list)
    opened: list[tuple[Conversation, Generation]] = field(default_factory=list)
    prefills: list[tuple[str, tuple[Candidate, ...]]] = field(default_factory=list)
    samplings: list[tuple[int, Sampling]] = field(default_factory=list)

    def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
        self.opened.append((conversation, generation))
        return FakeSession(self, generation)


@dataclass
class FakeImages:
    """Scores images by their colour: the red channel / 255."""

    fingerprint: str = "fake-clip@0"
    name: str = "clip"
    threshold: float | None = None
    unsafe: Direction = "above"
    cost: float = 0.0
    failure: Exception | None = None
    alike: Callable[[str], float] = lambda text: 0.0
    asked: list[tuple[int, str]] = field(default_factory=list)
    compared: list[tuple[Image.Image, list[str]]] = field(default_factory=list)

    def evaluate(
        self, images: Sequence[Image.Image], prompt: str, question: str = ""
    ) -> list[Finding]:
        self.asked.append((len(images), prompt))
        if self.failure:
            raise self.failure
        return [Finding(red(image)) for image in images]

    def likeness(self, image: Image.Image, texts: Sequence[str]) -> list[float]:
        self.compared.append((image, list(texts)))
        if self.failure:
            raise self.failure
        return [self.alike(text) for text in texts]


def of_image(score: float, threshold: float = 0.16) -> CombinedEvaluation:
    """The evaluation of a picture by ``FakeImages`` alone."""
    limit = Limit("clip", threshold, "above")
    return CombinedEvaluation.together([Evaluation.of(Finding(score), limit)])


def of_response(score: float, threshold: float = 0.06) -> CombinedEvaluation:
    """The evaluation of an answer by ``FakeResponses`` alone."""
    limit = Limit("reward", threshold, "below")
    return CombinedEvaluation.together([Evaluation.of(Finding(score), limit)])


def red(image: Image.Image) -> float:
    pixel: Any = image.getpixel((0, 0))
    return float(pixel[0]) / 255


@dataclass
class FakeResponses:
    """Scores texts by a function of (prompt, text)."""

    score: Callable[[str, str], float] = lambda prompt, text: 1.0
    fingerprint: str = "fake-reward@0"
    name: str = "reward"
    threshold: float | None = None
    unsafe: Direction = "below"
    cost: float = 0.0
    scored: list[tuple[str, str]] = field(default_factory=list)

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image.Image] = ()
    ) -> FakeResponseSession:
        return FakeResponseSession(self, prompt)


@dataclass
class FakeResponseSession:
    evaluator: FakeResponses
    prompt: str
    text: str = ""

    def score(self, continuations: Sequence[str]) -> list[float]:
        texts = [self.text + continuation for continuation in continuations]
        self.evaluator.scored += [(self.prompt, text) for text in texts]
        return [self.evaluator.score(self.prompt, text) for text in texts]

    def accept(self, text: str) -> None:
        self.text += text


def image_block(score: float) -> dict[str, str]:
    """A content block whose image ``FakeImages`` scores (to the nearest 1/255)."""
    import base64

    buffer = BytesIO()
    Image.new("RGB", (4, 4), (round(score * 255), 0, 0)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image", "base64": data, "mime_type": "image/png"}


UNSAFE, SAFE = 0.8, 0.0


def question(*scores: float, text: str = "What is this?") -> HumanMessage:
    blocks: list[str | dict[Any, Any]] = [image_block(score) for score in scores]
    return HumanMessage([*blocks, {"type": "text", "text": text}])


def scoring(
    draft: Score = 0.0,
    final: Score = 1.0,
    candidates: Callable[[str], Score] = lambda text: 1.0,
    *,
    policy: GuardPolicy | None = None,
) -> Callable[[str, str], float]:
    """What ``FakeResponses`` says of the draft, the repaired answer and the candidates."""
    policy = policy or GuardPolicy()

    def score(prompt: str, text: str) -> float:
        if prompt == policy.post_prompt:
            found = draft if text == DRAFT else final
        else:
            assert prompt == policy.search_prompt
            found = candidates(text)
        if isinstance(found, Exception):
            raise found
        return found

    return score


@dataclass
class Rig:
    """Three fakes and a policy; by default an unsafe draft that three sentences repair."""

    policy: GuardPolicy = field(default_factory=GuardPolicy)
    engine: FakeEngine = field(default_factory=FakeEngine)
    images: FakeImages = field(default_factory=FakeImages)
    responses: FakeResponses = field(default_factory=lambda: FakeResponses(scoring()))

    def panel(self) -> Panel:
        return Panel.of(self.images, self.responses, None, self.policy)

    def graph(self) -> GuardGraph:
        return build_graph(
            engine=self.engine,
            image_evaluator=self.images,
            response_evaluator=self.responses,
            policy=self.policy,
        )

    def guard(self) -> EtaGuard:
        return EtaGuard(
            engine=self.engine,
            image_evaluator=self.images,
            response_evaluator=self.responses,
            policy=self.policy,
        )

    def ask(self, *messages: BaseMessage, config: RunnableConfig | None = None) -> AIMessage:
        given: Any = {"messages": list(messages)}
        return reply_of(self.graph().compile().invoke(given, config))


def reply_of(state: Any) -> AIMessage:
    reply = state["messages"][-1]
    assert isinstance(reply, AIMessage)
    return reply


def verdict_of(reply: BaseMessage) -> Verdict:
    return Verdict.model_validate(reply.response_metadata["eta_guard"])
