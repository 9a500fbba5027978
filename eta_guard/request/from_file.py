"""An image file and a question → the message that the guard is asked."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eta_guard.errors import ImageInputError, InputError

if TYPE_CHECKING:
    from langchain_core.messages import HumanMessage
    from PIL.Image import Image

MAX_BYTES = 256 * 2**20
"""Most bytes read of an image file: a device such as /dev/zero never ends."""


def read_request(image: Path, question: str) -> tuple[HumanMessage, Image]:
    """Reads and checks both before any model is loaded.

    Returns:
        The message, and the pixels that evaluators and chat model will see.

    Raises:
        ImageInputError: The file cannot be read or decoded.
        InputError: The question is empty or no text.
    """
    message, (pixels,) = read_requests([image], question)
    return message, pixels


def read_requests(images: Sequence[Path], question: str) -> tuple[HumanMessage, list[Image]]:
    """Does as ``read_request`` with any number of images.

    Args:
        images: They stand before the question, in this order.
        question: About all of them.
    """
    from langchain_core.messages import HumanMessage

    _check(question)
    read = [_read_image(image) for image in images]
    blocks: list[str | dict[Any, Any]] = [block for block, _ in read]
    message = HumanMessage([*blocks, {"type": "text", "text": question}])
    return message, [pixels for _, pixels in read]


def _read_image(image: Path) -> tuple[dict[str, str], Image]:
    from langchain_core.messages import HumanMessage

    from eta_guard.request.conversation import read_conversation

    block = {
        "type": "image",
        "base64": base64.b64encode(_read(image)).decode(),
        "mime_type": mimetypes.guess_type(image.name)[0] or "image/png",
    }
    try:
        (picture,) = read_conversation([HumanMessage([block])]).pictures
    except ImageInputError as error:
        what = error.message.removeprefix("Message 0, block 0: ")
        raise ImageInputError(f"{image}: {what}", hint=error.hint) from error
    return block, picture.pixels


def _check(question: str) -> None:
    if not question.strip():
        raise InputError("The question is empty.", hint='Ask something, such as "What is this?".')
    try:
        question.encode()
    except UnicodeEncodeError as error:  # bytes of the command line that are no text
        raise InputError("The question is not UTF-8.", hint="Type it in a UTF-8 locale.") from error


def _read(image: Path) -> bytes:
    try:
        with image.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageInputError(
            f"The image {image} cannot be read ({reason}).",
            hint="Give the path of an image file, such as photo.png.",
        ) from error
    if not data:
        raise ImageInputError(f"{image} is empty.", hint="Give the path of an image file.")
    if len(data) > MAX_BYTES:
        raise ImageInputError(
            f"{image} has more than {MAX_BYTES // 2**20} MiB.", hint="Scale the image down."
        )
    return data
