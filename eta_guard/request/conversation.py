"""Messages → turns of text and pixels, read once for the evaluators and the engine alike.

Both sides get the very same decoded pixels, so that no image looks harmless to the one and not to
the other. A block that cannot be read is an error, never skipped: what cannot be evaluated is not
safe. Read are:

- text, in any of its forms, character by character; text that *mentions* an image (Markdown, HTML,
  a ``data:`` URL, JSON) stays text, since no model is shown pixels for it;
- images, in any of their forms (see ``images``), in messages of any role and inside tool results;
- calls of tools and reasoning, which carry no part: they stay in ``Conversation.messages``;
- ``additional_kwargs["tool_outputs"]``, where older versions of langchain-openai keep what OpenAI's
  own tools gave back (pictures among it), and from where they are sent again.

``ToolMessage.artifact`` and what else ``additional_kwargs`` holds is not shown to the model and is
not read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
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
from PIL.Image import Image

from eta_guard.errors import InputError
from eta_guard.request.blocks import read_block

Role = Literal["system", "user", "assistant", "tool"]

TOOL_OUTPUTS = "tool_outputs"
EARLIER_PICTURE = "(An image of an earlier turn is not shown any more.)"
"""What the model reads where a picture is out of scope."""


@dataclass(frozen=True)
class Picture:
    """One image of the conversation."""

    pixels: Image = field(repr=False)
    """Decoded, upright (EXIF), first frame, RGB."""
    message: int
    """Index of the message it stands in."""
    block: int
    """Index of the content block within that message; of the outer one, if blocks are nested."""

    def png_base64(self) -> str:
        """The pixels that are evaluated, without loss, for whoever sends them on."""
        buffer = BytesIO()
        self.pixels.save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Turn:
    """One message: its role and its content in order, text and pictures."""

    role: Role
    parts: tuple[str | Picture, ...]
    """Text as it stands, one part a block, empty text left out."""


@dataclass(frozen=True)
class Conversation:
    """A request as the engine and the evaluators see it."""

    messages: tuple[BaseMessage, ...] = field(repr=False)
    """The messages as they came in, for engines that pass them on to another model."""
    turns: tuple[Turn, ...]
    """The same, read: what evaluators and local models are given."""

    @property
    def pictures(self) -> list[Picture]:
        """Every picture, in the order in which the model is shown them."""
        return [part for turn in self.turns for part in turn.parts if isinstance(part, Picture)]

    def showing_the_last_turn(self) -> Conversation:
        """The same with a short text in place of every picture of an earlier turn.

        A message that held one is made anew of what was read in it, for engines that pass messages
        on; the others are the very same.
        """
        start = self._last_turn
        messages, turns = list(self.messages), list(self.turns)
        for index in {picture.message for picture in self.pictures if picture.message < start}:
            parts = tuple(
                EARLIER_PICTURE if isinstance(part, Picture) else part
                for part in self.turns[index].parts
            )
            turns[index] = Turn(self.turns[index].role, parts)
            content: list[Any] = [{"type": "text", "text": part} for part in parts]
            messages[index] = made_anew(self.messages[index], content)
        return Conversation(tuple(messages), tuple(turns))

    @property
    def _last_turn(self) -> int:
        """The index of the message with which it begins.

        User messages directly before the last one count with it: chat models read them as one.
        Without any user message, all messages are of one turn.
        """
        users = [index for index, turn in enumerate(self.turns) if turn.role == "user"]
        start = users[-1] if users else 0
        while start > 0 and self.turns[start - 1].role == "user":
            start -= 1
        return start


def made_anew(message: BaseMessage, content: list[Any]) -> BaseMessage:
    """The message with other content, which stands for all that was read in it."""
    kept = {key: value for key, value in message.additional_kwargs.items() if key != TOOL_OUTPUTS}
    return message.model_copy(update={"content": content, "additional_kwargs": kept})


def read_conversation(messages: Sequence[BaseMessage]) -> Conversation:
    """Reads messages into turns.

    Args:
        messages: Messages, or what LangChain takes for messages (dicts, tuples, text). The last
            one must be there to be answered: a user's, not empty (an image without text will do),
            or a tool's.

    Raises:
        ImageInputError: An image cannot be read, or stands elsewhere (address, path, file id).
        InputError: A message, role or content block is of an unknown form, or of one that cannot
            be evaluated (audio, video, documents); or there is nothing to answer.
    """
    known = _coerce(messages)
    turns = tuple(_read_turn(index, message) for index, message in enumerate(known))
    if not turns:
        raise InputError("There are no messages.", hint="Pass at least one user message.")
    if turns[-1].role not in {"user", "tool"}:
        raise InputError(
            f"The last message is the {turns[-1].role}'s; there is nothing to answer.",
            hint="End with a user or a tool message.",
        )
    if turns[-1].role == "user" and not turns[-1].parts:
        raise InputError("The last message is empty.", hint="Ask something, or show an image.")
    return Conversation(known, turns)


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


def _coerce(messages: Sequence[BaseMessage]) -> tuple[BaseMessage, ...]:
    try:
        given: Any = messages
        alone = isinstance(given, BaseMessage | str | Mapping)
        return tuple(convert_to_messages([given] if alone else given))
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"The messages cannot be read ({type(error).__name__}).",
            hint="Pass LangChain messages, or (role, content) pairs.",
        ) from error


def _read_turn(index: int, message: BaseMessage) -> Turn:
    role = _role(index, message)
    content: Any = message.content
    blocks = [
        *(content if isinstance(content, list) else [content]),
        *(message.additional_kwargs.get(TOOL_OUTPUTS) or ()),
    ]
    parts: list[str | Picture] = []
    for number, block in enumerate(blocks):
        try:
            found = list(read_block(block))
        except InputError as error:
            place = f"Message {index}, block {number}: {error.message}"
            raise type(error)(place, hint=error.hint) from error
        parts += [p if isinstance(p, str) else Picture(p, index, number) for p in found if p != ""]
    return Turn(role, tuple(parts))


def _role(index: int, message: BaseMessage) -> Role:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    name = message.role if isinstance(message, ChatMessage) else None
    if name is not None and name.lower() in _ROLE_NAMES:
        return _ROLE_NAMES[name.lower()]
    what = (
        f"the unknown role {name[:40]!r}" if name is not None else f"type {type(message).__name__}"
    )
    raise InputError(
        f"Message {index} is of {what}, which no model can be shown.",
        hint=f"Use user, assistant, system or tool messages; roles: {', '.join(_ROLE_NAMES)}.",
    )
