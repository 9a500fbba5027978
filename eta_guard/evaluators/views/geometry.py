"""Other views of a picture, and where in it each lies. Nothing here knows of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from PIL import ImageOps
from PIL.Image import Image, Resampling, Transpose

from eta_guard.evaluators.views.box import WHOLE, Box, pixels_of
from eta_guard.evaluators.views.layout import panel_boxes, trimmed_box
from eta_guard.view_names import ViewName

_MAX_ASPECT = 64
_SQUARE_WITHIN = 0.02
"""Share of the side by which an image may be longer and its middle still be all of it."""

TURNS = {
    "turned_90": Transpose.ROTATE_90,
    "turned_180": Transpose.ROTATE_180,
    "turned_270": Transpose.ROTATE_270,
}
"""Counter-clockwise, in degrees."""

TILTS = (30, -30)
"""Likewise: what was tilted by 15° to 45° is within 15° of being upright in one of them."""

TILES: dict[ViewName, tuple[int, int]] = {"tiles": (2, 3), "small_tiles": (3, 5)}
"""Each scale: how many tiles would fill a side without overlap, and how many overlapping ones lie
along it. Neighbours share half of their width, so that whatever is no wider than half a tile lies
whole in one, and so does every part of a mosaic of so many pictures a side."""

COMMON_SIDES = (224, 336, 448)
"""Sides, in pixels, to which chat models scale pictures down, where nobody says which it is."""

_CUT = 0.5
"""In per cent: the darkest and lightest pixels that a stretch of the contrast leaves out."""


@dataclass(frozen=True)
class View:
    """One view of a picture. Its pixels are made when they are asked for, and not kept."""

    name: str
    """Which one: ``"turned_90"``, ``"tiles"``."""
    kind: ViewName
    """By which the policy names it, and under which its offset stands."""
    box: Box
    """Where in the picture it lies."""
    make: Callable[[], Image] = field(repr=False)


def views_of(
    image: Image, kinds: Collection[ViewName], sides: Sequence[int] | None = None
) -> list[View]:
    """The views of a picture beside its whole one, those that look at all alike left out.

    Args:
        image: RGB, of any size.
        kinds: Which are wanted; ``"whole"`` is not among those that come.
        sides: Of ``"as_shown"``, in pixels; ``COMMON_SIDES`` where they are not known.
    """
    makers: dict[ViewName, Callable[[], Iterator[View]]] = {
        "trimmed": lambda: _parts(image, "trimmed", trimmed_box(image)),
        "panels": lambda: _parts(image, "panels", panel_boxes(image)),
        "turned": lambda: _turned(image),
        "tilted": lambda: _tilted(image),
        "mirrored": lambda: _changed(image, "mirrored", ImageOps.mirror),
        "inverted": lambda: _changed(image, "inverted", ImageOps.invert),
        "stretched": lambda: _changed(image, "stretched", stretched),
        "as_shown": lambda: _as_shown(image, COMMON_SIDES if sides is None else sides),
        "tiles": lambda: _tiles(image, "tiles"),
        "small_tiles": lambda: _tiles(image, "small_tiles"),
    }
    return [view for kind, make in makers.items() if kind in kinds for view in make()]


def covering_views(image: Image) -> list[Image]:
    """The image, and where it is not square the squares that cover it from end to end.

    CLIP's own transform (and so the paper's scores) cuts out the middle square. What stands beside
    it would go unseen here, while most chat models are shown it.

    Args:
        image: Any size.

    Returns:
        The image itself first; of a square image, nothing else.
    """
    return [image, *(view.make() for view in square_views(image, covering_squares(image.size)))]


def covering_squares(size: tuple[int, int]) -> list[Box]:
    """Where the squares lie that cover an image from end to end; none for one that is square.

    Args:
        size: Width and height in pixels.
    """
    side, long = sorted(size)
    count = -(-long // side)
    if long - side <= _SQUARE_WITHIN * side:
        return []
    starts = [round(step * (long - side) / (count - 1)) for step in range(count)]
    wide = size[0] == long
    return [
        Box(start / long, 0.0, (start + side) / long, 1.0)
        if wide
        else Box(0.0, start / long, 1.0, (start + side) / long)
        for start in starts
    ]


def square_views(image: Image, boxes: Iterable[Box]) -> Iterator[View]:
    """The squares that cover a picture, which are part of its published view."""
    for box in boxes:
        yield View("square", "whole", box, partial(image.crop, pixels_of(box, image.size)))


def bounded_aspect(image: Image, most: int = _MAX_ASPECT) -> Image:
    """The image, squeezed where one side is more than ``most`` times the other.

    CLIP's transform scales the *shorter* side to its input size: a strip of 1 x 60,000 pixels
    would become one of 336 x 20,000,000. By default no image that CLIP could make sense of is
    touched.
    """
    width, height = image.size
    size = (min(width, height * most), min(height, width * most))
    return image if size == image.size else image.resize(size, Resampling.BICUBIC)


def stretched(image: Image) -> Image:
    """The picture with its contrast stretched to the full range, its hues kept."""
    return ImageOps.autocontrast(image, cutoff=_CUT, preserve_tone=True)


def _turned(image: Image) -> Iterator[View]:
    for name, turn in TURNS.items():
        yield View(name, "turned", WHOLE, partial(image.transpose, turn))


def _tilted(image: Image) -> Iterator[View]:
    """What comes in at the corners has the colour of one, as a plain background would."""
    for degrees in TILTS:
        tilt = partial(image.rotate, degrees, Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
        yield View(f"tilted_{degrees}", "tilted", WHOLE, tilt)


def _changed(image: Image, kind: ViewName, change: Callable[[Image], Image]) -> Iterator[View]:
    yield View(kind, kind, WHOLE, partial(change, image))


def _as_shown(image: Image, sides: Sequence[int]) -> Iterator[View]:
    """The picture at each size at which it is smaller: what is not scaled down hides nothing."""
    for side in dict.fromkeys(sides):
        if min(image.size) > side:
            scale = side / min(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            yield View(
                f"as_shown_{side}",
                "as_shown",
                WHOLE,
                partial(image.resize, size, Resampling.BICUBIC),
            )


def _tiles(image: Image, kind: ViewName) -> Iterator[View]:
    across, count = TILES[kind]
    starts = [step * (1 - 1 / across) / (count - 1) for step in range(count)]
    boxes = [Box(x, y, x + 1 / across, y + 1 / across) for y in starts for x in starts]
    return _parts(image, kind, boxes)


def _parts(image: Image, kind: ViewName, boxes: Iterable[Box]) -> Iterator[View]:
    for box in boxes:
        yield View(kind, kind, box, partial(image.crop, pixels_of(box, image.size)))
