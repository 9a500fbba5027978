"""Pixels → an image file, for providers that are not sent the original."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, JpegImagePlugin

from eta_guard.request.images import Decoded, decode_image, orientation

MOST_BYTES = 5 * 1024 * 1024 * 3 // 4
"""Of a file: no provider takes more than 5 MB of base64 with certainty."""
LONGEST_SIDE = 8000
"""Pixels; what providers take with certainty."""

_PHOTOS = {"AVIF", "HEIF"}
_QUALITIES = (90, 75, 50)
_SCALE = 0.7
_TRANSPOSED = {5, 6, 7, 8}


@dataclass(frozen=True)
class Encoded:
    """An image file."""

    content: bytes = field(repr=False)
    mime: str
    """Its media type."""

    @classmethod
    def of(cls, content: bytes) -> Encoded:
        """An image file that can be decoded, with the media type that it really has."""
        with Image.open(BytesIO(content)) as image:
            return cls(content, Image.MIME.get(image.format or "", "image/png"))

    @property
    def base64(self) -> str:
        """The file as base64 text."""
        return base64.b64encode(self.content).decode()

    @property
    def data_url(self) -> str:
        """The file as a ``data:`` URL."""
        return f"data:{self.mime};base64,{self.base64}"


def encode(decoded: Decoded, pixels: Image.Image) -> tuple[Encoded, Image.Image]:
    """Encodes pixels anew, in the format of the original where that is smaller.

    A JPEG keeps its quantisation tables and its subsampling, so that hardly anything is lost. A
    quality is lowered, and pixels are scaled down, as far as the file has to be made smaller.

    Args:
        decoded: What the pixels came from.
        pixels: RGB, as they are to be seen.

    Returns:
        The file, at most ``MOST_BYTES`` long and ``LONGEST_SIDE`` wide and high, and the pixels
        that it shows: where it is not lossless, what it is decoded to.
    """
    pixels = scaled_down(pixels, LONGEST_SIDE)
    for kind, tried, options in _ways(decoded, pixels):
        buffer = BytesIO()
        tried.save(buffer, kind, **options)
        if buffer.tell() <= MOST_BYTES:
            break
    encoded = Encoded(buffer.getvalue(), f"image/{kind.lower()}")
    return encoded, tried if kind == "PNG" else decode_image(encoded.content)


def as_png(pixels: Image.Image) -> Encoded:
    """The pixels without loss, however large."""
    buffer = BytesIO()
    pixels.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), "image/png")


def scaled_down(pixels: Image.Image, longest: int | None) -> Image.Image:
    """The image, scaled down where a side is longer than ``longest`` pixels; None: as it is."""
    if longest is None or max(pixels.size) <= longest:
        return pixels
    width, height = (max(1, round(side * longest / max(pixels.size))) for side in pixels.size)
    return pixels.resize((width, height), Image.Resampling.LANCZOS)


def _ways(
    decoded: Decoded, pixels: Image.Image
) -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """Yields format, pixels and options to try, the best first, and smaller ones without end."""
    kind = decoded.opened.format
    if kind in {"JPEG", "MPO"}:
        grey = decoded.opened.mode == "L"
        yield "JPEG", pixels.convert("L") if grey else pixels, _as_jpeg(decoded.opened)
    elif not _is_photo(decoded):
        yield "PNG", pixels, {}
    while True:
        for quality in _QUALITIES:
            yield "JPEG", pixels, {"quality": quality, "optimize": True}
        pixels = scaled_down(pixels, max(1, int(max(pixels.size) * _SCALE)))


def _is_photo(decoded: Decoded) -> bool:
    """Whether the original is compressed with loss, and would be many times as large as PNG."""
    lossy = decoded.opened.format == "WEBP" and b"VP8 " in (decoded.content or b"")
    return lossy or decoded.opened.format in _PHOTOS


def _as_jpeg(opened: Any) -> dict[str, Any]:
    """How the original was encoded; turned pixels take turned tables, to round as it did."""
    if opened.mode not in {"L", "RGB"}:
        return {"quality": _QUALITIES[0], "optimize": True}
    turned = orientation(opened) in _TRANSPOSED
    tables = [
        [table[8 * column + row] for row in range(8) for column in range(8)] if turned else table
        for _, table in sorted(opened.quantization.items())
    ]
    sampling = JpegImagePlugin.get_sampling(opened)
    return {
        "qtables": tables,
        "subsampling": 0 if sampling == -1 or (turned and sampling == 1) else sampling,
        "progressive": bool(opened.info.get("progressive")),
        "optimize": True,
    }
