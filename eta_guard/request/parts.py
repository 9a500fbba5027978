"""What a content block holds: text, a picture, or why neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from PIL.Image import Image

from eta_guard.request.encoding import Encoded, encode, scaled_down
from eta_guard.request.images import decode_source
from eta_guard.request.plain_files import MIME, is_plain
from eta_guard.request.reading import Reading
from eta_guard.request.rewriting import Path
from eta_guard.request.sources import Source

EARLIER_PICTURE = "(An image of an earlier turn is not shown any more.)"
"""What the model reads where a picture is out of scope."""
OMITTED = "(An attachment that could not be read was left out.)"
"""What the model reads where a block was omitted."""

_DECLARED = {"", "image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/*"}
"""Media types by which nobody reads an image file as anything else."""


@dataclass(frozen=True)
class Shown:
    """A picture that a block shows."""

    pixels: Image = field(repr=False)
    path: Path
    """Where its block stands in the message."""
    source: Source = field(repr=False)
    sent: Encoded | None = field(repr=False)
    """What a provider is sent in place of the original; None: the original."""
    fetched: str | None = None
    """Digest of what stood at its address; None where it is in the message."""


@dataclass(frozen=True)
class Replaced:
    """A block in place of which model and evaluators are given a text."""

    text: str
    path: Path
    reason: str | None = None
    """Why it could not be read; None where it is out of scope."""


@dataclass(frozen=True)
class Unread:
    """A block that is passed on although it could not be read."""

    path: Path
    reason: str


Part = str | Shown | Replaced | Unread


def show(source: Source, path: Path, reading: Reading) -> Shown:
    """Decodes a picture, and decides what a provider is sent for it.

    Args:
        source: Where its content stands in its block.
        path: Where the block stands in the message.
        reading: Whether the message is passed on, and what may be fetched.

    Raises:
        ImageInputError: It stands elsewhere, or cannot be decoded.
    """
    fetched = None
    if source.address is not None and reading.fetch is not None:
        content: Any = reading.fetch(source.address)
        fetched = sha256(content).hexdigest()
    else:
        content = source.read()
    decoded = decode_source(source, content)
    pixels = scaled_down(decoded.pixels, reading.longest_side)
    sent: Encoded | None = None
    if not reading.passed_on or reading.unreadable == "keep":
        pass  # the model is given the pixels, or what came
    elif pixels is not decoded.pixels or not is_plain(decoded):
        sent, pixels = encode(decoded, pixels)
    elif fetched or source.mime not in _DECLARED or not source.is_written_plainly(content):
        sent = Encoded(content, MIME[str(decoded.opened.format)])
    return Shown(pixels, path, source, sent, fetched)
