"""One picture under way: a background, and things, clutter and covers that are put on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Self

from PIL import Image, ImageDraw

from eta_guard.embedded.backgrounds import Palette, colours, paint_background
from eta_guard.embedded.pen import Colour, Pen, Point
from eta_guard.embedded.pictograms import ICONS

REACH = math.sqrt(2)
"""How far from its centre an icon can reach, in radii: into a corner of its square."""


@dataclass(frozen=True)
class Spot:
    """Where a thing stands."""

    centre: Point
    """In pixels."""
    radius: float
    """Half the side of the icon's square, in pixels."""
    angle: float
    """Turn of the thing, in radians."""


@dataclass(frozen=True)
class Scene:
    """A picture and the choices behind it.

    No choice depends on which things are put into it, so that two scenes of one seed differ in
    nothing but the things.
    """

    image: Image.Image
    palette: Palette
    rng: Random

    @classmethod
    def empty(cls, rng: Random, size: int) -> Self:
        """Paint a background, with the colours for what is to come.

        Args:
            rng: Source of every choice.
            size: Width and height in pixels.
        """
        palette = colours(rng)
        return cls(paint_background(palette.paper, rng, size), palette, rng)

    @property
    def size(self) -> int:
        """Width and height in pixels."""
        return self.image.width

    def at(self, place: Point) -> Point:
        """Turn shares of the picture's side into pixels."""
        return place[0] * self.size, place[1] * self.size

    def spot(self, share: tuple[float, float], angle: float | None = None) -> Spot:
        """Choose a place inside the picture.

        Args:
            share: Least and greatest radius, as shares of the picture's side.
            angle: Turn in radians; by default a slight one, as in the plain pictures.
        """
        radius = self.size * self.rng.uniform(*share)
        slack = self.size / 2 - radius
        x, y = (self.size / 2 + self.rng.uniform(-slack, slack) for _ in range(2))
        return Spot((x, y), radius, self.slight_turn() if angle is None else angle)

    def slight_turn(self) -> float:
        """Choose a turn of up to 17 degrees either way, in radians."""
        return self.rng.uniform(-0.3, 0.3)

    def put(self, name: str, spot: Spot, faded: float = 0.0) -> None:
        """Draw one thing.

        Args:
            name: Key word of its class.
            spot: Where.
            faded: How far its colours are moved towards the background's, in [0, 1].
        """
        ICONS[name](self._pen(spot, faded))

    def cover(self, spot: Spot, share: float) -> None:
        """Hide part of a thing behind a board that reaches in from one side.

        Args:
            spot: Where the thing stands.
            share: How much of its width is hidden, in [0, 1].
        """
        side = Spot(spot.centre, spot.radius, self.rng.uniform(0, 2 * math.pi))
        board = self._mixed(self.palette.accent, self.rng.uniform(0.2, 0.6))
        self._pen(side).box(1 - 2 * share, -1.6, 1.6, 1.6, board)

    def litter(self, count: int, share: tuple[float, float], faded: tuple[float, float]) -> None:
        """Strew discs, rings, boxes and strokes over the whole picture.

        Args:
            count: How many.
            share: Least and greatest radius, as shares of the picture's side.
            faded: How far their colours are moved towards the background's, least and most.
        """
        for _ in range(count):
            pen = self._pen(
                self.spot(share, self.rng.uniform(0, math.pi)), self.rng.uniform(*faded)
            )
            shape, fill = self.rng.randrange(4), self.rng.choice((pen.ink, pen.accent))
            if shape == 0:
                pen.disc(0, 0, 0.8, self.rng.uniform(0.3, 0.8), fill)
            elif shape == 1:
                pen.ring(0, 0, 0.9, 0.25)
            elif shape == 2:
                pen.box(-0.9, -0.4, 0.9, 0.4, fill)
            else:
                pen.line([(-1, 0), (0, self.rng.uniform(-0.8, 0.8)), (1, 0)], 0.2, fill)

    def _pen(self, spot: Spot, faded: float = 0.0) -> Pen:
        return Pen(
            draw=ImageDraw.Draw(self.image),
            centre=spot.centre,
            scale=spot.radius,
            angle=spot.angle,
            ink=self._mixed(self.palette.ink, faded),
            accent=self._mixed(self.palette.accent, faded),
            paper=self.palette.paper,
        )

    def _mixed(self, colour: Colour, faded: float) -> Colour:
        red, green, blue = (
            round(own + (paper - own) * faded)
            for own, paper in zip(colour, self.palette.paper, strict=True)
        )
        return red, green, blue
