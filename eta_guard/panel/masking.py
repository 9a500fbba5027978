"""Which parts of which pictures are covered before the chat model is shown them once more."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from eta_guard.panel.evaluation import CombinedEvaluation
from eta_guard.protocols import Region
from eta_guard.request.masking import Box

logger = logging.getLogger(__name__)

WHOLE = Region(0.0, 0.0, 1.0, 1.0)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class MaskedRegion(_Record):
    """A part of a picture that was covered."""

    evaluator: str
    """Who found it unsafe."""
    region: Region
    reason: str | None = None
    """Why it is the whole picture; None where the evaluator says where."""


class MaskedPicture(_Record):
    """A picture of which the chat model was not shown all."""

    image: int
    """Its number among the verdict's ``images``."""
    regions: tuple[MaskedRegion, ...]

    @property
    def boxes(self) -> list[Box]:
        """What is covered, in shares of the picture's width and height."""
        found = (one.region for one in self.regions)
        return [(one.left, one.top, one.right, one.bottom) for one in found]


class Masked(_Record):
    """The pictures as the chat model was shown them once more, and what it answered to them."""

    pictures: tuple[MaskedPicture, ...]
    """Those of which something was covered."""
    response: CombinedEvaluation | None = None
    """Of the answer; None where there was none, or not yet."""


def pictures_to_mask(images: Sequence[CombinedEvaluation]) -> list[MaskedPicture]:
    """All pictures that are not safe, each with what is to be covered of it.

    Args:
        images: The evaluation of each picture of a request.
    """
    return [
        MaskedPicture(image=number, regions=_regions(found))
        for number, found in enumerate(images)
        if found.outcome != "safe"
    ]


def log_covered_whole(pictures: Sequence[MaskedPicture]) -> None:
    """Says of which pictures all is covered, and why."""
    for picture in pictures:
        for why in filter(None, (one.reason for one in picture.regions)):
            logger.info("Image %d is covered whole: %s.", picture.image, why)


def _regions(found: CombinedEvaluation) -> tuple[MaskedRegion, ...]:
    """Those of each evaluator that found the picture unsafe and says where, or all of it."""
    told = [
        MaskedRegion(evaluator=one.evaluator, region=region)
        for one in found.findings
        if one.outcome == "unsafe"
        for region in one.regions
    ]
    if found.outcome == "unscored":
        return _whole(found, "it could not be evaluated")
    if not told:
        return _whole(
            found, f"{found.evaluator or 'the evaluator'} does not say where it is unsafe"
        )
    if not all(_is_a_part(one.region) for one in told):
        return _whole(found, "a region that was found in it is no part of a picture")
    return tuple(told)


def _whole(found: CombinedEvaluation, reason: str) -> tuple[MaskedRegion, ...]:
    return (MaskedRegion(evaluator=found.evaluator, region=WHOLE, reason=reason),)


def _is_a_part(region: Region) -> bool:
    corners = (region.left, region.top, region.right, region.bottom)
    inside = region.left < min(region.right, 1) and region.top < min(region.bottom, 1)
    return all(map(math.isfinite, corners)) and inside and region.right > 0 and region.bottom > 0
