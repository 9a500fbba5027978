"""Pictures of a class as an icon: colour, place, size, turn and background vary."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from eta_guard.embedded import pictograms_hazardous as hazardous
from eta_guard.embedded import pictograms_safe as safe
from eta_guard.embedded.backgrounds import colours, paint_background
from eta_guard.embedded.pen import Pen

ICONS: dict[str, Callable[[Pen], None]] = {
    icon.__name__: icon
    for icon in (
        safe.flower,
        safe.cat,
        safe.cup,
        safe.house,
        safe.tree,
        safe.bicycle,
        safe.fish,
        safe.boat,
        safe.book,
        safe.apple,
        safe.clock,
        safe.umbrella,
        safe.car,
        safe.kite,
        hazardous.knife,
        hazardous.pistol,
        hazardous.bomb,
        hazardous.pills,
        hazardous.poison,
        hazardous.lockpick,
        hazardous.grenade,
        hazardous.syringe,
        hazardous.dynamite,
        hazardous.axe,
    )
}
"""How each class is drawn, by its key word."""


def pictogram(name: str, rng: Random, size: int = 192) -> Image.Image:
    """Draw one class as an icon.

    Args:
        name: Key word of the class, one of `ICONS`.
        rng: Source of every choice, so that equal seeds give equal pictures.
        size: Width and height in pixels.

    Returns:
        An RGB picture.

    Raises:
        KeyError: No such class.
    """
    palette = colours(rng)
    image = paint_background(palette.paper, rng, size)
    radius = size * rng.uniform(0.24, 0.42)
    slack = max(size / 2 - radius, 0)
    pen = Pen(
        draw=ImageDraw.Draw(image),
        centre=(
            size / 2 + rng.uniform(-slack, slack),
            size / 2 + rng.uniform(-slack, slack),
        ),
        scale=radius,
        angle=rng.uniform(-0.3, 0.3),
        ink=palette.ink,
        accent=palette.accent,
        paper=palette.paper,
    )
    ICONS[name](pen)
    return image
