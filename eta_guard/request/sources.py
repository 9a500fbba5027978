"""Where the content of a block stands, in whichever of the known forms, and its bytes.

Nothing is ever opened or fetched here: content is in the message, or it stands elsewhere, which is
an error that says where.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from PIL import Image

from eta_guard.errors import ImageInputError

DATA_KEYS = {"base64", "data", "bytes", "file_data", "result", "b64_json"}
"""Keys whose text is base64 (or a ``data:`` URL)."""

PLACE_KEYS = (
    {"url", "uri", "path", "image", "image_url", "input_image", "source", "file", "file_url"}
    | {"inline_data", "inlineData", "file_uri", "fileUri", "file_id", "fileId", "fileData"}
    | {"s3Location", "gcs_uri", "text"}
)
"""Keys whose text says where an image stands: a ``data:`` URL is read, all else stands elsewhere.
(Text is content as well, of a text file; beside an image it would go unread.)

A mapping under a key of either kind is looked into, image objects and bytes are taken as they are.
"""

MIME_KEYS = ("mime_type", "mimeType", "media_type", "mediaType")
_MAX_DEPTH = 8

PASS_BYTES = (
    "Pass the bytes in the message: {'type': 'image', 'base64': '…', 'mime_type': 'image/png'}."
)


@dataclass(frozen=True)
class Source:
    """Where the content of a block stands: bytes, base64, a ``data:`` URL, or an image object."""

    key: str
    """The key under which it was found."""
    value: object = field(repr=False)
    """What stands there."""
    mime: str
    """The media type that a ``data:`` URL or the block declares, in lower case; may be empty."""
    path: tuple[str, ...] = ()
    """The keys that lead to it from the block; the last one is ``key``."""

    @property
    def address(self) -> str | None:
        """The web address that stands in place of the content, if one does."""
        if isinstance(self.value, str) and self.value[:8].lower().startswith(
            ("https://", "http://")
        ):
            return self.value
        return None

    def read(self) -> bytes | Image.Image:
        """Returns the content, without looking anywhere but into the block.

        Raises:
            ImageInputError: It is an address, a path or a file id, or no valid base64.
        """
        if isinstance(self.value, Image.Image | bytes):
            return self.value
        if isinstance(self.value, bytearray | memoryview):
            return bytes(self.value)
        if not isinstance(self.value, str):
            raise ImageInputError(
                f"{self.key!r} holds a {type(self.value).__name__}, not an image.",
                hint="Pass bytes, base64 text, a data: URL or a PIL image.",
            )
        if is_data_url(self.value):
            return _read_data_url(self.value)
        if self.key in DATA_KEYS and "://" not in self.value[:64]:
            return _read_base64(self.value)
        if self.address is not None:
            raise ImageInputError(
                f"{self.key!r} points elsewhere ({shown(self.value)}), which this policy never"
                " fetches.",
                hint=f"Name the host in the policy's `image_hosts` (https only). Or: {PASS_BYTES}",
            )
        raise ImageInputError(
            f"{self.key!r} points elsewhere ({shown(self.value)}); eta_guard never fetches paths"
            " or file ids.",
            hint=PASS_BYTES,
        )

    def is_written_plainly(self, content: bytes) -> bool:
        """Whether every reader finds the same bytes in the text that stands in the block.

        Readers of base64 differ in what they let pass: white space, missing padding, the URL-safe
        alphabet, percent signs, bits left over.

        Args:
            content: The bytes that ``read`` found.
        """
        if not isinstance(self.value, str):
            return True
        text = self.value
        if is_data_url(text):
            header, _, text = text.partition(",")
            if header != f"data:{self.mime};base64":
                return False
        return text == base64.b64encode(content).decode()


def is_data_url(text: str) -> bool:
    """Whether a text is a ``data:`` URL, which holds the content itself."""
    return text[:5].lower() == "data:"


def find_source(block: Mapping[Any, Any]) -> Source:
    """Finds the content that a block carries, in whichever of the known forms.

    Args:
        block: A content block that stands for an image or a file.

    Raises:
        ImageInputError: The block carries no content, or more than one: then two readers could
            take two different images for the same block.
    """
    sources = list(_walk(block, "", ()))
    if len(sources) == 1:
        return sources[0]
    if not sources:
        raise ImageInputError("the block holds no image data.", hint=PASS_BYTES)
    keys = ", ".join(repr(source.key) for source in sources)
    raise ImageInputError(
        f"the block holds more than one image ({keys}).", hint="Give each image a block of its own."
    )


def shown(address: str) -> str:
    """An address without what may be secret: user, path and query."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return repr(address[:40])
    return repr(f"{scheme[:20]}://{rest.split('/')[0].split('?')[0].rpartition('@')[2][:60]}/…")


def _walk(block: Mapping[Any, Any], mime: str, path: tuple[str, ...]) -> Iterator[Source]:
    """Yields all content that the block carries, however deep, with its media type."""
    if len(path) > _MAX_DEPTH:
        raise ImageInputError("the block is nested too deeply.", hint=PASS_BYTES)
    declared = [block[key] for key in MIME_KEYS if isinstance(block.get(key), str)]
    mime = declared[0].strip().lower() if declared else mime
    for key, value in block.items():
        if key not in DATA_KEYS | PLACE_KEYS or value is None:
            continue
        here = (*path, key)
        if isinstance(value, Mapping):
            yield from _walk(value, mime, here)
        elif isinstance(value, str) and is_data_url(value):
            declares = value[5:].split(",")[0].split(";")[0].strip().lower()
            yield Source(key, value, declares or mime, here)
        elif not isinstance(value, str | bytes) or value:
            yield Source(key, value, mime, here)
    if block.get("source_type") == "id":
        yield Source("id", str(block.get("id")), mime, (*path, "id"))


def _read_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    if not comma:
        raise ImageInputError("a data: URL has no comma, so no data.", hint=PASS_BYTES)
    if "base64" in [word.strip().lower() for word in header.split(";")[1:]]:
        return _read_base64(unquote(payload))
    return unquote_to_bytes(payload.encode(errors="replace"))


def _read_base64(text: str) -> bytes:
    """Decodes strictly, but for white space, missing padding and the URL-safe alphabet."""
    digits = "".join(text.split()).rstrip("=")
    if not ("+" in digits or "/" in digits):
        digits = digits.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageInputError("the base64 text is not valid.", hint=PASS_BYTES) from error
