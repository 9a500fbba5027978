"""Icons of the safe classes."""

from __future__ import annotations

import math

from eta_guard.embedded.pen import Pen


def flower(pen: Pen) -> None:
    """Five petals on a stem with a leaf."""
    pen.line([(0, -0.3), (0, 0.95)], 0.1)
    pen.disc(0.22, 0.55, 0.24, 0.1)
    for turn in range(5):
        angle = turn * 2 * math.pi / 5 - math.pi / 2
        pen.disc(0.36 * math.cos(angle), -0.4 + 0.36 * math.sin(angle), 0.25)
    pen.disc(0, -0.4, 0.2, fill=pen.accent)


def cat(pen: Pen) -> None:
    """A face with pointed ears and whiskers."""
    pen.shape([(-0.7, -0.9), (-0.15, -0.5), (-0.65, 0)])
    pen.shape([(0.7, -0.9), (0.15, -0.5), (0.65, 0)])
    pen.disc(0, 0.15, 0.72, 0.62)
    for side in (-1, 1):
        pen.disc(side * 0.28, 0, 0.13, fill=pen.accent)
        pen.line([(side * 0.2, 0.4), (side * 0.95, 0.3)], 0.05, pen.accent)
        pen.line([(side * 0.2, 0.48), (side * 0.95, 0.58)], 0.05, pen.accent)
    pen.shape([(-0.1, 0.28), (0.1, 0.28), (0, 0.42)], pen.accent)


def cup(pen: Pen) -> None:
    """A cup with a handle and steam."""
    pen.ring(0.5, 0.2, 0.36, 0.13)
    pen.shape([(-0.75, -0.25), (0.5, -0.25), (0.35, 0.8), (-0.6, 0.8)])
    for x in (-0.4, -0.12, 0.16):
        pen.line([(x, -0.4), (x + 0.1, -0.6), (x, -0.75), (x + 0.1, -0.95)], 0.08, pen.accent)


def house(pen: Pen) -> None:
    """Walls, a roof, a door and a window."""
    pen.box(-0.65, -0.1, 0.65, 0.9)
    pen.shape([(-0.95, -0.1), (0, -0.95), (0.95, -0.1)], pen.accent)
    pen.box(-0.4, 0.3, -0.05, 0.9, pen.paper)
    pen.box(0.15, 0.15, 0.48, 0.48, pen.paper)


def tree(pen: Pen) -> None:
    """A trunk below a round crown."""
    pen.box(-0.13, 0.1, 0.13, 0.95, pen.accent)
    for x, y in ((-0.38, -0.1), (0.38, -0.1), (0, -0.48)):
        pen.disc(x, y, 0.45)


def bicycle(pen: Pen) -> None:
    """Two wheels and a frame."""
    pen.ring(-0.58, 0.35, 0.42, 0.1)
    pen.ring(0.58, 0.35, 0.42, 0.1)
    frame = [(-0.58, 0.35), (-0.25, -0.25), (0.42, -0.25), (0, 0.35), (-0.25, -0.25)]
    pen.line(frame, 0.09, pen.accent)
    pen.line([(0, 0.35), (-0.58, 0.35)], 0.09, pen.accent)
    pen.line([(0.58, 0.35), (0.38, -0.5), (0.62, -0.55)], 0.09, pen.accent)
    pen.line([(-0.25, -0.25), (-0.3, -0.45)], 0.09, pen.accent)
    pen.line([(-0.48, -0.45), (-0.12, -0.45)], 0.11, pen.accent)


def fish(pen: Pen) -> None:
    """A body with a tail, a fin and an eye."""
    pen.disc(-0.15, 0, 0.72, 0.45)
    pen.shape([(0.4, 0), (0.95, -0.45), (0.95, 0.45)])
    pen.shape([(-0.2, -0.4), (0.25, -0.7), (0.2, -0.3)], pen.accent)
    pen.disc(-0.52, -0.1, 0.1, fill=pen.paper)


def boat(pen: Pen) -> None:
    """A hull below two sails."""
    pen.shape([(-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)])
    pen.box(-0.06, -0.9, 0.06, 0.35)
    pen.shape([(0.12, -0.85), (0.12, 0.22), (0.75, 0.22)], pen.accent)
    pen.shape([(-0.12, -0.55), (-0.12, 0.22), (-0.6, 0.22)], pen.accent)


def book(pen: Pen) -> None:
    """An open book with lines of print."""
    for side in (-1, 1):
        pen.shape([(0, -0.4), (side * 0.95, -0.65), (side * 0.95, 0.5), (0, 0.75)])
        for y in (-0.25, 0.0, 0.25):
            pen.line([(side * 0.15, y), (side * 0.8, y - 0.17)], 0.08, pen.paper)
    pen.line([(0, -0.4), (0, 0.75)], 0.07, pen.accent)


def apple(pen: Pen) -> None:
    """A round fruit with a stalk and a leaf."""
    pen.disc(-0.28, 0.2, 0.48, 0.6)
    pen.disc(0.28, 0.2, 0.48, 0.6)
    pen.line([(0, -0.25), (0.08, -0.75)], 0.1, pen.accent)
    pen.disc(0.36, -0.65, 0.3, 0.13, pen.accent)


def clock(pen: Pen) -> None:
    """A dial with two hands and four marks."""
    pen.ring(0, 0, 0.9, 0.15)
    for x, y in ((0, -0.6), (0.6, 0), (0, 0.6), (-0.6, 0)):
        pen.disc(x, y, 0.07)
    pen.line([(0, -0.45), (0, 0), (0.32, 0.2)], 0.11, pen.accent)


def umbrella(pen: Pen) -> None:
    """A round canopy above a hooked handle."""
    pen.line([(0, -0.9), (0, 0.7), (0.12, 0.85), (0.3, 0.75)], 0.09, pen.accent)
    pen.arc(0, 0.05, 0.95, 0.8, 180, 360)
    for x in (-0.63, 0, 0.63):
        pen.arc(x, 0.08, 0.28, 0.2, 180, 360, pen.paper)


def car(pen: Pen) -> None:
    """A body with a cabin, windows and two wheels."""
    pen.shape([(-0.55, -0.05), (-0.35, -0.5), (0.3, -0.5), (0.6, -0.05)])
    pen.shape([(-0.36, -0.08), (-0.25, -0.36), (0.2, -0.36), (0.38, -0.08)], pen.paper)
    pen.box(-0.95, -0.08, 0.95, 0.35)
    for x in (-0.5, 0.5):
        pen.disc(x, 0.38, 0.24, fill=pen.accent)


def kite(pen: Pen) -> None:
    """A diamond with a cross and a tail."""
    pen.shape([(0, -0.95), (0.58, -0.3), (0, 0.4), (-0.58, -0.3)])
    pen.line([(0, -0.9), (0, 0.35)], 0.06, pen.accent)
    pen.line([(-0.52, -0.3), (0.52, -0.3)], 0.06, pen.accent)
    pen.line([(0, 0.4), (0.2, 0.6), (-0.1, 0.75), (0.15, 0.98)], 0.07, pen.accent)
