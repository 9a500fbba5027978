"""Parts that fail at one place, around parts that work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from eta_guard.protocols import (
    Candidate,
    Completion,
    Direction,
    Engine,
    EngineSession,
    Finding,
    Generation,
    ImageEvaluator,
    Likeness,
    ResponseEvaluator,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation


class InjectedError(RuntimeError):
    """Raised on purpose."""


@dataclass(frozen=True)
class FailingEngine:
    """An ``Engine`` that fails as it draws the plain answer, or as it proposes sentences."""

    engine: Engine
    at: str

    @property
    def fingerprint(self) -> str:
        """That of the engine within."""
        return self.engine.fingerprint

    def open(self, conversation: Conversation, generation: Generation) -> FailingEngineSession:
        """Begins a request."""
        return FailingEngineSession(self.engine.open(conversation, generation), self.at)


@dataclass(frozen=True)
class FailingEngineSession:
    """Its session."""

    session: EngineSession
    at: str

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer."""
        if self.at == "answer":
            raise InjectedError
        return self.session.answer(watch)

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer."""
        self.session.prefill(prefix, accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws next sentences."""
        if self.at == "propose":
            raise InjectedError
        return self.session.propose(n, sampling)

    def accept(self, index: int) -> None:
        """Keeps one."""
        self.session.accept(index)

    def finish(self) -> Completion:
        """Goes on to the end."""
        return self.session.finish()


@dataclass(frozen=True)
class FailingImages:
    """An ``ImageEvaluator`` that fails with every picture."""

    evaluator: ImageEvaluator
    likeness_of: Likeness
    name: str = "clip"
    threshold: float | None = None
    unsafe: Direction = "above"
    cost: float = 1.0

    @property
    def fingerprint(self) -> str:
        """That of the evaluator within."""
        return self.evaluator.fingerprint

    def evaluate(self, images: Sequence[Image], prompt: str, question: str = "") -> list[Finding]:
        """Fails."""
        raise InjectedError

    def likeness(self, image: Image, texts: Sequence[str]) -> Sequence[float]:
        """Compares candidates with the picture."""
        return self.likeness_of.likeness(image, texts)


@dataclass(frozen=True)
class FailingResponses:
    """A ``ResponseEvaluator`` that fails with every answer."""

    evaluator: ResponseEvaluator
    name: str = "reward"
    threshold: float | None = None
    unsafe: Direction = "below"
    cost: float = 1.0

    @property
    def fingerprint(self) -> str:
        """That of the evaluator within."""
        return self.evaluator.fingerprint

    def open(self, prompt: str, question: str = "", pictures: Sequence[Image] = ()) -> Any:
        """Fails."""
        raise InjectedError
