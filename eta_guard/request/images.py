"""Image files → pixels, safely.

Whoever looks at an image, evaluator or chat model, is given the pixels that come out of here:

- the first frame of an animation, or the frame at which an image object stands;
- upright, as EXIF (or XMP) says; damaged metadata counts as none;
- transparency laid over white;
- 8-bit RGB: of 16-bit greyscale the high byte (Pillow's own conversion clips it to white), palettes
  looked up, CMYK by Pillow's plain formula; colour profiles are not applied.

What a block declares (``mime_type``, ``format``) is not relied on: the bytes decide, among
``FORMATS`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from eta_guard.errors import ImageInputError
from eta_guard.request.sources import Source

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""The raster formats that are decoded; Pillow's other plugins (EPS runs a program) are not. HEIC is
decoded as well where ``pillow-heif`` is installed."""

MAX_PIXELS = 8192 * 8192
"""Most pixels of one image, checked before it is decoded: small files can hold huge images."""

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

_HEIF = "HEIF"
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Decoded:
    """An image as everyone is to see it, and the file it came from."""

    pixels: Image.Image = field(repr=False)
    """RGB, 8 bits a channel, upright, of any size up to ``MAX_PIXELS``."""
    opened: Image.Image = field(repr=False)
    """As Pillow opened it: format, metadata, and the pixels as they are stored."""
    content: bytes | None = field(repr=False)
    """The file; None where an image object was given."""


def decode_source(source: Source, content: bytes | Image.Image) -> Decoded:
    """Decodes the content of a source.

    Args:
        source: What ``find_source`` found.
        content: What was read there.

    Raises:
        ImageInputError: It is damaged, too large, or of a format that is not accepted.
    """
    if source.mime.startswith("image/svg"):
        raise ImageInputError(
            "an SVG is a drawing, not pixels: each reader could draw it differently.",
            hint="Render it to PNG and pass that.",
        )
    if isinstance(content, bytes):
        return decode_file(content)
    image = content
    return _decode(lambda: image, None)


def decode_image(data: bytes) -> Image.Image:
    """Decodes the bytes of an image file; returns RGB, raises as ``decode_source`` does."""
    return decode_file(data).pixels


def decode_file(data: bytes) -> Decoded:
    """Decodes the bytes of an image file; raises as ``decode_source`` does."""
    formats: tuple[str, ...] = FORMATS
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]:
        _register_heif()
        formats = (_HEIF,)
    return _decode(lambda: Image.open(BytesIO(data), formats=formats), data)


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImageInputError(
            "the image is HEIC, which is read with pillow-heif alone; that is not installed.",
            hint="pip install pillow-heif, or save the image as JPEG.",
        ) from error
    register_heif_opener()


def _decode(open_image: Callable[[], Image.Image], content: bytes | None) -> Decoded:
    """Opens an image, checks its size, and only then decodes it."""
    try:
        image = open_image()
        # MPO is what many cameras' JPEGs are.
        if image.format not in {None, "MPO", _HEIF, *FORMATS}:
            raise ValueError(image.format)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        return Decoded(_to_rgb(set_upright(image)), image, content)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageInputError(
            f"the image has more than {MAX_PIXELS:,} pixels.", hint="Scale it down."
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever they trip over
        raise ImageInputError(
            "the image cannot be decoded: it is empty, damaged, cut short or of another format.",
            hint=f"Save it anew, with 8 bits a channel, as one of {', '.join(FORMATS)}.",
        ) from error


def orientation(image: Image.Image) -> int:
    """How an image is to be turned, as EXIF has it: 1 (as it is) to 8."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata does not hide the pixels, which all readers share
        return 1
    return found if found in _UPRIGHT else 1


def set_upright(image: Image.Image) -> Image.Image:
    """The image turned as its metadata asks."""
    turn = _UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:  # 32 bits a pixel: no telling what black and white are
        raise ValueError(image.mode)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
