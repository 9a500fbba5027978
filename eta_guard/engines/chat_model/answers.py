"""What a chat model's message says as an answer: its end, whether it refuses, its pictures."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from PIL.Image import Image

from eta_guard.errors import InputError
from eta_guard.protocols import Completion, FinishReason, Generation
from eta_guard.request.conversation import pictures_in

_CUT_SHORT = {"length", "max_tokens", "max_output_tokens"}
_REFUSING = {
    "refusal",
    "content_filter",
    "content_filtered",
    "guardrail_intervened",
    "recitation",
} | {"safety", "image_safety", "prohibited_content", "blocklist", "spii"}
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")


def completion(message: AIMessage, generation: Generation) -> Completion:
    """A message as the answer that the guard evaluates.

    Args:
        message: Of a chat model.
        generation: Has the stop texts, for a model that does not know them.
    """
    said = str(message.text)
    text = generation.cut(said)
    pictures: tuple[Image, ...] = ()
    unread = None
    try:
        pictures = pictures_in(message)
    except InputError as error:
        unread = error.message
    silent = not (said.strip() or message.tool_calls or pictures or unread)
    return Completion(
        text,
        finish_reason(message),
        tuple(message.tool_calls),
        message=message if text == said else None,
        pictures=pictures,
        unread=unread,
        refused=silent and _refuses(message),
    )


def finish_reason(message: AIMessage) -> FinishReason:
    """Whether the answer was cut for its length, in whichever words the provider says so."""
    return "length" if _CUT_SHORT & _reasons(message) else "stop"


def _reasons(message: AIMessage) -> set[str]:
    told = message.response_metadata
    incomplete = told.get("incomplete_details") or {}
    reasons = [told.get(name) for name in _REASONS]
    reasons.append(incomplete.get("reason") if isinstance(incomplete, dict) else None)
    return {reason.lower() for reason in reasons if isinstance(reason, str)}


def _refuses(message: AIMessage) -> bool:
    """Whether a message without an answer says that the model, or its provider, declines.

    Providers report it each in their own way; LangChain's ``refusal`` block is one of them.
    """
    blocks = message.content if isinstance(message.content, list) else []
    feedback = message.response_metadata.get("prompt_feedback") or {}
    return (
        any(isinstance(block, dict) and block.get("type") == "refusal" for block in blocks)
        or bool(message.additional_kwargs.get("refusal"))
        or bool(_REFUSING & _reasons(message))
        or (isinstance(feedback, dict) and bool(feedback.get("block_reason")))
    )
