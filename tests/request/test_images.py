from __future__ import annotations

import base64
import contextlib
import struct
import sys
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from eta_guard.errors import ImageInputError
from eta_guard.request.images import FORMATS, MAX_PIXELS, decode_image, decode_source
from eta_guard.request.sources import find_source


def read_image(block: dict[Any, Any]) -> Image.Image:
    source = find_source(block)
    return decode_source(source, source.read()).pixels


def picture(width: int = 5, height: int = 3) -> Image.Image:
    values = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(values * 5)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode == "RGB" and one.size == other.size and rgb(one) == rgb(other)


def rgb(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


PNG = encode(picture())


# ── decoding ──


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_decodes_lossless_formats_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert same(decode_image(encode(picture(), kind, **options)), picture())


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "MPO"])
def test_decodes_lossy_formats(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    source = Image.new("RGB", (16, 8), (200, 30, 60))
    second = {"save_all": True, "append_images": [picture(16, 8)]} if kind == "MPO" else {}
    data = encode(source, kind, **second)
    image = decode_image(data)
    assert (image.mode, image.size) == ("RGB", (16, 8))
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() < 8


def test_refuses_raster_formats_that_are_not_listed() -> None:
    for kind in ("PPM", "ICO", "TGA", "EPS"):
        assert kind not in FORMATS
        with pytest.raises(ImageInputError, match="another format"):
            decode_image(encode(picture(), kind))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not an image",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        PNG[:-30],
        PNG[:20],
        encode(picture(64, 64), "JPEG")[:400],
        encode(picture(), "WEBP")[:30],
        encode(picture(), "GIF")[:12],
        PNG[:45] + b"\xff" * 8 + PNG[53:],
    ],
    ids=range(11),
)
def test_refuses_what_is_damaged(data: bytes) -> None:
    with pytest.raises(ImageInputError, match=r"cannot be decoded.*Save it anew"):
        decode_image(data)


def test_damage_anywhere_is_an_error_or_pixels_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        whole = encode(picture(9, 9), kind)
        for _ in range(60):
            data = bytearray(whole)
            for at in draw.integers(0, len(data), 3):
                data[at] = draw.integers(256)
            with contextlib.suppress(ImageInputError):
                assert decode_image(bytes(data)).mode == "RGB"


@pytest.mark.parametrize("size", [(9000, 9000), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_refuses_a_bomb_before_decoding_it(size: tuple[int, int]) -> None:
    with pytest.raises(ImageInputError, match=f"more than {MAX_PIXELS:,} pixels"):
        decode_image(png_header(*size))


def test_the_pixel_limit_is_of_the_area_not_of_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    long = decode_image(encode(Image.new("RGB", (20_000, 1))))
    assert long.size == (20_000, 1)
    assert decode_image(encode(Image.new("RGB", (1, 1)))).size == (1, 1)
    monkeypatch.setattr("eta_guard.request.images.MAX_PIXELS", 15)
    assert same(decode_image(PNG), picture())
    with pytest.raises(ImageInputError, match="more than 15 pixels"):
        decode_image(encode(picture(4, 4)))
    with pytest.raises(ImageInputError, match="more than 15 pixels"):
        read_image({"type": "image", "image": picture(4, 4)})


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40


def test_heic_is_named_where_nothing_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageInputError, match=r"HEIC.*pip install pillow-heif"):
        decode_image(HEIC)


def test_heic_is_read_where_pillow_heif_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 32), (200, 30, 60))).save(buffer, quality=90)
    image = decode_image(buffer.getvalue())
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() < 12
    with pytest.raises(ImageInputError, match="cannot be decoded"):
        decode_image(HEIC)


# ── pixels ──


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sets_images_upright(kind: str, orientation: int) -> None:
    undo = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_TOP_BOTTOM],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.ROTATE_270, Image.Transpose.FLIP_TOP_BOTTOM],
        8: [Image.Transpose.ROTATE_270],
    }
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste((250, 250, 250), (0, 0, 16, 8))  # a bright top left corner
    upright.paste((120, 120, 120), (16, 0, 32, 8))
    stored = upright
    for step in undo[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = decode_image(encode(stored, kind, exif=exif))
    assert image.size == upright.size
    assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).max() < 12


