"""Messages → turns of text and pixels, read once for the evaluators and the engine alike.

Both sides get the very same decoded pixels, so that no image looks harmless to the one and not to
the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from langchain_core.messages import BaseMessage
from PIL.Image import Image

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Picture:
    """One image of the conversation."""

    pixels: Image = field(repr=False)
    """Decoded, upright (EXIF), first frame, RGB."""
    message: int
    """Index of the message it stands in."""
    block: int
    """Index of the content block within that message."""


@dataclass(frozen=True)
class Turn:
    """One message: its role and its content in order, text and pictures."""

    role: Role
    parts: tuple[str | Picture, ...]


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


def read_conversation(messages: Sequence[BaseMessage]) -> Conversation:
    """Reads messages into turns."""
    raise NotImplementedError
