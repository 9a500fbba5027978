"""A conversation → the messages of a request to a vLLM server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from eta_guard.request.conversation import Conversation, Picture, Turn

Message = dict[str, Any]


Naming = Callable[[Picture], str]
"""A picture → the id under which the server finds it again."""


def server_messages(conversation: Conversation, naming: Naming | None = None) -> list[Message]:
    """The turns as the evaluators read them, each picture as the PNG of the pixels they saw.

    Calls of tools in the history are sent along: what the model's chat template makes of them is
    the server's affair.

    Args:
        conversation: What the model is shown.
        naming: Gives each picture an id, beside its file; none without it.
    """
    return [
        {"role": turn.role, "content": _content(turn, naming), **_calling(message)}
        for message, turn in zip(conversation.messages, conversation.turns, strict=True)
    ]


def without_files(messages: list[Message]) -> list[Message]:
    """The same messages with the pictures' ids alone, for a server that has seen the files."""
    return [{**message, "content": _by_id(message["content"])} for message in messages]


def named_by(key: bytes) -> Naming:
    """Ids of pictures that nobody can foretell without the key.

    The server takes an id on trust: whoever knew one beforehand could send it with another picture,
    which the model would then be shown in place of the one that was evaluated.
    """
    return lambda picture: hashlib.blake2b(picture.png.content, key=key, digest_size=16).hexdigest()


def _content(turn: Turn, naming: Naming | None) -> str | list[Message]:
    # A plain text is what every chat template takes.
    match turn.parts:
        case ():
            return ""
        case (str(text),):
            return text
    return [_block(part, naming) for part in turn.parts]


def _block(part: str | Picture, naming: Naming | None) -> Message:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    block: Message = {"type": "image_url", "image_url": {"url": part.png.data_url}}
    return {**block, "uuid": naming(part)} if naming else block


def _by_id(content: str | list[Message]) -> str | list[Message]:
    if isinstance(content, str):
        return content
    return [{**block, "image_url": None} if "uuid" in block else block for block in content]


def _calling(message: BaseMessage) -> Message:
    if isinstance(message, ToolMessage):
        return {"tool_call_id": message.tool_call_id}
    if not isinstance(message, AIMessage) or not message.tool_calls:
        return {}
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
        }
        for call in message.tool_calls
    ]
    return {"tool_calls": calls}
