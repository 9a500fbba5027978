"""Content blocks → texts and images: a reader for each type that is known.

A block that is skipped is a hole: what cannot be evaluated is not safe. So a block of another type
is an error, unless it is passed on to a provider and carries nothing to be seen or heard (see
``foreign``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NoReturn

from eta_guard.errors import ImageInputError, InputError
from eta_guard.request.foreign import CALL_INPUT, find_known, refuse_media
from eta_guard.request.parts import EARLIER_PICTURE, OMITTED, Part, Replaced, Unread, show
from eta_guard.request.reading import Reading
from eta_guard.request.rewriting import Path
from eta_guard.request.sources import DATA_KEYS, PLACE_KEYS, Source, find_source

_Block = Mapping[Any, Any]
_Parts = Iterator[Part]

_MAX_DEPTH = 8
_STRAY = frozenset(
    ("image", "image_url", "input_image", "inline_data", "inlineData", "base64", "video")
)
"""Keys that only image and file blocks have a business with: some chat templates show the model an
image for the key alone, whatever the block's type."""


class BlockReader:
    """Reads the blocks of one message."""

    def __init__(self, reading: Reading, *, earlier: bool = False) -> None:
        """Takes what is asked for.

        Args:
            reading: How.
            earlier: The message is of an earlier turn, whose pictures are shown to nobody.
        """
        self._reading = reading
        self._earlier = earlier

    def read(self, block: object, path: Path, depth: int = 0) -> _Parts:
        """Yields what one content block holds, nested ones included, in order.

        Args:
            block: A string or a mapping, in any form that LangChain or a provider knows.
            path: Where it stands in the message.
            depth: How deep it is nested in others.

        Raises:
            ImageInputError: An image cannot be read, or stands elsewhere.
            InputError: The block is of an unknown form, or of one that cannot be evaluated.
        """
        yield from self._settled(lambda: self._read(block, path, depth), path)

    def _settled(self, parts: Callable[[], _Parts], path: Path) -> _Parts:
        """What is read at a place, or what stands there where nothing can be."""
        try:
            yield from list(parts())
        except InputError as error:
            if self._earlier or self._reading.unreadable == "omit":
                yield Replaced(OMITTED, path, error.message)
            elif self._reading.unreadable == "keep":
                yield Unread(path, error.message)
            else:
                raise

    def read_picture(self, source: Source, path: Path) -> _Parts:
        """Yields the picture that stands at a source; raises as ``read`` does."""
        yield from self._settled(lambda: self._picture(lambda: source, path), path)

    def _read(self, block: object, path: Path, depth: int) -> _Parts:
        if isinstance(block, str):
            yield _checked(block)
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
            yield from self._foreign(block, path, depth)
            return
        stray = sorted(_STRAY & block.keys())
        if stray and reader not in (BlockReader._image, BlockReader._file, BlockReader._refuse):
            raise ImageInputError(
                f"a block of type {kind!r} carries {stray[0]!r} as well.",
                hint="Give each image a block of its own.",
            )
        yield from reader(self, block, path, depth)
        if self._reading.passed_on and reader is not BlockReader._refuse:
            read = _CONTENT.get(reader, CALL_INPUT)
            refuse_media({key: value for key, value in block.items() if key not in read})

    def _foreign(self, block: _Block, path: Path, depth: int) -> _Parts:
        """A block that only a provider knows: what it holds of known ones, and nothing else."""
        if not self._reading.passed_on:
            kind = _kind(block)
            what = f"unknown type {kind[:60]!r}" if kind else "unknown form (no type)"
            keys = ", ".join(repr(key)[:40] for key in list(block)[:8])
            raise InputError(
                f"a content block of {what} with the keys {keys} cannot be evaluated, nor be shown"
                " to a model of this engine.",
                hint="Accepted are text, images passed as bytes, text files, calls and results of"
                f" tools and reasoning; types: {', '.join(sorted(_READERS.keys() - _REFUSED))}."
                " What only a provider knows is passed on by a ChatModelEngine.",
            )
        known = _READERS.keys() - _TEXTS
        for inner, where in find_known(block, known):
            yield from self.read(inner, (*path, *where), depth + 1)
        refuse_media(block, known)

    def _text(self, block: _Block, path: Path, depth: int) -> _Parts:
        text = block.get("text", block.get(block.get("type")))
        if not isinstance(text, str):
            raise InputError("a text block has no text.", hint="Pass a string under 'text'.")
        yield _checked(text)

    def _nothing(self, block: _Block, path: Path, depth: int) -> _Parts:
        """Calls and reasoning, which the model reads as what it wrote itself."""
        yield from ()

    def _image(self, block: _Block, path: Path, depth: int) -> _Parts:
        yield from self._picture(lambda: find_source(block), path)

    def _picture(self, find: Callable[[], Source], path: Path) -> _Parts:
        # Of a picture that nobody is shown, not even whether it can be read counts.
        if self._earlier:
            yield Replaced(EARLIER_PICTURE, path)
        else:
            yield show(find(), path, self._reading)

    def _file(self, block: _Block, path: Path, depth: int) -> _Parts:
        """A file by its media type: text or an image; where none is declared, an image."""
        source = find_source(block)
        if source.key == "text":
            yield _checked(str(source.value))
        elif source.mime.startswith("text/") or block.get("type") == "text-plain":
            content = source.read()
            try:
                yield content.decode() if isinstance(content, bytes) else self._refuse(block)
            except UnicodeDecodeError as error:
                raise InputError("a text file is not UTF-8.", hint="Encode it anew.") from error
        elif source.mime.startswith("image/") or source.mime in {"", "application/octet-stream"}:
            yield from self._image(block, path, depth)
        else:
            self._refuse(block)

    def _document(self, block: _Block, path: Path, depth: int) -> _Parts:
        """An Anthropic document: text or blocks are read, a PDF is not."""
        source = block.get("source")
        kind = source.get("type") if isinstance(source, Mapping) else None
        if isinstance(source, Mapping) and kind == "text" and isinstance(source.get("data"), str):
            yield _checked(source["data"])
        elif isinstance(source, Mapping) and kind == "content":
            yield from self._read({**source, "type": "tool_result"}, (*path, "source"), depth + 1)
        else:
            self._refuse(block)

    def _result(self, block: _Block, path: Path, depth: int) -> _Parts:
        """What a tool gave back: text, one block, or a list of either; or nothing."""
        for key in ("content", "output", "outputs"):
            content = block.get(key)
            if not isinstance(content, list | tuple):
                yield from self._inner(content, (*path, key), depth)
                continue
            for index, inner in enumerate(content):
                yield from self._inner(inner, (*path, key, index), depth)

    def _inner(self, value: object, path: Path, depth: int) -> _Parts:
        bare = isinstance(value, int | float) and self._reading.passed_on
        if value is not None and not bare:
            yield from self.read(value, path, depth + 1)

    def _converse_result(self, block: _Block, path: Path, depth: int) -> _Parts:
        body = block.get("toolResult")
        if not isinstance(body, Mapping):
            raise InputError("a tool result is not a mapping.", hint="Pass its content as blocks.")
        yield from self._read({**body, "type": "tool_result"}, (*path, "toolResult"), depth + 1)

    def _wrapped(self, block: _Block, path: Path, depth: int) -> _Parts:
        if block.get("value") is None:
            raise InputError("a wrapping holds nothing.", hint="Put the block under 'value'.")
        yield from self.read(block["value"], (*path, "value"), depth + 1)

    def _json(self, block: _Block, path: Path, depth: int) -> _Parts:
        try:
            yield json.dumps(block.get("json"), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError("a JSON block is not JSON.", hint="Pass it as text.") from error

    def _refuse(self, block: _Block, path: Path = (), depth: int = 0) -> NoReturn:
        what = block.get("type") or next(iter(block))
        raise InputError(
            f"{what!r} content that is neither text nor an image cannot be evaluated, and what"
            " cannot be evaluated is never treated as safe.",
            hint="Leave it out, or pass its text, or its pages or frames as images. The policy's"
            ' `on_unreadable="omit"` leaves such content out by itself.',
        )


def _checked(text: str) -> str:
    """The text, if it is one: half of a surrogate pair is no character of any encoding."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"a text holds half of a surrogate pair ({text[error.start]!a}), which is no"
            " character.",
            hint="Decode the text anew, or leave that half out.",
        ) from error
    return text


def _kind(block: _Block) -> str:
    """The block's type; for the forms that have none (Bedrock, Google), by their one key."""
    if "type" in block:
        return block["type"] if isinstance(block["type"], str) else repr(block["type"])
    only = next(iter(block)) if len(block) == 1 else None
    return _UNTYPED.get(only, "") if isinstance(only, str) else ""


_Reader = Callable[[BlockReader, _Block, Path, int], _Parts]


def _types(reader: _Reader, names: str) -> dict[str, _Reader]:
    return dict.fromkeys(names.split(), reader)


_UNTYPED = {
    **{key: key for key in ("text", "image", "document", "video", "audio", "json")},
    **dict.fromkeys(("inline_data", "inlineData", "file_data", "fileData"), "file"),
    **dict.fromkeys(("toolUse", "function_call", "functionCall"), "tool_use"),
    "toolResult": "toolResult",
    "reasoningContent": "reasoning",
    "cachePoint": "cache_point",
}
_TEXTS = {"text", "input_text", "output_text", "refusal", "logs", "json"}
_READERS = {
    **_types(BlockReader._text, "text input_text output_text refusal logs"),
    **_types(BlockReader._image, "image image_url input_image image_generation_call"),
    **_types(BlockReader._image, "computer_screenshot"),
    **_types(BlockReader._file, "file input_file media text-plain"),
    **_types(BlockReader._document, "document"),
    **_types(BlockReader._result, "tool_result mcp_tool_result server_tool_result search_result"),
    **_types(BlockReader._result, "function_call_output custom_tool_call_output"),
    **_types(BlockReader._result, "computer_call_output code_interpreter_call"),
    **_types(BlockReader._converse_result, "toolResult"),
    **_types(BlockReader._json, "json"),
    **_types(BlockReader._wrapped, "non_standard"),
    **_types(BlockReader._nothing, "reasoning thinking redacted_thinking reasoning_content"),
    **_types(BlockReader._nothing, "cache_point input_json_delta tool_call tool_call_chunk"),
    **_types(BlockReader._nothing, "invalid_tool_call tool_use server_tool_call"),
    **_types(BlockReader._nothing, "server_tool_call_chunk server_tool_use mcp_tool_use"),
    **_types(BlockReader._nothing, "function_call custom_tool_call computer_call web_search_call"),
}
_SHOWN = DATA_KEYS | PLACE_KEYS | {"type", "extras", "metadata"}
_CONTENT: dict[_Reader, Collection[str]] = {
    BlockReader._text: {"text", "refusal", "logs"},
    BlockReader._image: _SHOWN,
    BlockReader._file: _SHOWN,
    BlockReader._document: {"type", "source"},
    BlockReader._result: {"content", "output", "outputs"},
    BlockReader._converse_result: {"toolResult"},
    BlockReader._json: {"json"},
    BlockReader._wrapped: {"value"},
}
"""What each reader reads, or passes by since no provider looks there for anything to be seen.
Nothing of the kind may stand under another key of a block that is passed on."""
_REFUSED = _types(
    BlockReader._refuse, "audio input_audio output_audio audio_url video input_video video_url"
)
_READERS.update(_REFUSED)
