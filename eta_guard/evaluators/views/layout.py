"""How a picture is laid out: a plain margin around it, straight seams between several in one.

What these find is cut along the pixels' own edges, so that a picture that was put on a canvas or
into a mosaic comes out as it was. An ordinary picture has neither, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from eta_guard.evaluators.views.box import WHOLE, Box

Pixels: TypeAlias = NDArray[np.int16]

_LOOKED_AT = 256
"""Longest side, in pixels, at which a layout is looked for. Pixels are left out and never mixed, so
that an edge stays as sharp as it was."""
_MARGIN_WITHIN = 12
"""Levels of 255 by which a pixel may differ from a corner's and still be margin."""
_CONTENT = 0.6
"""Share of either side that what lies on a canvas fills at most."""
_JUMP = 16
"""Levels of 255 by which pixels on either side of a seam differ, in one channel at least."""
_SEAM = 0.7
"""Share of a seam's length at which they do."""
_PANEL = 0.2
"""Share of the side that a panel fills at least; with narrower ones it is a pattern."""


def trimmed_box(image: Image) -> list[Box]:
    """Where the picture lies on a plain canvas that is much larger; nothing without such a margin.

    Args:
        image: RGB. The margin is what has the colour of a corner; of the four, that one counts
            which leaves least of the picture.
    """
    pixels = _sampled(image)
    _, height, width = pixels.shape
    found = []
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        apart = _difference(pixels, pixels[:, y, x, None, None]) > _MARGIN_WITHIN
        rows, columns = np.flatnonzero(apart.any(axis=1)), np.flatnonzero(apart.any(axis=0))
        if rows.size:
            (top, bottom), (left, right) = (
                (float(line[0] / side), float((line[-1] + 1) / side))
                for line, side in ((rows, height), (columns, width))
            )
            found.append(Box(left, top, right, bottom))
    small = [box for box in found if max(box.width, box.height) <= _CONTENT]
    return sorted(small, key=lambda box: box.width * box.height)[:1]


def panel_boxes(image: Image) -> list[Box]:
    """Where the pictures lie of which this one is put together; nothing if it is a single one.

    Args:
        image: RGB. It is cut at the seams that run through all of it, and the pieces likewise.
    """
    found = list(_panels(_sampled(image), WHOLE, cuts=3))
    return found if len(found) > 1 else []


def _panels(pixels: Pixels, box: Box, cuts: int) -> Iterator[Box]:
    across, down = _edges(pixels), _edges(pixels.transpose(0, 2, 1))
    if not cuts or len(across) + len(down) == 4:  # the ends alone, no seam between them
        yield box
        return
    _, height, width = pixels.shape
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            part = Box(left / width, top / height, right / width, bottom / height)
            yield from _panels(pixels[:, top:bottom, left:right], part.within(box), cuts - 1)


def _sampled(image: Image) -> Pixels:
    """The pixels [3, height, width], every n-th where the picture is large."""
    scale = min(1.0, _LOOKED_AT / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if size == image.size else image.resize(size, Resampling.NEAREST)
    return np.ascontiguousarray(np.asarray(small, dtype=np.int16).transpose(2, 0, 1))


def _difference(one: Pixels, other: Pixels) -> Pixels:
    """By how many levels pixels differ, in the channel in which they do most."""
    red, green, blue = np.abs(one - other)
    most: Pixels = np.maximum(np.maximum(red, green), blue)
    return most


def _edges(pixels: Pixels) -> list[int]:
    """Where panels begin and end from left to right, in pixels: 0, the seams, the width."""
    width = pixels.shape[2]
    jumps = (_difference(pixels[:, :, 1:], pixels[:, :, :-1]) > _JUMP).mean(axis=0)
    edges = [0, *(np.flatnonzero(jumps >= _SEAM) + 1).tolist(), width]
    wide = all(right - left >= _PANEL * width for left, right in pairwise(edges))
    return edges if wide else [0, width]
