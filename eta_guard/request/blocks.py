"""Content blocks → texts and images: a reader for each type that is known, an error for all others.

A block that is skipped is a hole: what cannot be evaluated is not safe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from PIL.Image import Image

from eta_guard.errors import ImageInputError, InputError
from eta_guard.request.images import decode_source, find_source, read_image

_Block = Mapping[Any, Any]
_Parts = Iterator[str | Image]

_MAX_DEPTH = 8
_STRAY = frozenset(
    ("image", "image_url", "input_image", "inline_data", "inlineData", "base64", "video")
)
"""Keys that only image and file blocks have a business with: some chat templates show the model an
image for the key alone, whatever the block's type."""


def read_block(block: object, depth: int = 0) -> Iterator[str | Image]:
    """Yields the texts and images of one content block, nested ones included, in order.

    Args:
        block: A string or a mapping, in any form that LangChain or a provider knows.
        depth: How deep it is nested in others.

    Raises:
        ImageInputError: An image cannot be read, or stands elsewhere.
        InputError: The block is of an unknown form, or of one that cannot be evaluated.
    """
    if isinstance(block, str):
        yield block
        return
    if depth > _MAX_DEPTH:
        raise InputError("the content is nested too deeply.", hint="Flatten it.")
    if not isinstance(block, Mapping):
        raise InputError(
            f"a content block is a {type(block).__name__}.", hint="Pass text or a mapping."
        )
    kind = _kind(block)
    reader = _READERS.get(kind)
    if reader is None:
        what = f"unknown type {kind[:60]!r}" if kind else "unknown form (no type)"
        keys = ", ".join(repr(key)[:40] for key in list(block)[:8])
        raise InputError(
            f"a content block of {what} with the keys {keys} cannot be evaluated.",
            hint="Accepted are text, images passed as bytes, text files, calls and results of tools"
            f" and reasoning; types: {', '.join(sorted(_READERS.keys() - _REFUSED.keys()))}.",
        )
    stray = sorted(_STRAY & block.keys())
    if stray and reader not in (_image, _file, _refuse):
        raise ImageInputError(
            f"a block of type {kind!r} carries {stray[0]!r} as well.",
            hint="Give each image a block of its own.",
        )
    yield from reader(block, depth)


def _kind(block: _Block) -> str:
    """The block's type; for the forms that have none (Bedrock, Google), by their one key."""
    if "type" in block:
        return block["type"] if isinstance(block["type"], str) else repr(block["type"])
    only = next(iter(block)) if len(block) == 1 else None
    return _UNTYPED.get(only, "") if isinstance(only, str) else ""


def _text(block: _Block, depth: int) -> _Parts:
    text = block.get("text", block.get(block.get("type")))
    if not isinstance(text, str):
        raise InputError("a text block has no text.", hint="Pass a string under 'text'.")
    yield text


def _nothing(block: _Block, depth: int) -> _Parts:
    yield from ()


def _image(block: _Block, depth: int) -> _Parts:
    yield read_image(block)


def _file(block: _Block, depth: int) -> _Parts:
    """A file by its media type: text or an image; where none is declared, an image or an error."""
    source = find_source(block)
    if source.key == "text":
        yield str(source.value)
    elif source.mime.startswith("text/") or block.get("type") == "text-plain":
        content = source.read()
        try:
            yield content.decode() if isinstance(content, bytes) else _refuse(block, depth)
        except UnicodeDecodeError as error:
            raise InputError("a text file is not UTF-8.", hint="Encode it anew.") from error
    elif source.mime.startswith("image/") or source.mime in {"", "application/octet-stream"}:
        yield decode_source(source)
    else:
        _refuse(block, depth)


def _document(block: _Block, depth: int) -> _Parts:
    """An Anthropic document: text or blocks are read, a PDF is not."""
    source = block.get("source")
    kind = source.get("type") if isinstance(source, Mapping) else None
    if isinstance(source, Mapping) and kind == "text" and isinstance(source.get("data"), str):
        yield source["data"]
    elif isinstance(source, Mapping) and kind == "content":
        yield from read_block({**source, "type": "tool_result"}, depth + 1)
    else:
        _refuse(block, depth)


def _result(block: _Block, depth: int) -> _Parts:
    """What a tool gave back: text, one block, or a list of either; or nothing."""
    for key in ("content", "output", "outputs"):
        content = block.get(key)
        for inner in content if isinstance(content, list | tuple) else [content]:
            if inner is not None:
                yield from read_block(inner, depth + 1)


def _converse_result(block: _Block, depth: int) -> _Parts:
    body = block.get("toolResult")
    if not isinstance(body, Mapping):
        raise InputError("a tool result is not a mapping.", hint="Pass its content as blocks.")
    yield from read_block({**body, "type": "tool_result"}, depth + 1)


def _wrapped(block: _Block, depth: int) -> _Parts:
    yield from read_block(block.get("value"), depth + 1)


def _json(block: _Block, depth: int) -> _Parts:
    try:
        yield json.dumps(block.get("json"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("a JSON block is not JSON.", hint="Pass it as text.") from error


def _refuse(block: _Block, depth: int) -> NoReturn:
    what = block.get("type") or next(iter(block))
    raise InputError(
        f"{what!r} content that is neither text nor an image cannot be evaluated, and what cannot"
        " be evaluated is never treated as safe.",
        hint="Leave it out, or pass its text, or its pages or frames as images.",
    )


def _types(reader: _Reader, names: str) -> dict[str, _Reader]:
    return dict.fromkeys(names.split(), reader)


_Reader = Callable[[_Block, int], _Parts]
_UNTYPED = {
    **{key: key for key in ("text", "image", "document", "video", "audio", "json")},
    **dict.fromkeys(("inline_data", "inlineData", "file_data", "fileData"), "file"),
    **dict.fromkeys(("toolUse", "function_call", "functionCall"), "tool_use"),
    "toolResult": "toolResult",
    "reasoningContent": "reasoning",
    "cachePoint": "cache_point",
}
_READERS = {
    **_types(_text, "text input_text output_text refusal logs"),
    **_types(_image, "image image_url input_image image_generation_call computer_screenshot"),
    **_types(_file, "file input_file media text-plain"),
    **_types(_document, "document"),
    **_types(_result, "tool_result mcp_tool_result server_tool_result function_call_output"),
    **_types(_result, "custom_tool_call_output computer_call_output code_interpreter_call"),
    **_types(_result, "search_result"),
    **_types(_converse_result, "toolResult"),
    **_types(_json, "json"),
    **_types(_wrapped, "non_standard"),
    **_types(_nothing, "reasoning thinking redacted_thinking reasoning_content cache_point"),
    **_types(_nothing, "tool_call tool_call_chunk invalid_tool_call tool_use input_json_delta"),
    **_types(_nothing, "server_tool_call server_tool_call_chunk server_tool_use mcp_tool_use"),
    **_types(_nothing, "function_call custom_tool_call computer_call"),
    **_types(_nothing, "web_search_call web_search_tool_result web_search_result file_search_call"),
}
_REFUSED = _types(_refuse, "audio input_audio output_audio audio_url video input_video video_url")
_READERS.update(_REFUSED)
