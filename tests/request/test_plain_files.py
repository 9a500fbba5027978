"""What goes on as it came is what every decoder sees alike; all else is encoded anew."""

from __future__ import annotations

import base64
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from eta_guard.request.images import Decoded, decode_source
from eta_guard.request.plain_files import is_plain
from eta_guard.request.sources import Source


def photo(mode: str = "RGB") -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).convert(mode)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> Decoded:
    return decode_source(Source("base64", data, ""), data)


def turned(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue change places."""
    return SRGB.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(name: bytes, body: bytes, png: bytes | None = None) -> bytes:
    png = png or encode(photo(), "PNG")
    return png[:33] + chunk(name, body) + png[33:]


def with_segment(marker: int, body: bytes, jpeg: bytes | None = None) -> bytes:
    jpeg = jpeg or encode(photo(), "JPEG")
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def opaque() -> Image.Image:
    image = photo("RGBA")
    image.putalpha(255)
    return image


def seen_through() -> Image.Image:
    image = photo("RGBA")
    image.putalpha(254)
    return image


def told(name: str, value: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(name, value)
    return info


XMP = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="%s"/>'

PLAIN = {
    "JPEG": encode(photo(), "JPEG"),
    "grey JPEG": encode(photo("L"), "JPEG"),
    "progressive JPEG": encode(photo(), "JPEG", progressive=True, subsampling=0),
    "JPEG with restarts": encode(photo(), "JPEG", restart_marker_rows=1),
    "JPEG upright by EXIF": encode(photo(), "JPEG", exif=turned(1)),
    "JPEG upright by XMP": with_segment(0xE1, XMP % b"1"),
    "JPEG with a comment": encode(photo(), "JPEG", comment=b"A cup."),
    "JPEG in sRGB": encode(photo(), "JPEG", icc_profile=SRGB),
    "PNG": encode(photo(), "PNG"),
    "grey PNG": encode(photo("L"), "PNG"),
    "black and white PNG": encode(photo("1"), "PNG"),
    "PNG with a palette": encode(photo().quantize(16), "PNG"),
    "opaque PNG": encode(opaque(), "PNG"),
    "PNG in sRGB": encode(photo(), "PNG", icc_profile=SRGB),
    "PNG of sRGB's gamma": with_chunk(b"gAMA", struct.pack(">I", 45455)),
    "PNG with text": encode(photo(), "PNG", pnginfo=told("Author", "Ada")),
    "WebP": encode(photo(), "WEBP"),
    "lossless WebP": encode(photo(), "WEBP", lossless=True),
    "WebP with EXIF": encode(photo(), "WEBP", exif=turned(1)),
    "opaque WebP": encode(opaque(), "WEBP", lossless=True),
}

NOT_PLAIN = {
    "turned JPEG": encode(photo(), "JPEG", exif=turned()),
    "JPEG turned by XMP": with_segment(0xE1, XMP % b"6"),
    "JPEG with two EXIF": with_segment(
        0xE1, turned().tobytes(), encode(photo(), "JPEG", exif=turned(1))
    ),
    "JPEG with two EXIF, the other way round": with_segment(
        0xE1, turned(1).tobytes(), encode(photo(), "JPEG", exif=turned())
    ),
    "turned PNG": encode(photo(), "PNG", exif=turned()),
    "turned WebP": encode(photo(), "WEBP", exif=turned()),
    "CMYK JPEG": encode(photo("CMYK"), "JPEG"),
    "JPEG of several pictures": encode(photo(), "MPO", save_all=True, append_images=[photo()]),
    "JPEG with a gain map": with_segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0"),
    "JPEG with bytes after it": encode(photo(), "JPEG") + b"PK\3\4",
    "JPEG with a film after it": encode(photo(), "JPEG") + b"\0\0\0\x18ftypmp42",
    "JPEG that is a PDF": with_segment(0xFE, b"%PDF-1.7 "),
    "JPEG in swapped colours": encode(photo(), "JPEG", icc_profile=swapped_profile()),
    "JPEG with a broken profile": encode(photo(), "JPEG", icc_profile=b"nonsense" * 30),
    "JPEG in RGB": encode(photo(), "JPEG", keep_rgb=True),
    "PNG seen through": encode(seen_through(), "PNG"),
    "PNG with a transparent colour": encode(photo(), "PNG", transparency=(1, 2, 3)),
    "PNG with a transparent index": encode(photo().quantize(16), "PNG", transparency=1),
    "16-bit PNG": encode(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"),
    "animated PNG": encode(
        photo(), "PNG", save_all=True, append_images=[photo("L").convert("RGB")]
    ),
    "PNG of another gamma": with_chunk(b"gAMA", struct.pack(">I", 100000)),
    "PNG of other primaries": with_chunk(
        b"cHRM", struct.pack(">8I", 31270, 32900, 15000, 6000, 30000, 60000, 64000, 33000)
    ),
    "PNG with coding of colours": with_chunk(b"cICP", bytes([9, 16, 0, 1])),
    "PNG of Apple's": with_chunk(b"iDOT", b"\0" * 28),
    "PNG in swapped colours": encode(photo(), "PNG", icc_profile=swapped_profile()),
    "PNG with bytes after it": encode(photo(), "PNG") + b"more",
    "PNG with two gammas": with_chunk(
        b"gAMA", struct.pack(">I", 45455), with_chunk(b"gAMA", struct.pack(">I", 45455))
    ),
    "animated WebP": encode(photo(), "WEBP", save_all=True, append_images=[photo("L")]),
    "WebP seen through": encode(seen_through(), "WEBP", lossless=True),
    "WebP in swapped colours": encode(photo(), "WEBP", icc_profile=swapped_profile()),
    "WebP with bytes after it": encode(photo(), "WEBP") + b"more",
    "GIF": encode(photo(), "GIF"),
    "BMP": encode(photo(), "BMP"),
    "TIFF": encode(photo(), "TIFF"),
    "AVIF": encode(photo(), "AVIF"),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_what_every_decoder_sees_alike_is_plain(data: bytes) -> None:
    assert is_plain(decoded(data))


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_what_decoders_may_see_otherwise_is_not(data: bytes) -> None:
    assert not is_plain(decoded(data))


def test_an_image_object_has_no_file_to_pass_on() -> None:
    assert not is_plain(decode_source(Source("image", photo(), ""), photo()))


def test_a_png_turned_by_its_text_is_not_plain() -> None:
    for xmp in ('<x tiff:Orientation="6"/>', "<tiff:Orientation>3</tiff:Orientation>"):
        body = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode()
        assert not is_plain(decoded(with_chunk(b"iTXt", body)))
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'<x tiff:Orientation="6"/>')
    assert not is_plain(decoded(with_chunk(b"iTXt", body)))


def test_damage_to_a_plain_file_never_raises() -> None:
    draw = np.random.default_rng(0)
    for data in PLAIN.values():
        whole = decoded(data)
        for _ in range(20):
            damaged = bytearray(data)
            for at in draw.integers(0, len(data), 4):
                damaged[at] = draw.integers(256)
            assert is_plain(Decoded(whole.pixels, whole.opened, bytes(damaged))) in {True, False}


# ── how the text of a block is written ──


def test_only_canonical_base64_is_passed_on() -> None:
    data = PLAIN["PNG"]
    plain = base64.b64encode(data).decode()
    spaced = plain[:40] + "\n" + plain[40:]
    url_safe = plain.replace("+", "-").replace("/", "_")
    for text_, key, canonical in (
        (plain, "base64", True),
        (spaced, "base64", False),
        (url_safe, "base64", False),
        (f"data:image/png;base64,{plain}", "url", True),
        (f"data:image/png;charset=x;base64,{plain}", "url", False),
        (f"DATA:image/png;base64,{plain}", "url", False),
        (f"data:image/png;base64,{spaced}", "url", False),
        (f"data:image/png;base64,{plain.replace('+', '%2B')}", "url", False),
    ):
        source = Source(key, text_, "image/png")
        assert source.read() == data
        assert source.is_written_plainly(data) == canonical, text_[:40]
