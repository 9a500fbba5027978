"""Ways to hide a picture, one or more for each view that is to find it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from PIL import Image, ImageOps

Hide = Callable[[Image.Image, Sequence[Image.Image], Random], Image.Image]
"""A picture, three others, a source of choice → what the guard is shown."""


def _transposed(how: Image.Transpose) -> Hide:
    return lambda picture, others, rng: picture.transpose(how)


def _canvas(times: int) -> Hide:
    """In a corner of a plain canvas so many times its side."""

    def hide(picture: Image.Image, others: Sequence[Image.Image], rng: Random) -> Image.Image:
        width, height = picture.size
        whole = Image.new("RGB", (times * width, times * height), rng.choice(("white", "black")))
        place = [side * rng.choice((0, times - 1)) for side in (width, height)]
        whole.paste(picture, (place[0], place[1]))
        return whole

    return hide


def _mosaic(picture: Image.Image, others: Sequence[Image.Image], rng: Random) -> Image.Image:
    """One of four tiles."""
    width, height = picture.size
    whole = Image.new("RGB", (2 * width, 2 * height))
    tiles = [picture, *others]
    rng.shuffle(tiles)
    for place, tile in enumerate(tiles):
        whole.paste(tile.resize(picture.size), (place % 2 * width, place // 2 * height))
    return whole


def _faded(picture: Image.Image, others: Sequence[Image.Image], rng: Random) -> Image.Image:
    """Three tenths of its contrast."""
    return Image.blend(Image.new("RGB", picture.size, (128, 128, 128)), picture, 0.3)


HIDINGS: Mapping[str, Hide] = {
    "as it is": lambda picture, others, rng: picture,
    "turned by 90°": lambda picture, others, rng: picture.transpose(
        rng.choice((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270))
    ),
    "turned by 180°": _transposed(Image.Transpose.ROTATE_180),
    "tilted by 30°": lambda picture, others, rng: picture.rotate(
        rng.choice((-30, 30)), Image.Resampling.BICUBIC, fillcolor=picture.getpixel((0, 0))
    ),
    "mirrored": _transposed(Image.Transpose.FLIP_LEFT_RIGHT),
    "inverted": lambda picture, others, rng: ImageOps.invert(picture),
    "low contrast": _faded,
    "canvas twice its side": _canvas(2),
    "canvas three times its side": _canvas(3),
    "one of four tiles": _mosaic,
}
"""By what they do."""
