"""The tiles of a picture, each as CLIP's image tower is shown it. Nothing here knows of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PIL import Image as Images
from PIL.Image import Image, Resampling

from eta_guard.evaluators.views.box import WHOLE, Box, pixels_of
from eta_guard.evaluators.views.geometry import covering_squares

_CANVAS = 512
"""Most pixels of the side of a square that tiles are shown in: no tower sees more."""


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut. A picture that is not square is cut in the squares that cover it."""

    along: int = 4
    """Tiles along a side of the square, at least 1."""
    share: float = 0.4
    """Of the square's side that a tile takes, in (0, 1]; above ``1 / along`` tiles overlap, so
    that what a seam would part lies whole in one of them."""
    in_place: bool = False
    """Whether a tile is shown at its own place and size, in a square that has the colour of the
    picture's edge; else it is shown alone, and so enlarged. Large models, which know things in any
    size, gain by the detail; the embedded one knows only what fills its picture."""

    @property
    def boxes(self) -> list[Box]:
        """Where the tiles lie in a square, row by row."""
        step = (1 - self.share) / (self.along - 1) if self.along > 1 else 0.0
        starts = [place * step for place in range(self.along)]
        return [Box(x, y, x + self.share, y + self.share) for y in starts for x in starts]


@dataclass(frozen=True)
class Tile:
    """A part of a picture. Its pixels are made when they are asked for, and not kept."""

    box: Box
    """Where in the picture it lies."""
    make: Callable[[], Image] = field(repr=False)


def tiles_of(image: Image, tiling: Tiling) -> list[Tile]:
    """Cuts a picture.

    Args:
        image: RGB, of any size.
        tiling: How.
    """
    squares = covering_squares(image.size) or [WHOLE]
    return [tile for square in squares for tile in _of_square(image, square, tiling)]


def _of_square(image: Image, square: Box, tiling: Tiling) -> Iterator[Tile]:
    if not tiling.in_place:
        for box in tiling.boxes:
            told = _bounded(box.within(square))
            yield Tile(told, partial(image.crop, pixels_of(told, image.size)))
        return
    shown = image.crop(pixels_of(square, image.size))
    shown.thumbnail((_CANVAS, _CANVAS), Resampling.BICUBIC)
    canvas = Images.new("RGB", shown.size, _edge_colour(shown))
    for box in tiling.boxes:
        pixels = pixels_of(_bounded(box), shown.size)
        yield Tile(_bounded(box.within(square)), partial(_alone, shown, canvas, pixels))


def _alone(shown: Image, canvas: Image, pixels: tuple[int, int, int, int]) -> Image:
    tile = canvas.copy()
    tile.paste(shown.crop(pixels), pixels[:2])
    return tile


def _bounded(box: Box) -> Box:
    """The same where its sums were rounded to more than the whole."""
    return Box(*(min(max(edge, 0.0), 1.0) for edge in box))


def _edge_colour(image: Image) -> tuple[int, int, int]:
    """The middle one of the colours along the edge, by channel."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(level) for level in np.median(edge, axis=0))
    return red, green, blue