def test_damaged_exif_does_not_hide_the_pixels() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encode(picture(16, 8), kind, exif=b"Exif\0\0" + b"\xff" * 40)
        assert decode_image(data).size == (16, 8), kind


def test_takes_the_first_frame() -> None:
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encode(red, kind, save_all=True, append_images=[blue], lossless=True)
        assert same(decode_image(data), red), kind


def test_lays_transparency_over_white() -> None:
    clear = Image.new("RGBA", (3, 2), (255, 0, 0, 0))
    half = Image.new("RGBA", (3, 2), (0, 0, 0, 128))
    assert decode_image(encode(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert decode_image(encode(half)).getpixel((0, 0)) == (127, 127, 127)
    assert decode_image(encode(half.convert("LA"))).getpixel((0, 0)) == (127, 127, 127)


def test_lays_transparent_colors_over_white() -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        image = decode_image(encode(palette, kind, transparency=0))
        assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)], kind
    keyed = decode_image(encode(Image.new("RGB", (1, 1), (9, 8, 7)), transparency=(9, 8, 7)))
    assert keyed.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("image", "kind", "pixel"),
    [
        (Image.new("L", (2, 2), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (2, 2), 1), "PNG", (255, 255, 255)),
        (Image.new("P", (2, 2), 0), "PNG", (0, 0, 0)),
        (Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (Image.fromarray(np.full((2, 2), 0x1234, np.uint16)), "PNG", (0x12, 0x12, 0x12)),
        (Image.fromarray(np.full((2, 2), 0x1234, np.uint16)), "TIFF", (0x12, 0x12, 0x12)),
    ],
    ids=["L", "1", "P", "CMYK", "16-bit PNG", "16-bit TIFF"],
)
def test_makes_all_modes_8_bit_rgb(
    image: Image.Image, kind: str, pixel: tuple[int, int, int]
) -> None:
    decoded = decode_image(encode(image, kind))
    assert decoded.mode == "RGB"
    assert decoded.getpixel((1, 1)) == pixel


@pytest.mark.parametrize("mode", ["I", "F"])
def test_refuses_32_bit_pixels(mode: str) -> None:
    with pytest.raises(ImageInputError, match="8 bits a channel"):
        decode_image(encode(Image.new(mode, (2, 2)), "TIFF"))


# ── finding the image in a block ──


def test_an_image_object_is_copied_not_kept() -> None:
    given = picture()
    image = read_image({"type": "image", "image": given})
    assert same(image, picture())
    given.putpixel((0, 0), (255, 255, 255))
    assert same(image, picture())


def test_an_image_object_of_another_format_is_not_loaded() -> None:
    with Image.open(BytesIO(encode(picture(), "PPM"))) as lazy, pytest.raises(ImageInputError):
        read_image({"type": "image", "image": lazy})


@pytest.mark.parametrize("data", [bytearray(PNG), memoryview(PNG), PNG])
def test_raw_bytes_are_taken_as_they_are(data: object) -> None:
    assert same(read_image({"type": "image", "base64": data}), picture())


def test_base64_may_be_wrapped_unpadded_or_url_safe() -> None:
    data = b"BM" + bytes([251, 255, 190, 63, 0])
    text = b64(data)
    assert "+" in text or "/" in text
    variants = (
        text,
        text.rstrip("="),
        text.replace("+", "-").replace("/", "_"),
        "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n",
        f"data:image/bmp;base64,{text}",
    )
    for variant in variants:
        assert find_source({"type": "image", "base64": variant}).read() == data


@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        b64(PNG)[:-3] + "é==",
        "A",
        b64(PNG)[:40] + "=" + b64(PNG)[40:],
        "+/-_",
        "ab*c",
        "\ud800",
    ],
)
def test_refuses_invalid_base64(text: str) -> None:
    for block in ({"type": "image", "base64": text}, {"url": f"data:image/png;base64,{text}"}):
        with pytest.raises(ImageInputError, match="base64 text is not valid"):
            read_image(block)


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{b64(PNG)}",
        f"DATA:image/PNG;name=x.png;BASE64,{b64(PNG)}",
        f"data:;base64,{b64(PNG)}",
        "data:image/png;base64," + b64(PNG).replace("=", "%3D").replace("+", "%2B"),
        "data:image/png," + "".join(f"%{byte:02X}" for byte in PNG),
        f"data:image/jpeg;base64,{b64(PNG)}",
    ],
)
def test_reads_data_urls(url: str) -> None:
    assert same(read_image({"type": "image", "url": url}), picture())


