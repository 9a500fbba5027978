"""Pictures as the page shows them: small, inside the page itself, with what was found drawn on."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL.Image import Image

from eta_guard.drawn_regions import unsafe_regions
from eta_guard.evaluators.views.geometry import views_of
from eta_guard.panel.evaluation import ImageEvaluation
from eta_guard.protocols import Region
from eta_guard.view_names import VIEW_NAMES

SIDE, SMALL = 640, 160
"""Pixels of the longer side of a picture, and of one of an earlier turn."""
BARE = ("whole", "")


@dataclass(frozen=True)
class Shown:
    """A picture, and what an evaluation found on it."""

    address: str
    """A ``data:`` URL."""
    boxes: Sequence[Mapping[str, float]] = ()
    """Regions in percent of width and height: ``left``, ``top``, ``width``, ``height``."""
    outcome: str = ""
    label: str = ""
    """Which view it was that was found unsafe."""
    as_seen: str = ""
    """That view as a ``data:`` URL, where it is no part of the picture as it stands."""


def show(image: Image, evaluation: Mapping[str, Any] | None, side: int = SIDE) -> Shown:
    """Prepares a picture for the page.

    Args:
        image: RGB.
        evaluation: Of the picture, as an event has it; None as long as there is none.
        side: Of the longer side at most, in pixels.
    """
    address = address_of(image, side)
    if evaluation is None:
        return Shown(address)
    found = ImageEvaluation.model_validate(evaluation)
    view = (found.view or "") if found.outcome == "unsafe" else ""
    return Shown(
        address,
        [_box(region) for region in unsafe_regions(found)],
        found.outcome,
        "" if view in BARE else view.replace("_", " "),
        "" if found.regions or view in BARE else _as_seen(image, view),
    )


def address_of(image: Image, side: int) -> str:
    """The picture as a ``data:`` URL, no larger than it need be."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _box(region: Region) -> dict[str, float]:
    left, top = 100 * region.left, 100 * region.top
    width, height = 100 * region.right - left, 100 * region.bottom - top
    return {"left": left, "top": top, "width": width, "height": height}


def _as_seen(image: Image, view: str) -> str:
    found = (one for one in views_of(image, VIEW_NAMES, None) if one.name == view)
    seen = next(found, None)
    return "" if seen is None else address_of(seen.make(), SMALL)
