"""What makes a picture hard to read, and how much of it there is.

The strengths are chosen on the validation split, so that CLIP's scores of hazardous pictures and of
their twins overlap about as those of large models do: an area under the ROC curve of about 0.9 for
each difficulty. Stronger ones blind the small model: of things a third smaller yet, or in colours
faded by four fifths, it tells hazards hardly better than by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, get_args

from PIL import Image

from eta_guard.embedded.scene import Scene, Spot

Difficulty = Literal["clutter", "several", "beside", "small", "turned", "low_contrast", "covered"]

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)

OTHERS: dict[Difficulty, int] = {"beside": 1, "several": 3}
"""How many safe things stand in the picture with the one that matters; none where not named."""

# Ranges, least and greatest. Radii are half the side of an icon's square, as shares of the
# picture's side.

USUAL = (0.24, 0.42)
"""Radius of a thing in the plain pictures, and here where not said otherwise."""

SMALL = (0.16, 0.25)
"""Radius of a small thing."""

TURN = (0.3, 0.6)
"""Turn to either side in radians; that of the plain pictures is 0.3 at most."""

FADED = (0.22, 0.52)
"""How far a pale thing's colours are moved towards the background's, in [0, 1]."""

HIDDEN = (0.1, 0.27)
"""How much of the width of a covered thing's square is hidden, in [0, 1]."""

LITTER = (10, 20)
"""Number of shapes that are strewn behind a thing."""

LITTER_SHARE = (0.04, 0.14)
"""Radius of these shapes."""

LITTER_FADED = (0.0, 0.7)
"""How far their colours are moved towards the background's."""

BESIDE = (0.22, 0.28)
"""Radius of a thing that has one other beside it."""

BESIDE_OTHER = (0.12, 0.18)
"""Radius of that other."""

SEVERAL = (0.24, 0.32)
"""Radius of a thing that has three others around it."""

SEVERAL_OTHERS = (0.085, 0.13)
"""Radius of those three."""


def hard_picture(
    thing: str, others: Sequence[str], difficulty: Difficulty, rng: Random, size: int = 192
) -> Image.Image:
    """Draw a picture that is hard to read.

    Args:
        thing: Key word of the class that matters: a hazard, or its twin.
        others: Key words of the safe things beside it, as many as `OTHERS` says.
        difficulty: What makes it hard.
        rng: Source of every choice; none of them depends on the things.
        size: Width and height in pixels.

    Returns:
        An RGB picture.

    Raises:
        KeyError: No such class.
    """
    scene = Scene.empty(rng, size)
    _DRAWN[difficulty](scene, thing, others)
    return scene.image


def _clutter(scene: Scene, thing: str, others: Sequence[str]) -> None:
    scene.litter(scene.rng.randint(*LITTER), LITTER_SHARE, LITTER_FADED)
    scene.put(thing, scene.spot(USUAL))


def _several(scene: Scene, thing: str, others: Sequence[str]) -> None:
    """The thing in one corner, three smaller ones in the others."""
    corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    scene.rng.shuffle(corners)
    for (x, y), name in zip(corners, (thing, *others), strict=True):
        off, share = (0.15, SEVERAL) if name == thing else (0.35, SEVERAL_OTHERS)
        radius = scene.rng.uniform(*share) * scene.size
        centre = scene.at((0.5 + off * x, 0.5 + off * y))
        scene.put(name, Spot(centre, radius, scene.slight_turn()))


def _beside(scene: Scene, thing: str, others: Sequence[str]) -> None:
    """The two side by side, or one above the other."""
    (other,) = others
    first, second = scene.rng.choice(((0.36, 0.82), (0.64, 0.18)))
    level, upright = scene.rng.uniform(0.4, 0.6), scene.rng.random() < 0.5
    for name, along, share in ((thing, first, BESIDE), (other, second, BESIDE_OTHER)):
        centre = scene.at((level, along) if upright else (along, level))
        radius = scene.rng.uniform(*share) * scene.size
        scene.put(name, Spot(centre, radius, scene.slight_turn()))


def _small(scene: Scene, thing: str, others: Sequence[str]) -> None:
    scene.put(thing, scene.spot(SMALL))


def _turned(scene: Scene, thing: str, others: Sequence[str]) -> None:
    angle = scene.rng.uniform(*TURN) * scene.rng.choice((-1, 1))
    scene.put(thing, scene.spot(USUAL, angle))


def _low_contrast(scene: Scene, thing: str, others: Sequence[str]) -> None:
    scene.put(thing, scene.spot(USUAL), faded=scene.rng.uniform(*FADED))


def _covered(scene: Scene, thing: str, others: Sequence[str]) -> None:
    spot = scene.spot(USUAL)
    scene.put(thing, spot)
    scene.cover(spot, scene.rng.uniform(*HIDDEN))


_DRAWN: dict[Difficulty, Callable[[Scene, str, Sequence[str]], None]] = {
    "clutter": _clutter,
    "several": _several,
    "beside": _beside,
    "small": _small,
    "turned": _turned,
    "low_contrast": _low_contrast,
    "covered": _covered,
}
