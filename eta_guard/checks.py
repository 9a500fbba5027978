"""Evaluating without generating: for an input gate, an output check, or what tools return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from eta_guard.decisions import flags_evaluated
from eta_guard.engines.chat_model.answers import completion
from eta_guard.nodes.post_evaluate import evaluate_draft
from eta_guard.nodes.pre_evaluate import evaluate_pictures
from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.panel.images import evaluate_images, unread_image
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Generation
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.session import reading_of
from eta_guard.state import Verdict
from eta_guard.steps import Steps, ask


def check(
    messages: Sequence[BaseMessage], panel: Panel, policy: GuardPolicy, *, passed_on: bool
) -> Steps[Verdict]:
    """Evaluates a request, and the answer to it where there is one.

    Args:
        messages: Of the request; the last one may be the answer.
        panel: Who evaluates.
        policy: Says what is in scope, and what it would do.
        passed_on: Blocks that only providers know may stand in the messages.
    """
    panel.check(policy)
    answer = messages[-1] if messages and isinstance(messages[-1], AIMessage) else None
    request = messages if answer is None else messages[:-1]
    reading = reading_of(policy, passed_on=passed_on, keeping=policy.on_unreadable != "omit")
    conversation = Conversation((), ())
    if request or answer is None:
        conversation = yield from ask(read_conversation, request, reading)
    images = yield from evaluate_pictures(panel, conversation, policy)
    worst = max(images, key=lambda image: image.unsafety, default=None)
    found: dict[str, Any] = {"images": images, "image": worst, "drawn": [], "response": None}
    if answer is not None:
        found |= yield from _evaluate_answer(answer, conversation, panel, policy)
    verdict = Verdict(
        decision="observed", route=(), models=panel.models, policy=policy.label, **found
    )
    state = verdict.model_dump(mode="json", include={"image", "response", "drawn"})
    flagged = flags_evaluated(state, policy, answered=answer is not None)
    return verdict.model_copy(update={"flagged": flagged})


def _evaluate_answer(
    message: AIMessage, conversation: Conversation, panel: Panel, policy: GuardPolicy
) -> Steps[dict[str, Any]]:
    said = completion(message, Generation())
    evaluations = AnswerEvaluations(panel.responses, conversation, policy)
    response = yield from evaluate_draft(evaluations, said)
    drawn = yield from evaluate_images(panel.images, said.pictures, conversation.question, policy)
    if said.unread is not None:
        drawn.append(unread_image(panel.images, policy, said.unread))
    return {"response": response, "drawn": drawn}
