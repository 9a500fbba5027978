"""Pictures turned, mirrored, shrunk, tiled, faded and worn, as anybody can do it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from eta_guard.evaluation.attacks.attack import (
    Apply,
    Attack,
    Surroundings,
    beside,
    of_file,
    of_picture,
    picture_of,
    png,
)
from eta_guard.evaluation.cases import SuiteCase

_QUARTERS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def turned(degrees: int) -> Apply:
    """Counter-clockwise: quarter turns exactly, others inside the frame, corners in the mean."""

    def change(image: Image.Image, _: Random) -> Image.Image:
        if degrees in _QUARTERS:
            return image.transpose(_QUARTERS[degrees])
        return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=ground(image))

    return of_picture(change)


def corner(times: int) -> Apply:
    """In one corner of an even canvas so many times its side."""

    def change(image: Image.Image, rng: Random) -> Image.Image:
        width, height = image.size
        canvas = Image.new("RGB", (width * times, height * times), ground(image))
        left, top = (rng.choice((0, length * (times - 1))) for length in (width, height))
        canvas.paste(image, (left, top))
        return canvas

    return of_picture(change)


def ground(image: Image.Image) -> tuple[int, int, int]:
    """The mean colour of a picture's outermost pixels."""
    pixels = np.asarray(image)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in rim.mean(axis=0).round())
    return red, green, blue


def mosaic(case: SuiteCase, rng: Random, around: Surroundings) -> SuiteCase:
    """One of four tiles, the other three safe pictures; each tile keeps its size."""
    others = around.others(case, rng, 3)
    image = picture_of(case)
    tiles = [image, *(picture_of(one).resize(image.size) for one in others)]
    rng.shuffle(tiles)
    width, height = image.size
    canvas = Image.new("RGB", (2 * width, 2 * height))
    for place, tile in enumerate(tiles):
        canvas.paste(tile, (place % 2 * width, place // 2 * height))
    return beside(replace(case, image=png(canvas)), others)


def contrast(percent: int) -> Apply:
    """Towards the mean grey, with so much of the contrast left (Pillow's own)."""
    return of_picture(lambda image, _: ImageEnhance.Contrast(image).enhance(percent / 100))


def blurred(radius: int) -> Apply:
    """By a Gaussian of so many pixels."""
    return of_picture(lambda image, _: image.filter(ImageFilter.GaussianBlur(radius)))


def noisy(deviation: int) -> Apply:
    """With Gaussian noise of so many of the 255 levels, each channel of its own."""

    def change(image: Image.Image, rng: Random) -> Image.Image:
        pixels = np.asarray(image, dtype=np.float64)
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, deviation, pixels.shape)
        return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))

    return of_picture(change)


def jpeg(quality: int) -> Apply:
    """Written as a JPEG file of so low a quality."""

    def write(image: Image.Image) -> bytes:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    return of_file(write)


def _grey(image: Image.Image, _: Random) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


def _attack(name: str, line: str, apply: Apply) -> Attack:
    return Attack(name, "transformations", line, apply)


TRANSFORMATIONS = (
    *(_attack(f"turned:{angle}", f"turned by {angle}°", turned(angle)) for angle in _QUARTERS),
    *(_attack(f"turned:{angle}", f"turned by {angle}°", turned(angle)) for angle in (15, 30)),
    _attack("mirrored", "mirrored", of_picture(lambda image, _: ImageOps.mirror(image))),
    _attack("inverted", "colours inverted", of_picture(lambda image, _: ImageOps.invert(image))),
    _attack("grey", "without colour", of_picture(_grey)),
    _attack("corner:2", "in the corner of a canvas twice its side", corner(2)),
    _attack("corner:3", "in the corner of a canvas three times its side", corner(3)),
    _attack("mosaic", "one of four tiles, with three safe pictures", mosaic),
    _attack("contrast:30", "30 % of the contrast left", contrast(30)),
    _attack("blurred:3", "blurred by 3 pixels", blurred(3)),
    _attack("noisy:30", "noise of 30 levels", noisy(30)),
    _attack("jpeg:5", "as a JPEG of quality 5", jpeg(5)),
)
"""The table of transformations, each at one strength."""
