"""A conversation → the messages of a request to a vLLM server."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from eta_guard.request.conversation import Conversation, Picture, Turn

Message = dict[str, Any]


def server_messages(conversation: Conversation) -> list[Message]:
    """The turns as the evaluators read them, each picture as the PNG of the pixels they saw.

    Calls of tools in the history are sent along: what the model's chat template makes of them is
    the server's affair.
    """
    return [
        {"role": turn.role, "content": _content(turn), **_calling(message)}
        for message, turn in zip(conversation.messages, conversation.turns, strict=True)
    ]


def _content(turn: Turn) -> str | list[Message]:
    # A plain text is what every chat template takes.
    match turn.parts:
        case ():
            return ""
        case (str(text),):
            return text
    return [_block(part) for part in turn.parts]


def _block(part: str | Picture) -> Message:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": part.png.data_url}}


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
