"""Parts of a message in place of others, each in the form of the block it stands in.

All that is not replaced stays the very object that it was: providers check signatures, and answer
from caches that go by the bytes of a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from PIL import Image

from eta_guard.request.encoding import Encoded, as_png
from eta_guard.request.sources import MIME_KEYS, Source, is_data_url

Path = tuple[str | int, ...]
"""Keys and indices that lead from a message to a block in it."""

_SCREENSHOTS = ("input_image", "computer_screenshot")
_BLANK_SIDE = 64
"""Pixels: the smallest picture that every provider takes."""
_NAMES = ("type", "id", "call_id", "tool_use_id", "tool_call_id", "status", "is_error")
_INLINE = {"file_uri": "inline_data", "fileUri": "inlineData"}


def replace_in(message: BaseMessage, blocks: Mapping[Path, object]) -> BaseMessage:
    """The message with other blocks.

    Args:
        message: Stays as it is; it is returned itself where there is nothing to replace.
        blocks: What stands at each place; ``LEFT_OUT`` for nothing.
    """
    if not blocks:
        return message
    fields = sorted({str(path[0]) for path in blocks})
    update = {
        name: _replaced(
            getattr(message, name),
            {path[1:]: block for path, block in blocks.items() if path[0] == name},
        )
        for name in fields
    }
    return message.model_copy(update=update)


class _LeftOut:
    """Stands where a block is to go without anything in its place."""


LEFT_OUT = _LeftOut()


def _replaced(value: Any, blocks: Mapping[Path, object]) -> Any:
    if () in blocks:
        return blocks[()]
    inner: dict[str | int, dict[Path, object]] = {}
    for path, block in blocks.items():
        inner.setdefault(path[0], {})[path[1:]] = block
    if isinstance(value, Mapping):
        return {
            key: _replaced(one, inner[key]) if key in inner else one for key, one in value.items()
        }
    made = [
        _replaced(one, inner[index]) if index in inner else one for index, one in enumerate(value)
    ]
    return [one for one in made if one is not LEFT_OUT]


def with_picture(block: Any, source: Source, picture: Encoded) -> Any:
    """The block with another picture, in the same form.

    Args:
        block: Stands for a picture.
        source: Where its content stands; an address gives way to the content itself.
        picture: Stands there afterwards.
    """
    if not isinstance(block, Mapping):  # a bare text that stands for an image
        return picture.data_url
    if source.address is not None:
        return _inline(block, source.path, picture)
    if isinstance(source.value, str):
        value: object = picture.data_url if is_data_url(source.value) else picture.base64
    elif isinstance(source.value, bytes | bytearray | memoryview):
        value = picture.content
    else:  # an image object: no provider's converter takes one
        return {"type": "image", "base64": picture.base64, "mime_type": picture.mime}
    return _set(block, source.path, value, picture.mime)


def _set(block: Mapping[Any, Any], path: Sequence[str], value: object, mime: str) -> Any:
    made = dict(block)
    key, *rest = path
    made[key] = _set(made[key], rest, value, mime) if rest else value
    for name in MIME_KEYS:
        if isinstance(made.get(name), str):
            made[name] = mime
    for name in ("format", "output_format"):  # Bedrock; generated pictures of OpenAI
        if isinstance(made.get(name), str):
            made[name] = mime.partition("/")[2]
    return made


def _inline(block: Mapping[Any, Any], path: Sequence[str], picture: Encoded) -> Any:
    """The block with content in place of its address; forms that have another key for it get it."""
    key, *rest = path
    if rest:
        inner = _inline(block[key], rest, picture)
        renamed = {"file_data": "inline_data", "fileData": "inlineData"}
        name = renamed.get(key, key) if rest[-1] in _INLINE else key
        return {(name if one == key else one): value for one, value in block.items()} | {
            name: inner
        }
    kept = {one: value for one, value in block.items() if one != key}
    if key in _INLINE:
        kept.pop("mimeType", None)
        declared = "mimeType" if key == "fileUri" else "mime_type"
        return {**kept, declared: picture.mime, "data": picture.base64}
    if key == "file_url":
        name = PurePath(picture.mime.replace("/", ".")).name
        return {"filename": name, **kept, "file_data": picture.data_url}
    if block.get("type") == "url":  # the source of an Anthropic image
        return {"type": "base64", "media_type": picture.mime, "data": picture.base64}
    return _set(block, (key,), picture.data_url, picture.mime)


def texts_in(message: BaseMessage, texts: Mapping[Path, str]) -> dict[Path, object]:
    """What is to stand in place of blocks that give way to a short text.

    Where nothing but a picture may stand (screenshots), it is a blank one. OpenAI shows its model a
    picture that it generated by its id, whatever else stands in the block; so that block goes, and
    with it the reasoning before it, which may not stand without.

    Args:
        message: Holds the blocks.
        texts: A text for each of them.
    """
    made: dict[Path, object] = {}
    for path, text in texts.items():
        blank = _takes_pictures_alone(message, path)
        block = at(message, path)
        made[path] = _blank(path, block) if blank else with_text(block, text)
        if isinstance(message, AIMessage) and is_generated(block) and path[-1]:
            before = (*path[:-1], int(path[-1]) - 1)
            if _kind(at(message, before)) == "reasoning":
                made[before] = LEFT_OUT
    return made


def with_text(block: Any, text: str) -> Any:
    """A short text in place of a block, in a form that may stand where the block stood."""
    if not isinstance(block, Mapping):
        return text
    kind = _kind(block)
    if kind == "document" and isinstance(block.get("source"), Mapping):
        plain = {"type": "text", "media_type": "text/plain", "data": text}
        return {**block, "source": plain}
    if "file_type" in block:  # a file that Anthropic's editor shows
        return {**block, "file_type": "text", "content": text}
    if "toolResult" in block:
        body = block["toolResult"]
        told = body if isinstance(body, Mapping) else {}
        kept = {key: told[key] for key in ("toolUseId", "status") if key in told}
        return {"toolResult": {**kept, "content": [{"text": text}]}}
    if kind and any(name in block for name in ("call_id", "tool_use_id")):
        # A result has to stay where its call is.
        kept = {name: block[name] for name in _NAMES if name in block}
        return {**kept, "output" if "call_id" in block else "content": text}
    if not kind:
        return {"text": text}
    kept = {key: block[key] for key in ("cache_control",) if key in block}
    return {"type": "input_text" if kind.startswith("input_") else "text", "text": text, **kept}


def _takes_pictures_alone(message: BaseMessage, path: Path) -> bool:
    if message.additional_kwargs.get("type") == "computer_call_output":
        return True
    kinds = [_kind(at(message, path[:length])) for length in range(1, len(path) + 1)]
    return "computer_call_output" in kinds[:-1] or kinds[-1] == _SCREENSHOTS[1]


def _blank(path: Path, block: Any) -> Any:
    url = as_png(Image.new("RGB", (_BLANK_SIDE, _BLANK_SIDE), "white")).data_url
    if path == ("content",):
        return url
    kind = _kind(block)
    if kind not in _SCREENSHOTS:
        # What stands in the message itself is known by the one form, what is nested by the other.
        kind = _SCREENSHOTS[len(path) > 2]
    kept = {"detail": block["detail"]} if isinstance(block, Mapping) and "detail" in block else {}
    return {"type": kind, "image_url": url, **kept}


def is_generated(block: Any) -> bool:
    """Whether a block of an answer holds a picture that OpenAI generated, and shows by its id."""
    named = block.get("id") if isinstance(block, Mapping) else None
    return _kind(block) == "image_generation_call" or str(named).startswith("ig_")


def _kind(block: Any) -> str:
    kind = block.get("type") if isinstance(block, Mapping) else None
    return kind if isinstance(kind, str) else ""


def at(message: BaseMessage, path: Path) -> Any:
    """The block that stands at a place in a message."""
    value: Any = getattr(message, str(path[0]))
    for step in path[1:]:
        value = value[step]
    return value
