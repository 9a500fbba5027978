"""What LangChain takes for messages → messages, and who speaks in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from eta_guard.errors import InputError

Role = Literal["system", "user", "assistant", "tool"]

_ROLES: tuple[tuple[type[BaseMessage], Role], ...] = (
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (SystemMessage, "system"),
    (ToolMessage, "tool"),
    (FunctionMessage, "tool"),
)
_ROLE_NAMES: dict[str, Role] = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "ai", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function"), "tool"),
}


def as_messages(messages: Sequence[BaseMessage]) -> tuple[BaseMessage, ...]:
    """What was given, as messages.

    Raises:
        InputError: It cannot be read as such.
    """
    try:
        given: Any = messages
        alone = isinstance(given, BaseMessage | str | Mapping)
        return tuple(convert_to_messages([given] if alone else given))
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"The messages cannot be read ({type(error).__name__}).",
            hint="Pass LangChain messages, or (role, content) pairs.",
        ) from error


def last_turn(roles: Sequence[Role]) -> int:
    """The index of the message with which the last turn begins.

    User messages directly before the last one count with it: chat models read them as one. Without
    any user message, all messages are of one turn.
    """
    users = [index for index, role in enumerate(roles) if role == "user"]
    start = users[-1] if users else 0
    while start > 0 and roles[start - 1] == "user":
        start -= 1
    return start


def role_of(index: int, message: BaseMessage, *, any_role: bool = False) -> Role:
    """Who speaks in a message.

    Args:
        index: Of the message, to be named in an error.
        message: Of any kind.
        any_role: A role of another name, as providers of their own have them, counts as a user's.

    Raises:
        InputError: The message is of a kind or a role that no model can be shown.
    """
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    name = message.role if isinstance(message, ChatMessage) else None
    if name is not None and name.lower() in _ROLE_NAMES:
        return _ROLE_NAMES[name.lower()]
    if name is not None and any_role:
        return "user"
    what = (
        f"the unknown role {name[:40]!r}" if name is not None else f"type {type(message).__name__}"
    )
    raise InputError(
        f"Message {index} is of {what}, which no model can be shown.",
        hint=f"Use user, assistant, system or tool messages; roles: {', '.join(_ROLE_NAMES)}.",
    )
