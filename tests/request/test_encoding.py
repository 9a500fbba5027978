from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from eta_guard.request.encoding import LONGEST_SIDE, MOST_BYTES, encode, scaled_down
from eta_guard.request.images import Decoded, decode_image, decode_source
from eta_guard.request.sources import Source


def photo(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def decoded(image: Image.Image, kind: str, **options: Any) -> Decoded:
    out = BytesIO()
    image.save(out, kind, **options)
    return decode_source(Source("base64", "", ""), out.getvalue())


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_is_turned_almost_without_loss_and_stays_as_small(
    orientation: int, subsampling: int
) -> None:
    table = [2 + 6 * row for row in range(8) for _ in range(8)]  # another one across than down
    options = {"qtables": [table, table], "subsampling": subsampling}
    given = decoded(photo(), "JPEG", **options, exif=turned(orientation))
    sent, pixels = encode(given, given.pixels)
    assert sent.mime == "image/jpeg"
    assert given.content is not None
    assert len(sent.content) <= 1.1 * len(given.content)
    apart = np.abs(np.asarray(pixels, int) - np.asarray(given.pixels, int))
    assert apart.mean() < (0.5 if subsampling == 0 else 2.5), (
        "the tables are not those of the original, or not turned"
    )
    with Image.open(BytesIO(sent.content)) as image:
        assert JpegImagePlugin.get_sampling(image) == subsampling
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("kind", "options", "mime"),
    [
        ("JPEG", {}, "image/jpeg"),
        ("JPEG", {"progressive": True}, "image/jpeg"),
        ("PNG", {}, "image/png"),
        ("GIF", {}, "image/png"),
        ("BMP", {}, "image/png"),
        ("TIFF", {}, "image/png"),
        ("WEBP", {"lossless": True}, "image/png"),
        ("AVIF", {}, "image/jpeg"),
        ("WEBP", {}, "image/jpeg"),
    ],
)
def test_the_pixels_are_those_that_the_file_shows(
    kind: str, options: dict[str, Any], mime: str
) -> None:
    given = decoded(photo(), kind, **options)
    sent, pixels = encode(given, given.pixels)
    assert sent.mime == mime
    assert decode_image(sent.content).tobytes() == pixels.tobytes()
    if mime == "image/png":
        assert pixels.tobytes() == given.pixels.tobytes()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_colour_spaces_are_encoded_too(mode: str) -> None:
    given = decoded(photo().convert(mode), "JPEG", exif=turned(3))
    sent, pixels = encode(given, given.pixels)
    assert (sent.mime, pixels.mode, pixels.size) == ("image/jpeg", "RGB", given.pixels.size)
    assert np.abs(np.asarray(pixels, int) - np.asarray(given.pixels, int)).mean() < 5


def test_a_file_is_kept_within_the_limits_of_providers() -> None:
    heavy = decoded(noise(1500, 1500), "PNG")  # 6.7 MB, which no compression gets smaller
    sent, pixels = encode(heavy, heavy.pixels)
    assert len(sent.content) <= MOST_BYTES
    assert len(sent.base64) <= 5 * 1024 * 1024
    assert pixels.size == (1500, 1500)
    assert decode_image(sent.content).tobytes() == pixels.tobytes()
    wide = decoded(Image.new("RGB", (LONGEST_SIDE * 2, 40)), "PNG")
    sent, pixels = encode(wide, wide.pixels)
    assert pixels.size == (LONGEST_SIDE, 20)


def test_it_is_scaled_down_where_no_quality_is_low_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eta_guard.request.encoding.MOST_BYTES", 2000)
    given = decoded(noise(200, 100), "PNG")
    sent, pixels = encode(given, given.pixels)
    assert len(sent.content) <= 2000
    assert pixels.width < 200
    assert abs(pixels.width / pixels.height - 2) < 0.1


def test_scaling_keeps_the_shape_and_never_enlarges() -> None:
    picture = photo(96, 48)
    assert scaled_down(picture, None) is picture
    assert scaled_down(picture, 96) is picture
    assert scaled_down(picture, 64).size == (64, 32)
    assert scaled_down(Image.new("RGB", (1000, 1)), 64).size == (64, 1)
