"""Looks at pictures in several views, at no more of them than a picture gives cause for.

In one batch the published view of every picture, and what its layout shows: the picture on a plain
canvas, the panels of a mosaic. In a second one the other views, of those pictures alone whose
published view is in doubt: it may score low and yet look like a hazard that was turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL.Image import Image

from eta_guard.evaluators.views.box import WHOLE
from eta_guard.evaluators.views.geometry import View, covering_squares, square_views, views_of
from eta_guard.evaluators.views.offsets import ViewOffsets
from eta_guard.protocols import Finding, Region, Views
from eta_guard.view_names import ViewName


class Mark(NamedTuple):
    """What a view came to."""

    score: float
    """Cosine with the safety prompt."""
    doubt: float
    """How far it lies where hidden hazards do (``ViewOffsets.direction``)."""


Score = Callable[[Sequence[tuple[Image, View]]], Sequence[Mark]]
"""Scores views of pictures, all of them in one batch."""


@dataclass(frozen=True)
class Seen:
    """A view and what it came to."""

    view: View
    score: float
    doubt: float


def published(image: Image) -> list[View]:
    """The picture itself, and the squares that cover one that is not square."""
    whole = View("whole", "whole", WHOLE, lambda: image)
    return [whole, *square_views(image, covering_squares(image.size))]


def at_once(kinds: Sequence[ViewName], sides: Sequence[int] | None) -> list[ViewName]:
    """Those views that are looked at whatever the published one scores.

    Few pictures have a layout. And what the chat model is shown once it has scaled the picture
    down may be what the published view, scaled otherwise, does not show at all.
    """
    wanted = ["trimmed", "panels", *([] if sides is None else ["as_shown"])]
    return [kind for kind in kinds if kind in wanted]


def look(
    images: Sequence[Image], views: Views, offsets: ViewOffsets | None, score: Score
) -> list[Finding]:
    """Evaluates pictures in the views that have an offset.

    Args:
        images: RGB.
        views: Which are wanted.
        offsets: Without any, only the published view is looked at.
        score: Is called once, and once more where a picture is not clearly safe.

    Returns:
        Of each picture the highest score, less the view's offset and at least 0, with the view and
        where it lies. What is not finite stays so.
    """
    kinds = [kind for kind in views.names if offsets and kind in offsets.offsets]
    soon = at_once(kinds, views.sides)
    later = [kind for kind in kinds if kind not in soon]
    begun = [[*published(image), *views_of(image, soon, views.sides)] for image in images]
    first = seen(images, begun, score)
    further = [
        views_of(image, later, views.sides) if views.always or in_doubt(found, offsets) else []
        for image, found in zip(images, first, strict=True)
    ]
    second = seen(images, further, score)
    by_kind = offsets.offsets if offsets else {}
    return [_finding([*one, *other], by_kind) for one, other in zip(first, second, strict=True)]


def in_doubt(found: Sequence[Seen], offsets: ViewOffsets | None) -> bool:
    """Whether a picture is not clearly safe by its published view.

    What its layout shows decides by its score alone: a part of an ordinary picture, cut out, looks
    as strange as a hidden hazard, and every fifth such picture has one.
    """
    own = [one.doubt for one in found if one.view.kind == "whole"]
    return offsets is not None and not all(doubt < offsets.clear for doubt in own)


def pairs_of(images: Sequence[Image], views: Sequence[Sequence[View]]) -> list[tuple[Image, View]]:
    """Each view with the picture that it is of, in order."""
    return [(image, view) for image, each in zip(images, views, strict=True) for view in each]


def seen(
    images: Sequence[Image], views: Sequence[Sequence[View]], score: Score
) -> list[list[Seen]]:
    """Scores views of pictures, if there are any."""
    pairs = pairs_of(images, views)
    marks = iter(score(pairs) if pairs else ())
    return [[Seen(view, *next(marks)) for view in each] for each in views]


def _finding(found: Sequence[Seen], offsets: Mapping[ViewName, float]) -> Finding:
    scored = [(one.score - offsets.get(one.view.kind, 0.0), one.view) for one in found]
    score, view = max(scored, key=lambda one: one[0])
    failed = [value for value, _ in scored if not math.isfinite(value)]
    if failed:
        return Finding(failed[0])
    score = max(score, 0.0)
    return Finding(
        score, regions=() if view.box == WHOLE else (Region(*view.box, score),), view=view.name
    )
