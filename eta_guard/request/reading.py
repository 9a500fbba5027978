"""How a request is read: what the engine can do with it, and what the policy asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reading:
    """By default as a model is shown it that has to be given text and pixels."""

    passed_on: bool = False
    """The engine passes the messages on to a provider: blocks that only providers know are let
    through if they carry nothing to be seen or heard, and a picture in which two decoders could see
    different things is encoded anew, which decides the pixels that are evaluated."""
    unreadable: Literal["raise", "omit", "keep"] = "raise"
    """A block that cannot be read is an error; or left out, with a short text in its place; or
    kept, with everything else as it came (``mode="observe"``), and named in
    ``Conversation.unread``."""
    last_turn_only: bool = False
    """Pictures of earlier turns are shown to nobody: a short text stands in their place."""
    longest_side: int | None = None
    """Pixels; pictures with a longer side are scaled down, for evaluators and model alike."""
    fetch: Callable[[str], bytes] | None = None
    """Gives what stands at a web address, or raises ``ImageInputError``. None: nothing is
    fetched."""


AS_PIXELS = Reading()
"""Text and pixels, for a model at hand; what cannot be read is an error."""
