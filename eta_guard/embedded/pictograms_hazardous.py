"""Icons of the hazardous classes: flat silhouettes, as on a warning sign."""

from __future__ import annotations

from eta_guard.embedded.pen import Pen


def knife(pen: Pen) -> None:
    """A blade and a handle."""
    pen.shape([(-0.95, 0.12), (-0.75, -0.18), (0.25, -0.18), (0.25, 0.16)])
    pen.box(0.25, -0.16, 0.95, 0.14, pen.accent)


def pistol(pen: Pen) -> None:
    """A barrel, a grip and a trigger guard."""
    pen.ring(0.12, 0.05, 0.26, 0.08)
    pen.box(-0.95, -0.5, 0.85, -0.08)
    pen.shape([(0.3, -0.1), (0.8, -0.1), (0.98, 0.75), (0.5, 0.75)], pen.accent)


def bomb(pen: Pen) -> None:
    """A ball with a burning fuse."""
    pen.disc(-0.1, 0.25, 0.65)
    pen.box(-0.28, -0.52, 0.08, -0.3)
    pen.line([(-0.1, -0.5), (0.1, -0.75), (0.4, -0.7)], 0.08, pen.accent)
    pen.line([(0.5, -0.95), (0.65, -0.4)], 0.08, pen.accent)
    pen.line([(0.35, -0.55), (0.85, -0.8)], 0.08, pen.accent)


def pills(pen: Pen) -> None:
    """A two-coloured capsule and two tablets."""
    pen.line([(-0.55, -0.45), (0, -0.45)], 0.5)
    pen.line([(0.05, -0.45), (0.55, -0.45)], 0.5, pen.accent)
    for x in (-0.45, 0.45):
        pen.disc(x, 0.45, 0.38)
        pen.line([(x - 0.24, 0.45), (x + 0.24, 0.45)], 0.07, pen.paper)


def poison(pen: Pen) -> None:
    """A bottle with a cross on its label."""
    pen.box(-0.2, -0.95, 0.2, -0.72, pen.accent)
    pen.box(-0.15, -0.72, 0.15, -0.35)
    pen.shape(
        [(-0.15, -0.4), (0.15, -0.4), (0.55, -0.05), (0.55, 0.9), (-0.55, 0.9), (-0.55, -0.05)]
    )
    pen.line([(-0.3, 0.15), (0.3, 0.7)], 0.15, pen.paper)
    pen.line([(0.3, 0.15), (-0.3, 0.7)], 0.15, pen.paper)


def lockpick(pen: Pen) -> None:
    """A padlock with a hooked wire beside it."""
    pen.ring(-0.3, -0.25, 0.42, 0.13)
    pen.box(-0.85, -0.15, 0.25, 0.75)
    pen.disc(-0.3, 0.2, 0.14, fill=pen.paper)
    pen.shape([(-0.38, 0.25), (-0.22, 0.25), (-0.17, 0.55), (-0.43, 0.55)], pen.paper)
    pen.line([(0.5, -0.9), (0.7, -0.75), (0.7, 0.9)], 0.1, pen.accent)
    pen.line([(0.5, -0.9), (0.45, -0.7)], 0.1, pen.accent)


def grenade(pen: Pen) -> None:
    """A ribbed body with a lever and a ring."""
    pen.disc(0, 0.35, 0.48, 0.6)
    for y in (0.15, 0.5):
        pen.line([(-0.42, y), (0.42, y)], 0.06, pen.paper)
    for x in (-0.16, 0.16):
        pen.line([(x, -0.15), (x, 0.85)], 0.06, pen.paper)
    pen.ring(-0.5, -0.6, 0.25, 0.09)
    pen.box(-0.25, -0.75, 0.25, -0.25, pen.accent)
    pen.line([(0.15, -0.7), (0.6, -0.55), (0.68, 0.25)], 0.12, pen.accent)


def syringe(pen: Pen) -> None:
    """A barrel with marks, a plunger and a needle."""
    pen.line([(-0.98, 0), (-0.5, 0)], 0.05)
    pen.box(-0.52, -0.22, 0.42, 0.22)
    pen.box(-0.44, -0.13, 0.1, 0.13, pen.accent)
    pen.box(0.1, -0.13, 0.34, 0.13, pen.paper)
    pen.box(0.36, -0.36, 0.44, 0.36)
    pen.line([(0.42, 0), (0.85, 0)], 0.1)
    pen.box(0.84, -0.28, 0.95, 0.28)


def dynamite(pen: Pen) -> None:
    """Three sticks in a band, with a fuse."""
    for x in (-0.46, 0, 0.46):
        pen.box(x - 0.2, -0.4, x + 0.2, 0.95)
    pen.box(-0.72, 0.1, 0.72, 0.4, pen.accent)
    pen.line([(0, -0.4), (0.05, -0.65), (0.3, -0.75), (0.35, -0.95)], 0.08, pen.accent)


def axe(pen: Pen) -> None:
    """A broad blade on a long handle."""
    pen.line([(0.1, -0.9), (0.1, 0.95)], 0.15, pen.accent)
    pen.shape(
        [(0.25, -0.75), (-0.35, -0.72), (-0.8, -0.95), (-0.8, 0.15), (-0.35, -0.2), (0.25, -0.2)]
    )
