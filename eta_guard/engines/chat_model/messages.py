"""A conversation → the messages that a chat model is sent, with the pixels that were evaluated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from eta_guard.request.conversation import Conversation, Picture, made_anew

BEGIN = "Begin your answer with exactly these words, and go on from there: {text}"
"""How a model without assistant prefill is told the beginning of its answer."""
TOOL_RESULT = "A tool returned:"

_Blocks = list[str | dict[Any, Any]]


def as_read(conversation: Conversation) -> list[BaseMessage]:
    """The messages as they came in, but each image as the PNG of what the evaluators saw.

    A provider that decoded the original itself might see other pixels: another frame, another
    orientation, what lies under transparency. A message with images is made anew of what was read
    in it, the others are passed on.
    """
    return [
        made_anew(message, _blocks(turn.parts))
        if any(isinstance(part, Picture) for part in turn.parts)
        else message
        for message, turn in zip(conversation.messages, conversation.turns, strict=True)
    ]


def plainly(conversation: Conversation, begun: str) -> list[BaseMessage]:
    """The conversation without its tools, for a model that is asked for text alone.

    Providers refuse calls of tools in the history of a request that offers none; so the calls are
    left out, and what a tool returned stands as the user's.

    Args:
        conversation: The request.
        begun: How the answer is to begin; may be empty.
    """
    spoken: list[tuple[str, list[str | Picture]]] = []
    for turn in conversation.turns:
        role = "user" if turn.role == "tool" else turn.role
        parts = [TOOL_RESULT, *turn.parts] if turn.role == "tool" else list(turn.parts)
        if not parts:
            continue
        if spoken and spoken[-1][0] == role:  # many providers want the roles to take turns
            spoken[-1][1].extend(parts)
        else:
            spoken.append((role, parts))
    if begun:
        # The last turn is a user's or a tool's.
        spoken[-1][1].append(BEGIN.format(text=begun))
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[role](content=_content(parts)) for role, parts in spoken]


def _content(parts: list[str | Picture]) -> str | _Blocks:
    texts = [part for part in parts if isinstance(part, str)]
    # Not every model takes blocks.
    return "\n\n".join(texts) if len(texts) == len(parts) else _blocks(parts)


def _blocks(parts: Iterable[str | Picture]) -> _Blocks:
    return [
        _image_block(part) if isinstance(part, Picture) else {"type": "text", "text": part}
        for part in parts
    ]


def _image_block(picture: Picture) -> dict[str, str]:
    return {"type": "image", "base64": picture.png_base64(), "mime_type": "image/png"}
