"""Lines of text in a picture, read in several views of it and told once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from PIL import ImageOps
from PIL.Image import Image, Transpose

from eta_guard import counts
from eta_guard.protocols import Region

VIEWS = 5
"""In how many ways a picture is read."""

_TURNS = (None, Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)
_SAME_PLACE = 0.5
"""Intersection over union of two boxes from which on they are readings of one line."""
_ON_ITS_SIDE = 0.5
"""What a line that stands in a view counts there, of what it would if it lay."""


@dataclass(frozen=True)
class TextLine:
    """A line of text that was read in a picture."""

    text: str = field(repr=False)
    confidence: float
    """In [0, 1], the reader's own."""
    place: Region
    """The box around it."""


class TextReader(Protocol):
    """Finds and reads text in a picture. Safe to share between threads."""

    @property
    def fingerprint(self) -> str:
        """Names the reader and its weights, for the verdict."""
        ...

    @property
    def cost(self) -> float:
        """Of reading one picture once (see ``Evaluator.cost``)."""
        ...

    def read(self, picture: Image) -> list[TextLine]:
        """The lines of an RGB picture of any size, as it stands, in reading order."""
        ...


def read_every_way(reader: TextReader, picture: Image) -> list[TextLine]:
    """What a picture says in its four quarter turns, and inverted with its contrast stretched.

    Of the readings of one place, the most confident is kept. Lines come in the order of the view
    that reads best, and in which they lie rather than stand: the way they are to be read.

    Args:
        reader: Reads one view.
        picture: RGB, any size.

    Returns:
        Lines, each with its place in the picture as it was given.
    """
    readings = []
    for turns, view in _views(picture):
        lines = reader.read(view)
        weight = sum(_weight(line, view) for line in lines)
        readings.append((weight, [_turned_back(line, turns) for line in lines]))
    counts.add("text_readings", len(readings))
    readings.sort(key=lambda reading: reading[0], reverse=True)
    return _merged([lines for _, lines in readings])


def _views(picture: Image) -> Iterator[tuple[int, Image]]:
    """Yields how many quarter turns to the left a view is away from the picture, and the view."""
    for turns, turn in enumerate(_TURNS):
        yield turns, picture if turn is None else picture.transpose(turn)
    yield 0, ImageOps.invert(ImageOps.autocontrast(picture))


def _weight(line: TextLine, view: Image) -> float:
    place = line.place
    lies = (place.right - place.left) * view.width >= (place.bottom - place.top) * view.height
    return line.confidence * len(line.text) * (1.0 if lies else _ON_ITS_SIDE)


def _turned_back(line: TextLine, turns: int) -> TextLine:
    place = line.place
    for _ in range(turns):  # a quarter turn to the left took (x, y) to (y, 1 - x)
        place = Region(1 - place.bottom, place.left, 1 - place.top, place.right)
    return replace(line, place=place)


def _merged(views: Sequence[Sequence[TextLine]]) -> list[TextLine]:
    kept: list[TextLine] = []
    for lines in views:
        # Within one view, lines that share a place are different ones (slanted, their boxes do).
        others = set(range(len(kept)))
        for line in lines:
            same = max(others, key=lambda i: _overlap(kept[i].place, line.place), default=None)
            if same is None or _overlap(kept[same].place, line.place) < _SAME_PLACE:
                kept.append(line)
                continue
            others.remove(same)
            if line.confidence > kept[same].confidence:
                kept[same] = line
    return kept


def _overlap(one: Region, other: Region) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    return both / (sum(areas) - both)
