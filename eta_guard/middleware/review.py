"""A person decides what becomes of an answer that was withheld."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, messages_from_dict
from langgraph.types import interrupt

from eta_guard.policy import GuardPolicy
from eta_guard.runs.refusals import REFUSED_BY_GUARD
from eta_guard.state import METADATA_KEY, Verdict, without_texts

REVIEW_KEY = "eta_guard_review"
"""Key of ``response_metadata`` under which it stands what a reviewer decided."""
PENDING = "pending"
WITHDRAWN = "withdrawn"
HELD_BACK = "This answer is held back until it has been reviewed."
"""What stands in the history until there is a decision."""
CHOICES = ("approve", "edit", "reject")


def is_pending(message: BaseMessage) -> bool:
    """Whether the message holds the place of an answer that waits for a reviewer."""
    return message.response_metadata.get(REVIEW_KEY) == PENDING


def held_back(reply: BaseMessage) -> AIMessage:
    """What stands in the place of a reply that waits: nothing of it, verdict included."""
    names = ("model_name", "finish_reason")
    known = {name: reply.response_metadata[name] for name in names}
    return AIMessage(
        content=HELD_BACK,
        response_metadata={**known, REVIEW_KEY: PENDING},
        usage_metadata=getattr(reply, "usage_metadata", None),
    )


def review(
    messages: Sequence[BaseMessage], held: dict[str, Any], policy: GuardPolicy
) -> list[BaseMessage]:
    """Interrupts the run until there is a decision.

    The run goes on by ``Command(resume=...)`` with ``"approve"``, ``"reject"``, or ``{"decision":
    "edit", "answer": "..."}``, whose text is not evaluated again (the mapping may name the others
    as well). At anything else it interrupts once more, and says so.

    Args:
        messages: The history.
        held: What was withheld from it, as ``message_to_dict`` tells it.
        policy: Has the refusal message.

    Returns:
        The message that takes the place of the one that waits; nothing where that is gone.
    """
    (reply,) = messages_from_dict([held])
    waiting = next(filter(is_pending, reversed(messages)), None)
    asking = _payload(reply)
    while True:
        decision = _decision(interrupt(asking))
        if decision is not None:
            break
        asking = {**_payload(reply), "error": "That was no decision. See the choices."}
    choice, edited = decision
    if waiting is None:
        return []
    known = dict(reply.response_metadata)
    if choice == "approve":
        text = str(reply.text)
    else:
        verdict = Verdict.model_validate(known[METADATA_KEY])
        known[METADATA_KEY] = without_texts(verdict).model_dump(mode="json")
        rejected = choice == "reject"
        text = policy.refusal_message if rejected else edited
        known["finish_reason"] = "content_filter" if rejected else "stop"
        known |= REFUSED_BY_GUARD if rejected else {}
    # The same id: a message with another one would be appended.
    told = {"content": text, "response_metadata": {**known, REVIEW_KEY: choice}}
    return [waiting.model_copy(update=told)]


def withdrawn(waiting: BaseMessage, policy: GuardPolicy) -> BaseMessage:
    """What takes the place of an answer that waits, and for which nobody waits any more.

    Args:
        waiting: Holds its place in the history.
        policy: Has the refusal message.
    """
    told = {"finish_reason": "content_filter", REVIEW_KEY: WITHDRAWN}
    known = {**waiting.response_metadata, **REFUSED_BY_GUARD, **told}
    refusal = {"content": policy.refusal_message, "response_metadata": known}
    return waiting.model_copy(update=refusal)


def _decision(resumed: object) -> tuple[str, str] | None:
    """The choice and, for an edit, its text; None where it is neither of the choices."""
    asked = resumed if isinstance(resumed, Mapping) else {"decision": resumed}
    choice, edited = asked.get("decision"), asked.get("answer")
    if choice == "edit":
        return (choice, edited) if isinstance(edited, str) and edited.strip() else None
    return (choice, "") if isinstance(choice, str) and choice in CHOICES else None


def _payload(reply: BaseMessage) -> dict[str, Any]:
    """What the reviewer is shown: scores, and the answer that would go out.

    The model's own answer is in it only where the policy records what it rejects.
    """
    verdict = Verdict.model_validate(reply.response_metadata[METADATA_KEY])
    shown = verdict.model_dump(
        mode="json", include={"decision", "reason", "image", "response", "final"}
    )
    draft = {} if verdict.draft is None else {"draft": verdict.draft}
    return {**shown, "answer": str(reply.text), **draft, "choices": list(CHOICES)}
