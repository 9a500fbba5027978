"""What a chat model's message says as an answer: its end, whether it refuses, its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from PIL.Image import Image

from eta_guard.engines.chat_model.words import words_of
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

_EVALUATED_ELSEWHERE = (
    {"text", "tool_call", "tool_call_chunk", "invalid_tool_call", "refusal"}
    | {"image", "audio", "video", "file"}
    | {"server_tool_result"}
)
"""Blocks whose words are not the model's further ones: its text and calls, what is read as a
picture, and what a tool returned, which is no more its answer than a message of a tool is."""

_WRITTEN_BESIDE = ("function_call", "reasoning", "reasoning_content", "reasoning_details")
"""Keys of ``additional_kwargs`` under which integrations keep what the model wrote."""


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
    if message.additional_kwargs.get("audio"):
        unread = "sound cannot be evaluated"
    beside = tuple(_beside(message))
    refusing = _refuses(message)
    silent = not (said.strip() or message.tool_calls or pictures or unread or beside)
    if refusing and not silent:
        beside += tuple(_words_of_refusal(message))
    whole = text == said
    return Completion(
        text,
        finish_reason(message),
        tuple(message.tool_calls),
        message=message if whole else None,
        beside=beside if whole else (),
        pictures=pictures,
        unread=unread,
        refused=silent and refusing,
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
    """Whether a message says that the model, or its provider, declines.

    LangChain's ``refusal`` block tells it of the providers that LangChain knows; others report it
    each in their own way.
    """
    feedback = message.response_metadata.get("prompt_feedback") or {}
    return (
        any(block["type"] == "refusal" for block in message.content_blocks)
        or bool(message.additional_kwargs.get("refusal"))
        or bool(_REFUSING & _reasons(message))
        or (isinstance(feedback, dict) and bool(feedback.get("block_reason")))
    )


def _words_of_refusal(message: AIMessage) -> Iterator[str]:
    """What a refusal says that stands beside something else, and so is evaluated with it."""
    told = [words_of(block) for block in message.content_blocks if block["type"] == "refusal"]
    yield from filter(None, told or [words_of(message.additional_kwargs.get("refusal"))])


def _beside(message: AIMessage) -> Iterator[str]:
    """What the model wrote beside its text and its calls."""
    known = {call["id"] for call in message.tool_calls} - {None}
    for block in message.content_blocks:
        if block["type"] in _EVALUATED_ELSEWHERE:
            continue
        value: Mapping[str, Any] = block["value"] if block["type"] == "non_standard" else block
        is_call = "call" in str(value.get("type")) or value.get("type") == "tool_use"
        if is_call and known & {value.get("id"), value.get("call_id")}:
            continue
        if words := words_of(value):
            yield words
    unparsed = [message.additional_kwargs.get(name) for name in _WRITTEN_BESIDE]
    unparsed += [[call["name"], call["args"]] for call in message.invalid_tool_calls]
    yield from filter(None, map(words_of, unparsed))
