"""Where two pictures differ, and where the thing stands that may differ."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image, ImageChops

from eta_guard.embedded import typography
from eta_guard.embedded.pen import Pen
from eta_guard.embedded.pictograms import ICONS

SQUARE = 1.1
"""Half the side of the square that every icon stays in: 1, and the ends of strokes."""


def differing(one: Image.Image, other: Image.Image) -> Image.Image:
    """A mask that is white where two pictures differ in any channel."""
    channels = ImageChops.difference(one, other).split()
    mask = channels[0]
    for channel in channels[1:]:
        mask = ImageChops.lighter(mask, channel)
    return mask.point(lambda value: 255 if value else 0)


def icon_place(
    monkeypatch: pytest.MonkeyPatch, name: str, draw: Callable[[], Image.Image]
) -> Image.Image:
    """Where an icon's square shows in a picture: what changes with the square's colour."""

    def filled(red: int) -> Image.Image:
        def icon(pen: Pen) -> None:
            pen.box(-SQUARE, -SQUARE, SQUARE, SQUARE, (red, 0, 0))

        with monkeypatch.context() as patch:
            patch.setitem(ICONS, name, icon)
            return draw()

    return differing(filled(0), filled(255))


def word_place(
    monkeypatch: pytest.MonkeyPatch, name: str, draw: Callable[[], Image.Image]
) -> Image.Image:
    """Where a key word's box shows: what changes as the whole box is inked or left empty."""
    real = typography._line

    def filled(ink: int) -> Image.Image:
        def line(text: str, height: int, bold: bool) -> Image.Image:
            drawn = real(text, height, bold)
            return Image.new("L", drawn.size, ink) if text == name.upper() else drawn

        with monkeypatch.context() as patch:
            patch.setattr(typography, "_line", line)
            return draw()

    return differing(filled(0), filled(255))


def inside(mask: Image.Image, place: Image.Image) -> bool:
    """Whether a mask is white nowhere but where the other is."""
    return ImageChops.subtract(mask, place).getbbox() is None
