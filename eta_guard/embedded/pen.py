"""Draws filled shapes in a pictogram's own coordinates, turned, scaled and moved as a whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Pen:
    """A brush for one pictogram; its coordinates run from -1 to 1, with y downwards.

    Everything is a polygon, so that turning an icon turns its circles and boxes with it.
    """

    draw: ImageDraw.ImageDraw
    centre: Point
    """Where the icon's origin lies, in pixels."""
    scale: float
    """Pixels for one unit."""
    angle: float
    """Rotation of the whole icon, in radians."""
    ink: Colour
    """The main colour."""
    accent: Colour
    """The second colour."""
    paper: Colour
    """The background's colour, for cut-outs."""

    def shape(self, points: Sequence[Point], fill: Colour | None = None) -> None:
        """Fill a polygon, in the ink unless `fill` says otherwise."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        left, top = self.centre
        pixels = [(left + x * cos - y * sin, top + x * sin + y * cos) for x, y in points]
        self.draw.polygon(pixels, fill=fill or self.ink)

    def disc(
        self, x: float, y: float, rx: float, ry: float | None = None, fill: Colour | None = None
    ) -> None:
        """Fill an ellipse (a circle without `ry`)."""
        self.arc(x, y, rx, ry, 0, 360, fill)

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None,
        start: float,
        end: float,
        fill: Colour | None = None,
    ) -> None:
        """Fill the segment of an ellipse between two angles, in degrees from the right."""
        ry = rx if ry is None else ry
        turns = [math.radians(start + (end - start) * step / 24) for step in range(25)]
        self.shape([(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns], fill)

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: Colour | None = None
    ) -> None:
        """Fill a rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour | None = None) -> None:
        """Draw a chain of straight strokes with round ends."""
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            length = math.hypot(bx - ax, by - ay)
            dx, dy = (by - ay) / length * width / 2, (ax - bx) / length * width / 2
            self.shape(
                [(ax + dx, ay + dy), (bx + dx, by + dy), (bx - dx, by - dy), (ax - dx, ay - dy)],
                fill,
            )
        for x, y in points:
            self.disc(x, y, width / 2, fill=fill)

    def ring(self, x: float, y: float, radius: float, width: float) -> None:
        """Draw a circle's outline in the ink, its inside in the background's colour."""
        self.disc(x, y, radius)
        self.disc(x, y, radius - width, fill=self.paper)
