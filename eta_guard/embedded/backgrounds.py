"""Colours that can be told apart, and plain, graded, striped or dotted backgrounds."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from eta_guard.embedded.pen import Colour


@dataclass(frozen=True)
class Palette:
    """The three colours of a picture."""

    paper: Colour
    ink: Colour
    accent: Colour


def _colour(rng: Random, lightness: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(rng.random(), lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def colours(rng: Random) -> Palette:
    """Draw a palette: light on dark or dark on light, never so close that a shape is lost."""
    dark_paper = rng.random() < 0.35
    pale, deep = (rng.uniform(0.78, 0.97), rng.uniform(0.12, 0.36))
    middle = rng.uniform(0.5, 0.6) if dark_paper else rng.uniform(0.4, 0.5)
    return Palette(
        paper=_colour(rng, deep * 0.7 if dark_paper else pale, rng.uniform(0.1, 0.7)),
        ink=_colour(rng, pale if dark_paper else deep, rng.uniform(0.2, 0.9)),
        accent=_colour(rng, middle, rng.uniform(0.7, 1.0)),
    )


def paint_background(paper: Colour, rng: Random, size: int) -> Image.Image:
    """Paint a square background around one colour, with a faint pattern or none."""
    image = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(image)
    shift = rng.choice((-1, 1)) * rng.randint(8, 22)
    tint = (_clip(paper[0] + shift), _clip(paper[1] + shift), _clip(paper[2] + shift))
    pattern = rng.choice(("plain", "horizon", "stripes", "dots"))
    if pattern == "horizon":
        draw.rectangle((0, size * rng.uniform(0.4, 0.8), size, size), fill=tint)
    elif pattern == "stripes":
        step = rng.randint(size // 12, size // 5)
        for left in range(rng.randint(0, step), size, 2 * step):
            draw.rectangle((left, 0, left + step, size), fill=tint)
    elif pattern == "dots":
        for _ in range(rng.randint(6, 20)):
            x, y, r = rng.randint(0, size), rng.randint(0, size), rng.randint(2, size // 14)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tint)
    return image


def _clip(value: int) -> int:
    return max(0, min(255, value))