@pytest.mark.parametrize("url", ["data:", "data:image/png;base64", "data:,", "data:,\ud800"])
def test_refuses_data_urls_without_an_image(url: str) -> None:
    with pytest.raises(ImageInputError):
        read_image({"type": "image", "url": url})


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/cat.png",
        "HTTP://example.org/cat.png",
        "s3://bucket/cat.png",
        "gs://bucket/cat.png",
        "ftp://example.org/cat.png",
        "file:///etc/cat.png",
        "/tmp/cat.png",
        "cat.png",
        "file-abc123",
    ],
)
def test_never_fetches(address: str) -> None:
    for key in ("url", "image_url", "image", "file_id", "path"):
        with pytest.raises(ImageInputError, match=r"never fetches.*Pass the bytes"):
            read_image({"type": "image", key: address})


def test_an_address_in_place_of_base64_is_said_to_be_one() -> None:
    for key in ("base64", "data"):
        with pytest.raises(ImageInputError, match="never fetches"):
            read_image({"type": "image", key: "https://example.org/cat.png"})


def test_an_address_is_named_without_its_secrets() -> None:
    with pytest.raises(ImageInputError) as error:
        read_image({"url": "https://me:word@example.org/private/cat.png?token=hidden"})
    assert "https://example.org/" in str(error.value)
    assert not any(secret in str(error.value) for secret in ("word@", "private", "hidden"))


def test_errors_do_not_repeat_the_data() -> None:
    with pytest.raises(ImageInputError) as error:
        read_image({"base64": "Q0FOQVJZ" * 50})
    assert "Q0FOQVJZ" not in str(error.value)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image"},
        {"type": "image", "base64": ""},
        {"type": "image", "base64": None, "url": None},
        {"type": "image", "image_url": {}},
        {"type": "image", "id": "lc_1", "extras": {"base64": b64(PNG)}},
    ],
)
def test_refuses_a_block_without_an_image(block: dict[str, Any]) -> None:
    with pytest.raises(ImageInputError, match="no image data"):
        read_image(block)


@pytest.mark.parametrize(
    "extra",
    [
        {"url": f"data:image/png;base64,{b64(PNG)}"},
        {"file_id": "file-1"},
        {"source": {"type": "base64", "data": b64(PNG)}},
        {"image": picture()},
        {"text": "a caption that would go unread"},
    ],
)
def test_refuses_two_images_in_one_block(extra: dict[str, Any]) -> None:
    with pytest.raises(ImageInputError, match="more than one image"):
        read_image({"type": "image", "base64": b64(PNG), **extra})


@pytest.mark.parametrize("value", [5, 1.5, ["x"], np.zeros((2, 2, 3), np.uint8)])
def test_refuses_other_kinds_of_values(value: object) -> None:
    with pytest.raises(ImageInputError, match="holds a"):
        read_image({"type": "image", "image": value})


def test_refuses_svg_and_endless_nesting() -> None:
    with pytest.raises(ImageInputError, match="SVG"):
        read_image({"type": "image", "base64": b64(PNG), "mime_type": "image/svg+xml"})
    with pytest.raises(ImageInputError, match="SVG"):
        read_image({"type": "image", "url": "data:image/svg+xml;utf8,<svg/>"})
    block: dict[str, Any] = {"base64": b64(PNG)}
    for _ in range(5000):
        block = {"image": block}
    with pytest.raises(ImageInputError, match="nested too deeply"):
        read_image(block)


def test_the_declared_type_is_lower_case_and_inherited() -> None:
    assert find_source({"mime_type": "Image/PNG", "source": {"data": "AA"}}).mime == "image/png"
    assert find_source({"url": "data:Image/GIF;base64,AA"}).mime == "image/gif"
    assert find_source({"base64": "AA"}).mime == ""
    assert b64(PNG) not in repr(find_source({"base64": b64(PNG)}))
