"""Message content → pixels, safely: finds the one image of a content block and decodes it.

Whoever looks at an image, evaluator or chat model, is given the pixels that come out of here:

- the first frame of an animation, or the frame at which an image object stands;
- upright, as EXIF (or XMP) says; damaged metadata counts as none;
- transparency laid over white;
- 8-bit RGB: of 16-bit greyscale the high byte (Pillow's own conversion clips it to white), palettes
  looked up, CMYK by Pillow's plain formula; colour profiles are not applied.

Nothing is ever fetched or opened: an image is in the message, or it is an error. What the block
declares (``mime_type``, ``format``) is not relied on: the bytes decide, among ``FORMATS`` alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from PIL import ExifTags, Image

from eta_guard.errors import ImageInputError

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""The raster formats that are decoded; Pillow's other plugins (EPS runs a program) are not."""

MAX_PIXELS = 8192 * 8192
"""Most pixels of one image, checked before it is decoded: small files can hold huge images."""

_DATA_KEYS = {"base64", "data", "bytes", "file_data", "result", "b64_json"}
"""Keys whose text is base64 (or a ``data:`` URL)."""

_PLACE_KEYS = (
    {"url", "uri", "path", "image", "image_url", "input_image", "source", "file", "file_url"}
    | {"inline_data", "inlineData", "file_uri", "fileUri", "file_id", "fileId", "fileData"}
    | {"s3Location", "gcs_uri", "text"}
)
"""Keys whose text says where an image stands: a ``data:`` URL is read, all else is refused. (Text
is content as well, of a text file; beside an image it would go unread.)

A mapping under a key of either kind is looked into, image objects and bytes are taken as they are.
"""

_MIME_KEYS = ("mime_type", "mimeType", "media_type", "mediaType")
_MAX_DEPTH = 8

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what sets the image upright. (``ImageOps.exif_transpose`` writes the metadata
anew as well, and fails on tags that it cannot write.)"""

_PASS_BYTES = (
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
        if self.value[:5].lower() == "data:":
            return _read_data_url(self.value)
        if self.key in _DATA_KEYS and "://" not in self.value[:64]:
            return _read_base64(self.value)
        raise ImageInputError(
            f"{self.key!r} points elsewhere ({_shown(self.value)}); eta_guard never fetches: no"
            " addresses, no paths, no file ids.",
            hint=_PASS_BYTES,
        )


def find_source(block: Mapping[Any, Any]) -> Source:
    """Finds the content that a block carries, in whichever of the known forms.

    Args:
        block: A content block that stands for an image or a file.

    Raises:
        ImageInputError: The block carries no content, or more than one: then two readers could
            take two different images for the same block.
    """
    sources = list(_walk(block, "", 0))
    if len(sources) == 1:
        return sources[0]
    if not sources:
        raise ImageInputError("the block holds no image data.", hint=_PASS_BYTES)
    keys = ", ".join(repr(source.key) for source in sources)
    raise ImageInputError(
        f"the block holds more than one image ({keys}).", hint="Give each image a block of its own."
    )


def read_image(block: Mapping[Any, Any]) -> Image.Image:
    """Decodes the one image of a content block.

    Returns:
        RGB, 8 bits a channel, of any size up to ``MAX_PIXELS``.

    Raises:
        ImageInputError: The image stands elsewhere, is missing, damaged, too large, or of a format
            that is not accepted.
    """
    return decode_source(find_source(block))


def decode_source(source: Source) -> Image.Image:
    """Decodes what ``find_source`` found; returns and raises as ``read_image`` does."""
    if source.mime.startswith("image/svg"):
        raise ImageInputError(
            "an SVG is a drawing, not pixels: each reader could draw it differently.",
            hint="Render it to PNG and pass that.",
        )
    content = source.read()
    if isinstance(content, bytes):
        return decode_image(content)
    image = content
    return _decode(lambda: image)


def decode_image(data: bytes) -> Image.Image:
    """Decodes the bytes of an image file; returns and raises as ``read_image`` does."""
    return _decode(lambda: Image.open(BytesIO(data), formats=FORMATS))


def _walk(block: Mapping[Any, Any], mime: str, depth: int) -> Iterator[Source]:
    """Yields all content that the block carries, however deep, with its media type."""
    if depth > _MAX_DEPTH:
        raise ImageInputError("the block is nested too deeply.", hint=_PASS_BYTES)
    declared = [block[key] for key in _MIME_KEYS if isinstance(block.get(key), str)]
    mime = declared[0].strip().lower() if declared else mime
    for key, value in block.items():
        if key not in _DATA_KEYS | _PLACE_KEYS or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _walk(value, mime, depth + 1)
        elif isinstance(value, str) and value[:5].lower() == "data:":
            yield Source(key, value, value[5:].split(",")[0].split(";")[0].strip().lower() or mime)
        elif not isinstance(value, str | bytes) or value:
            yield Source(key, value, mime)
    if block.get("source_type") == "id":
        yield Source("id", str(block.get("id")), mime)


def _decode(open_image: Callable[[], Image.Image]) -> Image.Image:
    """Opens an image, checks its size, and only then decodes it."""
    try:
        image = open_image()
        if image.format not in {None, "MPO", *FORMATS}:  # MPO is what many cameras' JPEGs are
            raise ValueError(image.format)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        return _to_rgb(_set_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageInputError(
            f"the image has more than {MAX_PIXELS:,} pixels.", hint="Scale it down."
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever they trip over
        raise ImageInputError(
            "the image cannot be decoded: it is empty, damaged, cut short or of another format.",
            hint=f"Save it anew, with 8 bits a channel, as one of {', '.join(FORMATS)}.",
        ) from error


def _set_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata does not hide the pixels, which all readers share
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:  # 32 bits a pixel: no telling what black and white are
        raise ValueError(image.mode)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _read_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    if not comma:
        raise ImageInputError("a data: URL has no comma, so no data.", hint=_PASS_BYTES)
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
    except ValueError as error:
        raise ImageInputError("the base64 text is not valid.", hint=_PASS_BYTES) from error


def _shown(address: str) -> str:
    """An address without what may be secret: user, path and query."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return repr(address[:40])
    return repr(f"{scheme[:20]}://{rest.split('/')[0].split('?')[0].rpartition('@')[2][:60]}/…")
