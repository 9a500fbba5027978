"""A part of a picture, in shares of its sides and in pixels."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A part of a picture, in shares of its width and height from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Share of the picture's width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Share of the picture's height."""
        return self.bottom - self.top

    def within(self, outer: Box) -> Box:
        """The same part of a part of the picture, told of the whole picture."""
        x, y = outer.width, outer.height
        return Box(
            outer.left + self.left * x,
            outer.top + self.top * y,
            outer.left + self.right * x,
            outer.top + self.bottom * y,
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def pixels_of(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in pixels, at least one wide and high.

    Args:
        box: Within the picture.
        size: Width and height of the picture.
    """
    (width, height), (left, top, right, bottom) = size, box
    x, y = min(round(left * width), width - 1), min(round(top * height), height - 1)
    return x, y, max(round(right * width), x + 1), max(round(bottom * height), y + 1)
