"""A conversation with parts of its pictures covered, as the chat model is shown it once more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from langchain_core.messages import AIMessage, BaseMessage
from PIL.Image import Image

from eta_guard.request.conversation import Conversation, Picture
from eta_guard.request.encoding import Encoded, encode
from eta_guard.request.images import decode_file
from eta_guard.request.rewriting import Path, at, is_generated, replace_in, texts_in, with_picture

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in shares of a picture's width and height."""

COVERED = (0, 0, 0)
"""What covered pixels are set to, RGB (GuardAlign, ICLR 2026)."""
NOT_SHOWN = "(An image is not shown as it was.)"
"""Stands in a message in place of a picture that cannot be covered in it."""


def masked_conversation(
    conversation: Conversation, boxes: Mapping[int, Sequence[Box]], *, passed_on: bool
) -> Conversation:
    """The conversation with parts of its pictures covered.

    No message of it holds the pixels that were covered, in whichever form an engine reads it.

    Args:
        conversation: Stays as it is; so does each picture that has no boxes.
        boxes: What to cover, by the picture's number in ``conversation.pictures``.
        passed_on: The messages go on to a provider: a covered picture stands in its own block, as
            a file in the format of the original where that is smaller. (A picture that a provider
            generated gives way to a text: it would be shown by its id.)
    """
    numbers = count()
    covered: list[list[tuple[Picture, Picture]]] = [[] for _ in conversation.messages]

    def shown(part: str | Picture) -> str | Picture:
        if isinstance(part, str) or (wanted := boxes.get(next(numbers))) is None:
            return part
        made = masked_picture(part, wanted, encoded=passed_on)
        covered[part.message].append((part, made))
        return made

    turns = tuple(replace(turn, parts=tuple(map(shown, turn.parts))) for turn in conversation.turns)
    messages = tuple(
        replace_in(message, _blocks(message, pairs))
        for message, pairs in zip(conversation.messages, covered, strict=True)
    )
    return replace(conversation, messages=messages, turns=turns)


def masked_picture(picture: Picture, boxes: Sequence[Box], *, encoded: bool) -> Picture:
    """A picture with parts of it covered.

    Args:
        picture: Of a conversation.
        boxes: Each covers every pixel that it touches.
        encoded: It has a file, for a provider; its pixels are then those that the file shows.
    """
    pixels = cover(picture.pixels, boxes)
    sent: Encoded | None = None
    if encoded:
        sent, pixels = encode(decode_file(picture.file.content), pixels)
    return replace(picture, pixels=pixels, source=None, sent=sent)


def cover(pixels: Image, boxes: Sequence[Box]) -> Image:
    """A copy of an RGB image in which every pixel that a box touches is black."""
    covered = pixels.copy()
    width, height = pixels.size
    for left, top, right, bottom in boxes:
        upper_left = max(math.floor(left * width), 0), max(math.floor(top * height), 0)
        lower_right = min(math.ceil(right * width), width), min(math.ceil(bottom * height), height)
        covered.paste(COVERED, (*upper_left, *lower_right))
    return covered


def _blocks(message: BaseMessage, covered: Sequence[tuple[Picture, Picture]]) -> dict[Path, object]:
    """What stands in a message where pictures stood that are covered."""
    blocks: dict[Path, object] = {}
    texts: dict[Path, str] = {}
    for original, picture in covered:
        block = at(message, original.path)
        by_id = isinstance(message, AIMessage) and is_generated(block)
        if picture.sent is None or original.source is None or by_id:
            texts[original.path] = NOT_SHOWN
        else:
            blocks[original.path] = with_picture(block, original.source, picture.sent)
    return {**blocks, **texts_in(message, texts)}
