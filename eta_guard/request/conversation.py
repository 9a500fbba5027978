"""Messages → turns of text and pixels, read once for the evaluators and the engine alike.

Both sides get the very same decoded pixels, so that no image looks harmless to the one and not to
the other. A block that cannot be read is never skipped: what cannot be evaluated is not safe. It is
an error, or a text stands in its place for both sides (see ``reading``). Read are:

- text, in any of its forms, character by character; text that *mentions* an image (Markdown, HTML,
  a ``data:`` URL, JSON) stays text, since no model is shown pixels for it;
- images, in any of their forms (see ``sources``), in messages of any role and inside tool results;
- calls of tools and reasoning, which carry no part: they stay in ``Conversation.messages``;
- ``additional_kwargs["tool_outputs"]``, where older versions of langchain-openai keep what OpenAI's
  own tools gave back (pictures among it), and from where they are sent again;
- the text of a tool message that langchain-openai sends as a screenshot.

``ToolMessage.artifact`` and what else ``additional_kwargs`` holds is not shown to the model and is
not read. Nor is what a provider keeps: an id under which it has stored a generated picture shows
its model the stored one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from PIL.Image import Image

from eta_guard.errors import InputError
from eta_guard.request.blocks import BlockReader
from eta_guard.request.encoding import Encoded, as_png
from eta_guard.request.parts import Part, Replaced, Shown, Unread
from eta_guard.request.reading import AS_PIXELS, Reading
from eta_guard.request.rewriting import Path, replace_in, texts_in
from eta_guard.request.roles import Role, as_messages, role_of
from eta_guard.request.roles import last_turn as find_last_turn
from eta_guard.request.sources import Source, is_data_url

logger = logging.getLogger(__name__)

TOOL_OUTPUTS = "tool_outputs"


@dataclass(frozen=True)
class Picture:
    """One image of the conversation."""

    pixels: Image = field(repr=False)
    """Decoded, upright (EXIF), first frame, RGB."""
    message: int
    """Index of the message it stands in."""
    block: int
    """Index of the content block within that message; of the outer one, if blocks are nested."""
    path: Path = field(default=(), repr=False)
    """Keys and indices that lead to its own block within the message."""
    source: Source | None = field(default=None, repr=False)
    """Where its content stands in that block."""
    sent: Encoded | None = field(default=None, repr=False)
    """What a provider is sent in place of the original, made once a request; None: the original, in
    which every decoder sees these pixels."""

    fetched: str | None = field(default=None, repr=False)
    """SHA-256 of what stood at its address; None where it came in the message."""

    @property
    def file(self) -> Encoded:
        """The file that a provider is sent."""
        content = self.source.read() if self.source else None
        return self.sent or (Encoded.of(content) if isinstance(content, bytes) else self.png)

    @cached_property
    def png(self) -> Encoded:
        """The pixels that are evaluated, without loss, for whoever sends pixels on."""
        return as_png(self.pixels)


@dataclass(frozen=True)
class Turn:
    """One message: its role and its content in order, text and pictures."""

    role: Role
    parts: tuple[str | Picture, ...]
    """Text as it stands, one part a block, empty text left out."""


@dataclass(frozen=True)
class UnreadBlock:
    """A block that could not be read, in a request of which nothing is to be changed."""

    message: int
    """Index of the message it stands in."""
    block: int
    """Index of the content block within that message."""
    reason: str


@dataclass(frozen=True)
class Conversation:
    """A request as the engine and the evaluators see it."""

    messages: tuple[BaseMessage, ...] = field(repr=False)
    """The messages as they came in, for engines that pass them on to another model. A message from
    which a block had to go is a copy; in all others, pictures are as they came."""
    turns: tuple[Turn, ...]
    """The same, read: what evaluators and local models are given."""
    unread: tuple[UnreadBlock, ...] = ()
    """What stays in the messages although it could not be read."""

    @property
    def pictures(self) -> list[Picture]:
        """Every picture, in the order in which the model is shown them."""
        return [part for turn in self.turns for part in turn.parts if isinstance(part, Picture)]

    @property
    def question(self) -> str:
        """The text of the turn that is answered, as the user wrote it."""
        asked = [turn for turn in self.turns[self.last_turn :] if turn.role == "user"]
        return "\n".join(part for turn in asked for part in turn.parts if isinstance(part, str))

    @property
    def last_turn(self) -> int:
        """The index of the message with which the last turn begins."""
        return find_last_turn([turn.role for turn in self.turns])


def read_conversation(
    messages: Sequence[BaseMessage], reading: Reading = AS_PIXELS
) -> Conversation:
    """Reads messages into turns.

    Args:
        messages: Messages, or what LangChain takes for messages (dicts, tuples, text). The last
            one must be there to be answered: a user's, not empty (an image without text will do),
            or a tool's.
        reading: What is done with pictures, and with what cannot be read.

    Raises:
        ImageInputError: An image cannot be read, or stands elsewhere (address, path, file id).
        InputError: A message, role or content block is of an unknown form, or of one that cannot
            be evaluated (audio, video, documents); or there is nothing to answer.
    """
    known = as_messages(messages)
    keeps = reading.unreadable == "keep"
    roles = [role_of(index, message, any_role=keeps) for index, message in enumerate(known)]
    last_turn = find_last_turn(roles) if reading.last_turn_only else 0
    passed: list[BaseMessage] = []
    turns: list[Turn] = []
    unread: list[UnreadBlock] = []
    for index, (message, role) in enumerate(zip(known, roles, strict=True)):
        found = list(_parts(index, message, reading, earlier=index < last_turn))
        texts = {part.path: part.text for _, part in found if isinstance(part, Replaced)}
        passed.append(replace_in(message, texts_in(message, texts)))
        turns.append(Turn(role, tuple(_read_parts(index, found))))
        unread += [
            UnreadBlock(index, number, part.reason)
            for number, part in found
            if isinstance(part, Unread)
        ]
    if not keeps:
        _check_there_is_something_to_answer(turns)
    return Conversation(tuple(passed), tuple(turns), tuple(unread))


def pictures_in(message: AIMessage) -> tuple[Image, ...]:
    """The pictures that an answer shows, as the evaluators of images take them.

    Args:
        message: Of a provider's model; blocks that only it knows may stand in it.

    Raises:
        InputError: A picture, or something that may be one, cannot be read.
    """
    parts = _parts(0, message, _ANSWER, earlier=False)
    return tuple(part.pixels for _, part in parts if isinstance(part, Shown))


_ANSWER = Reading(passed_on=True)


def _check_there_is_something_to_answer(turns: Sequence[Turn]) -> None:
    if not turns:
        raise InputError("There are no messages.", hint="Pass at least one user message.")
    if turns[-1].role not in {"user", "tool"}:
        raise InputError(
            f"The last message is the {turns[-1].role}'s; there is nothing to answer.",
            hint="End with a user or a tool message.",
        )
    if turns[-1].role == "user" and not turns[-1].parts:
        raise InputError("The last message is empty.", hint="Ask something, or show an image.")


def _parts(
    index: int, message: BaseMessage, reading: Reading, *, earlier: bool
) -> Iterator[tuple[int, Part]]:
    """Yields what a message holds, each with the number of its block."""
    reader = BlockReader(reading, earlier=earlier)
    for number, (path, block) in enumerate(_blocks(message)):
        try:
            if _is_screenshot(message, path):
                source = Source("image_url", block, _declared(block))
                found = list(reader.read_picture(source, path))
            else:
                found = list(reader.read(block, path))
        except InputError as error:
            place = f"Message {index}, block {number}: {error.message}"
            raise type(error)(place, hint=error.hint) from error
        for part in found:
            if isinstance(part, Replaced) and part.reason is not None:
                logger.warning("Message %d, block %d is left out: %s", index, number, part.reason)
            yield number, part


def _blocks(message: BaseMessage) -> Iterator[tuple[Path, Any]]:
    content: Any = message.content
    if isinstance(content, list):
        for number, block in enumerate(content):
            yield ("content", number), block
    else:
        yield ("content",), content
    for number, block in enumerate(message.additional_kwargs.get(TOOL_OUTPUTS) or ()):
        yield ("additional_kwargs", TOOL_OUTPUTS, number), block


def _is_screenshot(message: BaseMessage, path: Path) -> bool:
    """Whether the text of a tool's message is a picture, as langchain-openai sends it."""
    return (
        isinstance(message, ToolMessage)
        and path == ("content",)
        and message.additional_kwargs.get("type") == "computer_call_output"
    )


def _declared(text: object) -> str:
    if not isinstance(text, str) or not is_data_url(text):
        return ""
    return text[5:].split(",")[0].split(";")[0].strip().lower()


def _read_parts(index: int, found: Sequence[tuple[int, Part]]) -> Iterator[str | Picture]:
    for number, part in found:
        if isinstance(part, Shown):
            yield Picture(
                part.pixels, index, number, part.path, part.source, part.sent, part.fetched
            )
        elif isinstance(part, Replaced):
            yield part.text
        elif isinstance(part, str) and part:
            yield part
