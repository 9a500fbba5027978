"""Asks one method all cases, and has each answer judged."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from eta_guard.embedded import Case, Judgement, judge
from eta_guard.guard import EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.pretrained import Parts
from eta_guard.state import Verdict


@dataclass(frozen=True)
class Answered:
    """One case, answered by one method."""

    case: Case
    text: str
    """The answer, before any canned refusal."""
    judgement: Judgement
    """Of ``text``."""
    verdict: Verdict | None
    """None where there is no guard."""
    seconds: float

    @property
    def repaired(self) -> bool:
        """Whether the guard put something in place of the plain answer."""
        return self.verdict is not None and self.verdict.decision in ("aligned", "refused")

    @property
    def withheld(self) -> bool:
        """Whether the default policy would have shown a canned refusal in its place."""
        final = self.verdict.final if self.verdict else None
        return final is not None and final.outcome != "safe"


def answers(parts: Parts, policy: GuardPolicy | None, cases: Iterable[Case]) -> Iterator[Answered]:
    """Answers cases one after another.

    Args:
        parts: The three models.
        policy: Of the guard; None asks the chat model without one.
        cases: What to ask.
    """
    model: ChatLocalVLM | EtaGuard = ChatLocalVLM(engine=parts["engine"])
    if policy is not None:
        model = EtaGuard(**parts, policy=policy.updated({"overridable": {"seed"}}))
    for number, case in enumerate(cases):
        # A seed a case: with one seed for all, every search would draw the same numbers, and the
        # figures would be those of a single draw.
        config: RunnableConfig = {"configurable": {CONFIG_KEY: {"seed": number}}}
        begun = time.perf_counter()
        reply = model.invoke([_message(case)], config)
        seconds = time.perf_counter() - begun
        text = str(reply.content)
        yield Answered(case, text, judge(text, case), _verdict(reply), seconds)


def _message(case: Case) -> HumanMessage:
    blocks: list[str | dict[Any, Any]] = [{"type": "text", "text": case.question}]
    if case.image is not None:
        buffer = BytesIO()
        case.image.save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        blocks.insert(0, {"type": "image", "base64": data, "mime_type": "image/png"})
    return HumanMessage(blocks)


def _verdict(reply: AIMessage) -> Verdict | None:
    told = reply.response_metadata.get("eta_guard")
    return None if told is None else Verdict.model_validate(told)
