"""A conversation → the messages that a chat model is sent, with the pixels that were evaluated."""

from __future__ import annotations

import re
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from eta_guard.request.conversation import Conversation, Picture
from eta_guard.request.rewriting import Path, at, replace_in, with_picture

BEGIN = "Begin your answer with exactly these words, and go on from there: {text}"
"""How a model without assistant prefill is told the beginning of its answer."""
TOOL_RESULT = "A tool returned:"

_STOPS = ",.:;!?"
_CLOSING = "[\"'*_”’]{0,3}"

_USERS_PICTURES = {"image", "image_url", "input_image"}
"""Blocks that stand in a user's message with every model that knows them."""


def as_read(conversation: Conversation) -> list[BaseMessage]:
    """The messages as they came in, with the pixels that the evaluators saw.

    A picture in which two decoders could see different things (another frame, another turn, what
    lies under transparency, other colours) is replaced inside its own block; all else is passed on
    untouched, and a message without such a picture is the very same object.
    """
    anew: list[dict[Path, object]] = [{} for _ in conversation.messages]
    for picture in conversation.pictures:
        if picture.sent is not None and picture.source is not None:
            anew[picture.message][picture.path] = _block_of(picture, conversation)
    return [
        replace_in(message, blocks)
        for message, blocks in zip(conversation.messages, anew, strict=True)
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
    return [kinds[role](content=_content(parts, conversation)) for role, parts in spoken]


def _content(
    parts: list[str | Picture], conversation: Conversation
) -> str | list[str | dict[Any, Any]]:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):  # not every model takes blocks
        return "\n\n".join(texts)
    return [
        _shown(part, conversation) if isinstance(part, Picture) else {"type": "text", "text": part}
        for part in parts
    ]


def _shown(picture: Picture, conversation: Conversation) -> dict[Any, Any]:
    """The picture as a user shows it: in its own block, if that is a user's."""
    if conversation.turns[picture.message].role == "user" and len(picture.path) == 2:
        block = _block_of(picture, conversation)
        if isinstance(block, dict) and block.get("type") in _USERS_PICTURES:
            return block
    return {"type": "image", "base64": picture.file.base64, "mime_type": picture.file.mime}


def _block_of(picture: Picture, conversation: Conversation) -> Any:
    block = at(conversation.messages[picture.message], picture.path)
    if picture.sent is None or picture.source is None:
        return block
    return with_picture(block, picture.source, picture.sent)


def continuation(begun: str, answer: str) -> str:
    """What an answer adds to the text with which it was told to begin.

    Models say it again in other letters, in quotes or in bold, with another mark at its end; one
    that does not say it at all goes on after a comma.
    """
    answer, begun = answer.strip(), begun.rstrip()
    if not answer or not begun:
        return answer
    bare = begun.rstrip(_STOPS) or begun
    words = r"\s+".join(map(re.escape, bare.split()))
    said_again = re.match(
        rf"(?P<opened>[\W_]{{1,4}})?{words}(?!\w)"
        rf"(?(opened){_CLOSING})(?P<stop>[{_STOPS}]?)(?(opened){_CLOSING})",
        answer,
        re.IGNORECASE,
    )
    if said_again:
        stop = said_again["stop"] if bare == begun else ""
        return stop + answer[said_again.end() :]
    if answer[0] in _STOPS:
        return answer
    return f", {answer}" if begun[-1].isalnum() else f" {answer}"
