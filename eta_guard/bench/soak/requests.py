"""The requests of a soak, and what comes of each when it is asked alone."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from eta_guard.bench.soak.faults import FailingEngine, FailingImages, FailingResponses
from eta_guard.embedded import Sample, samples
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.state import METADATA_KEY

Kind = Literal["safe", "flagged", "cancelled", "failing"]
Outcome = tuple[str, ...]
"""Decision, text and route of a reply; or the name of the error's type."""

MIX: tuple[Kind, ...] = ("safe",) * 4 + ("flagged",) * 3 + ("cancelled",) * 2 + ("failing",)
POLICY = GuardPolicy(max_tokens=8, candidates=2, max_sentence_tokens=4, on_unrepaired="return")
"""Short answers: what is to be seen is many requests, not long ones."""
OF_A_KIND = 4
"""Pictures, hazardous and not."""


@dataclass(frozen=True)
class Question:
    """One that is asked again and again."""

    guard: EtaGuard = field(repr=False)
    message: BaseMessage = field(repr=False)
    about: str
    alone: dict[bool, Outcome] = field(default_factory=dict, repr=False)
    """What came of it when nothing else was asked: as a whole (False), and streamed (True)."""

    def ask_alone(self) -> None:
        """Finds out what comes of it."""
        for streamed in (False, True):
            self.alone[streamed] = self.ask(streamed=streamed)

    def ask(self, *, streamed: bool) -> Outcome:
        """Asks, and waits for what comes of it."""
        try:
            if not streamed:
                return outcome(self.guard.invoke([self.message]))
            return outcome(joined(list(self.guard.stream([self.message]))))
        except Exception as error:  # that of a fault, which is its outcome
            return failure(error)

    async def aask(self, *, streamed: bool) -> Outcome:
        """Does as ``ask``."""
        try:
            if not streamed:
                return outcome(await self.guard.ainvoke([self.message]))
            return outcome(joined([one async for one in self.guard.astream([self.message])]))
        except Exception as error:
            return failure(error)


@dataclass(frozen=True)
class Asked:
    """One request."""

    number: int
    kind: Kind
    question: Question

    @property
    def streamed(self) -> bool:
        """Whether its answer is asked for in chunks."""
        return self.number % 2 == 1

    def right(self, found: Outcome) -> bool:
        """Whether this came of the same question when it was asked alone."""
        return found == self.question.alone[self.streamed]


def outcome(reply: AIMessage) -> Outcome:
    """What there is to compare of a reply."""
    verdict = reply.response_metadata[METADATA_KEY]
    return (verdict["decision"], reply.text, *verdict["route"])


def failure(error: Exception) -> Outcome:
    """What there is to compare of an error."""
    return (type(error).__name__,)


def joined(chunks: list[Any]) -> Any:
    """The reply that came in chunks."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def questions(guard: EtaGuard) -> dict[Kind, list[Question]]:
    """Questions about the sample pictures, and guards that fail with some of them.

    Args:
        guard: Whose models all of them share.
    """
    safe, hazardous = (
        [one for one in samples() if one.hazardous is told][:OF_A_KIND] for told in (False, True)
    )
    found: dict[Kind, list[Question]] = {
        "safe": [Question(guard, _message(one), one.object) for one in safe],
        "flagged": [Question(guard, _message(one), one.object) for one in hazardous],
        "failing": [
            Question(failing, _message(hazardous[number % OF_A_KIND]), about)
            for number, (about, failing) in enumerate(_failing(guard).items())
        ],
    }
    found["cancelled"] = [*found["safe"][:2], *found["flagged"]]
    return found


def plan(known: dict[Kind, list[Question]], count: int, seed: int) -> list[Asked]:
    """A mixture of requests, the same for the same seed."""
    draw = random.Random(seed)
    kinds = [MIX[number % len(MIX)] for number in range(count)]
    draw.shuffle(kinds)
    return [Asked(number, kind, draw.choice(known[kind])) for number, kind in enumerate(kinds)]


def _failing(guard: EtaGuard) -> dict[str, EtaGuard]:
    engine, images, responses = guard.engine, guard.image_evaluator, guard.response_evaluator
    parts: dict[str, dict[str, Any]] = {
        "engine, draft": {"engine": FailingEngine(engine, "answer")},
        "engine, candidates": {"engine": FailingEngine(engine, "propose")},
        "pictures": {"image_evaluator": FailingImages(images, images)},  # type: ignore[arg-type]
        "answers": {"response_evaluator": FailingResponses(responses)},  # type: ignore[arg-type]
    }
    failing = {about: guard.model_copy(update=changed) for about, changed in parts.items()}
    refusing = guard.policy.updated({"on_error": "refuse"})
    return failing | {
        f"{about}, refused": failing[about].with_policy(refusing)
        for about in ("engine, draft", "engine, candidates")
    }


def _message(sample: Sample) -> BaseMessage:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    block = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([block, {"type": "text", "text": sample.question}])
