"""Blocks that only providers know: do they carry anything to be seen or heard?

They are passed on untouched, so this decides what reaches a model unevaluated. Looked at is all
that is in them, however deep, for each form in which a provider takes pictures, sound, films and
documents: known blocks (which are read as such), keys, media types, ``data:`` URLs, base64 that
begins as such files do, addresses of files, and ids of stored ones.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from eta_guard.errors import InputError
from eta_guard.request.sources import DATA_KEYS, MIME_KEYS, is_data_url

CALL_INPUT = {
    "input",
    "args",
    "arguments",
    "partial_json",
    "action",
    "toolUse",
    "function_call",
} | {"functionCall", "reasoningContent"}
"""Keys of calls of tools, which the model reads as the text that it wrote itself."""

_SCHEMAS = {"input_schema", "output_schema", "parameters", "inputSchema", "outputSchema"}
"""Keys of descriptions of tools, in which the *names* of arguments say nothing of what is there."""

_MAX_DEPTH = 64

_MEDIA_KEYS = (
    {"image", "images", "image_url", "input_image", "image_data", "imageUrl", "screenshot", "photo"}
    | {"inline_data", "inlineData", "file_data", "fileData", "b64_json", "base64", "bytes"}
    | {"audio", "audio_url", "input_audio", "video", "video_url", "input_video", "media"}
    | {"file_uri", "fileUri", "gcs_uri", "s3Location", "document", "file_url", "pdf"}
)
_MEDIA_TYPE = re.compile(r"(image|audio|video|font|model)/|application/(?!json|xml)", re.IGNORECASE)
_MEDIA_KIND = re.compile(
    r"image|picture|photo|screenshot|video|audio|speech|document|pdf", re.IGNORECASE
)
_FILES_OF_A_SANDBOX = re.compile(
    r"container|code_execution|file_search|citation|_location|file_path"
)
_NAMES_PAGES = re.compile(r"^web_|citation|search_result|^mcp_|^file_search|^(search|open_page)$")

_WORDS = (
    {"text", "output", "stdout", "stderr", "code", "arguments", "thinking", "reasoning", "query"}
    | {"cited_text", "title", "code_execution_result", "executable_code", "diff", "error"}
    | {"error_message", "description", "command", "summary"}
)
"""Keys under which there are words, which no provider takes for anything else."""
_OPAQUE = {
    "signature",
    "thought_signature",
    "thoughtSignature",
    "encrypted_content",
    "id",
    "call_id",
} | {"encrypted_index", "encrypted_stdout", "tool_use_id", "type"}
_THOUGHTS = "redacted_thinking"
_IDS = {"file_id", "fileId"}
_ADDRESSES = {"url", "uri", "href", "src", "link", "source"}

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_DIGITS = re.compile(r"[A-Za-z0-9+/]{16,24}")
_FILE_NAME = re.compile(
    r"\.(png|jpe?g|jfif|gif|webp|bmp|tiff?|avif|hei[cf]|svg|ico|pdf|docx?|pptx?|xlsx?|mp[34g]|mpeg"
    r"|m4[av]|mov|webm|avi|mkv|wav|ogg|oga|opus|flac|aac)$",
    re.IGNORECASE,
)
_STORES = ("gs://", "s3://", "file:", "blob:", "ftp://")
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"<svg", b"\0\0\1\0")
_OTHERS = (b"RIFF", b"%PDF", b"OggS", b"fLaC", b"ID3\3", b"ID3\4", b"PK\3\4", b"\x1aE\xdf\xa3")


def find_known(
    block: Mapping[Any, Any], known: Collection[str]
) -> Iterator[tuple[Mapping[Any, Any], tuple[str | int, ...]]]:
    """Yields the blocks of known types within one that is not, with where each stands."""
    for value, path, _ in _walk(block, (), known, ("", False)):
        if path and _is_known(value, known):
            yield value, path


def refuse_media(block: Mapping[Any, Any], known: Collection[str] = ()) -> None:
    """Looks at all in a block, but for blocks of known types, which are read for themselves.

    Raises:
        InputError: It carries a picture, sound, a film or a document, or something that could
            be one.
    """
    for value, path, (kind, media) in _walk(block, (), known, ("", False)):
        if path and _is_known(value, known):
            continue
        key = next((str(one) for one in reversed(path) if isinstance(one, str)), "")
        if isinstance(value, Mapping):
            if not all(isinstance(one, str) for one in value):
                _refuse(kind, "keys that are no text")
            if value.get("type") == "item_reference":
                _refuse(kind, "a reference to an item that its provider has stored")
            file_type = value.get("file_type")
            if isinstance(file_type, str) and file_type != "text":
                _refuse(kind, f"a file of type {file_type[:40]!r}")
        elif isinstance(value, str):
            what = _what_it_carries(value, key, kind, media)
            if what:
                _refuse(kind, f"{what} under {key[:40]!r}")
        elif not isinstance(value, list | tuple | int | float | None):
            _refuse(kind, f"a {type(value).__name__} under {key[:40]!r}")


_Within = tuple[str, bool]
"""The type of the nearest block around a value; whether a key or a type around it names media."""


def _walk(
    value: Any, path: tuple[str | int, ...], known: Collection[str], within: _Within
) -> Iterator[tuple[Any, tuple[str | int, ...], _Within]]:
    """Yields each value in a block, itself included, but not what is in blocks of known types."""
    if len(path) > _MAX_DEPTH:
        _refuse(within[0], "content that is nested too deeply")
    kind, media = within
    schema = not _SCHEMAS.isdisjoint(path)
    if isinstance(value, Mapping) and not schema:
        if isinstance(value.get("type"), str):
            kind = value["type"]
        declared = [value[key] for key in MIME_KEYS if isinstance(value.get(key), str)]
        media = media or bool(_MEDIA_KIND.search(kind)) or any(map(_MEDIA_TYPE.match, declared))
    yield value, path, (kind, media)
    if path and _is_known(value, known):
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            named = (media or key in _MEDIA_KEYS) and not schema and key not in _SCHEMAS
            yield from _walk(inner, (*path, key), known, (kind, named))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, index), known, (kind, media))


def _is_known(value: object, known: Collection[str]) -> bool:
    return (
        isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"] in known
    )


def _what_it_carries(text: str, key: str, kind: str, media: bool) -> str | None:
    if is_data_url(text):
        return None if (key in _WORDS and not media) else "a data: URL"
    if key in _WORDS and not media:
        return None
    if _begins_like_a_file(text):
        return "a file as base64"
    if key in _IDS:
        return None if not media and _FILES_OF_A_SANDBOX.search(kind) else "a stored file"
    bare = "".join(text.split())
    opaque = key in _OPAQUE or kind == _THOUGHTS
    if not opaque and (media or key in DATA_KEYS) and _BASE64.fullmatch(bare):
        return "base64"
    if "://" in text[:12] or text.startswith(_STORES):
        if media or text.startswith(_STORES):
            return "an address"
        if key in _ADDRESSES and not _NAMES_PAGES.search(kind) and _names_a_file(text):
            return "the address of a file"
    return None


def _begins_like_a_file(text: str) -> bool:
    head = "".join(text[:64].split()).replace("-", "+").replace("_", "/")[:24]
    if not _DIGITS.fullmatch(head):
        return False
    begins = base64.b64decode(head[: len(head) // 4 * 4])
    bitmap = begins.startswith(b"BM") and begins[6:10] == b"\0\0\0\0"
    return begins.startswith(_IMAGES + _OTHERS) or begins[4:8] == b"ftyp" or bitmap


def _names_a_file(address: str) -> bool:
    try:
        return bool(_FILE_NAME.search(urlsplit(address).path))
    except ValueError:
        return True


def _refuse(kind: str, what: str) -> NoReturn:
    raise InputError(
        f"a block of type {kind[:60]!r}, which is not known here, carries {what}: it may be a"
        " picture, sound or document, and what cannot be evaluated is never treated as safe.",
        hint="Pass pictures in blocks of a known type, and leave other media out.",
    )
