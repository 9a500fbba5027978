"""Plain image files: those in which every decoder sees the same picture.

What two decoders may disagree on: turning (EXIF, XMP), transparency, which frame counts, colour
profiles and gamma, more than 8 bits, colour spaces that have to be guessed, gain maps, and bytes
after the end or of another format (a PDF, a film). A file in which anything of the kind is found is
not plain; nor is one with a part that is not known here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from PIL import Image

from eta_guard.request.colour_profiles import keeps_colours
from eta_guard.request.images import Decoded, orientation

MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""The formats of plain files, with their media types."""

_TURNED = re.compile(rb"rientation(?!\s*(?:=\s*[\"']1[\"']|>\s*1\s*<))")
"""XMP that asks for turning, however it writes it."""

_PNG_CHUNKS = {
    "IHDR",
    "PLTE",
    "IDAT",
    "IEND",
    "tEXt",
    "zTXt",
    "iTXt",
    "eXIf",
    "pHYs",
    "tIME",
    "hIST",
} | {"sBIT", "bKGD", "sRGB", "gAMA", "cHRM", "iCCP"}
_SRGB_GAMMA = 45455
_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)

_FRAMES = {0xC0, 0xC1, 0xC2}
_OTHER_FRAMES = set(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _ARITHMETIC, _LINES = 0xDA, 0xD9, 0xCC, 0xDC


def is_plain(decoded: Decoded) -> bool:
    """Whether a decoded image came from a plain file: JPEG, PNG or WebP with nothing to dispute."""
    data, image = decoded.content, decoded.opened
    if data is None or image.format not in MIME or b"%PDF-" in data:
        return False
    if getattr(image, "n_frames", 1) != 1 or orientation(image) != 1:
        return False
    if not _is_opaque(image):
        return False
    profile_mode = "L" if image.mode == "L" else "RGB"
    if not keeps_colours(image.info.get("icc_profile"), profile_mode):
        return False
    try:
        check = {"JPEG": _plain_jpeg, "PNG": _plain_png, "WEBP": _plain_webp}[image.format]
        return check(data, image)
    except (struct.error, IndexError, ValueError):  # no structure to rely on
        return False


def _is_opaque(image: Image.Image) -> bool:
    if image.mode == "P":
        if "transparency" in image.info or image.palette is None:
            return False
        # Decoders differ in what they show for an index beyond the palette.
        extrema: tuple[int, int] = image.getextrema()  # type: ignore[assignment]
        colours = len(image.palette.getdata()[1]) // len(image.palette.mode)
        return image.palette.mode == "RGB" and extrema[1] < colours
    if "transparency" in image.info:
        return False
    if image.mode in {"RGBA", "LA"}:
        alpha: tuple[int, int] = image.getchannel("A").getextrema()  # type: ignore[assignment]
        return alpha == (255, 255)
    return image.mode in {"RGB", "L", "1"}


def _plain_metadata(exif: bytes) -> bool:
    """Whether one block of EXIF asks for no turning; there may be several, of which readers pick.

    One that cannot be read asks for none from anybody.
    """
    found = Image.Exif()
    try:
        found.load(exif)
        return bool(found.get(0x0112, 1) == 1)
    except Exception:
        return not exif


def _plain_jpeg(data: bytes, image: Image.Image) -> bool:
    frames, marked, adobe, ids = 0, False, None, b""
    for marker, body in _segments(data):
        if marker in _FRAMES:
            frames += 1
            bits, components = body[0], body[5]
            ids = body[6 : 6 + 3 * components : 3]
            if bits != 8 or components not in {1, 3}:
                return False
        elif marker in _OTHER_FRAMES or marker in {_ARITHMETIC, _LINES}:
            return False
        elif marker == 0xE0:
            marked = marked or body.startswith(b"JFIF\0")
        elif marker == 0xE1:
            if body.startswith(b"Exif\0\0") and not _plain_metadata(body):
                return False
            if _TURNED.search(body) and not body.startswith(b"Exif\0\0"):
                return False
        elif marker == 0xE2 and not body.startswith(b"ICC_PROFILE\0"):
            return False  # further pictures (MPF), such as gain maps
        elif marker == 0xEE and body.startswith(b"Adobe"):
            adobe = body[11]
        elif 0xE3 <= marker <= 0xEC:
            return False
    if frames != 1:
        return False
    # Without a mark of the colour space decoders guess by the components' names.
    return len(ids) == 1 or adobe == 1 or (adobe is None and (marked or ids == b"\1\2\3"))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields marker and body of each segment of a JPEG that ends where its picture ends.

    Raises:
        ValueError: It does not, or is no JPEG.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == _END:
            if data[at + 2 :].strip(b"\0"):
                raise ValueError("bytes after the end")
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == _SCAN:
            # Within a scan 0xFF stands before a zero or a restart mark alone.
            found = _AFTER_SCAN.search(data, at)
            if found is None:
                raise ValueError("no end")
            at = found.start()


_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _plain_png(data: bytes, image: Image.Image) -> bool:
    seen: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
        if name.decode("latin-1") not in _PNG_CHUNKS:
            return False  # animation, cICP, Apple's own, whatever comes
        if name in {b"IHDR", b"PLTE", b"gAMA", b"cHRM", b"iCCP", b"eXIf"} and name in seen:
            return False
        if name == b"zTXt" and body.startswith((b"XML:com.adobe.xmp\0", b"Raw profile")):
            return False
        if name in {b"iTXt", b"tEXt"} and _asks_for_turning(body):
            return False
        seen.setdefault(name, body)
        if name == b"IEND":
            break
    if b"IEND" not in seen or data[at:].strip(b"\0"):
        return False
    if seen[b"IHDR"][8] > 8 or not _plain_metadata(seen.get(b"eXIf", b"")):
        return False
    if b"sRGB" in seen:
        return True
    gamma = seen.get(b"gAMA")
    if gamma is not None and abs(struct.unpack(">I", gamma)[0] - _SRGB_GAMMA) > 500:
        return False
    primaries = seen.get(b"cHRM")
    return primaries is None or all(
        abs(one - other) <= 100
        for one, other in zip(struct.unpack(">8I", primaries), _SRGB_PRIMARIES, strict=True)
    )


def _asks_for_turning(text: bytes) -> bool:
    """Text of a PNG that is metadata: XMP, or EXIF as some programs hide it there."""
    if text.startswith(b"Raw profile"):
        return True
    if not text.startswith(b"XML:com.adobe.xmp\0"):
        return False
    compressed = text[18:19] != b"\0"
    return compressed or bool(_TURNED.search(text))


def _plain_webp(data: bytes, image: Image.Image) -> bool:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return False
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data) or data[end:].strip(b"\0"):
        return False
    seen: set[bytes] = set()
    at = 12
    while at < end:
        name = data[at : at + 4]
        (length,) = struct.unpack_from("<I", data, at + 4)
        body = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
        if name in seen or name not in {
            b"VP8 ",
            b"VP8L",
            b"VP8X",
            b"ALPH",
            b"ICCP",
            b"EXIF",
            b"XMP ",
        }:
            return False
        seen.add(name)
        exif = body if body.startswith(b"Exif\0\0") else b"Exif\0\0" + body
        if name == b"EXIF" and not _plain_metadata(exif):
            return False
        if name == b"XMP " and _TURNED.search(body):
            return False
    return len(seen & {b"VP8 ", b"VP8L"}) == 1
