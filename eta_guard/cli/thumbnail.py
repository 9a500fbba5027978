"""A picture as coloured half blocks, two pixels a character."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 24
"""Pixels along the longer side: 24 columns, 12 lines."""
_SMALLEST_WIDTH = 64
_COLOURS = {"truecolor", "256", "windows"}


def can_show(console: Console) -> bool:
    """Whether the terminal has the colours and the room."""
    colours = console.color_system in _COLOURS and not console.no_color
    return console.is_terminal and colours and console.width >= _SMALLEST_WIDTH


def thumbnail(image: Image) -> Text:
    """Draws an RGB image."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    width, height = small.size
    text = Text(no_wrap=True)
    for top in range(0, height, 2):
        for x in range(width):
            upper, lower = _colour(small, x, top), _colour(small, x, min(top + 1, height - 1))
            text.append("▀", Style(color=upper, bgcolor=lower))
        text.append("\n" if top + 2 < height else "")
    return text


def _colour(image: Image, x: int, y: int) -> Color:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return Color.from_rgb(*pixel[:3])
