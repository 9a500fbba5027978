"""Draws the regions in which evaluators found a picture unsafe, with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eta_guard.protocols import Region

if TYPE_CHECKING:
    from PIL.Image import Image

    from eta_guard.panel.evaluation import CombinedEvaluation

_DARK, _BRIGHT = (20, 20, 20), (255, 214, 0)
"""An outline of both is seen on any ground."""
_LETTER = 0.045
"""Height of a label, as a share of the picture's shorter side."""
_SMALLEST = 9
"""Pixels of a label that can still be read."""


def unsafe_regions(evaluation: CombinedEvaluation) -> tuple[Region, ...]:
    """Where a picture was found unsafe, by whichever evaluator says where; safe ones' left out."""
    found = evaluation.findings or (evaluation,)
    return tuple(region for one in found if one.outcome == "unsafe" for region in one.regions)


def with_regions(image: Image, regions: Sequence[Region]) -> Image:
    """A copy of a picture with the regions outlined, each with its score in a corner.

    Args:
        image: Of any size; other modes than RGB are converted.
        regions: The first is drawn over the others; those without a score have no label.
    """
    from PIL import ImageDraw, ImageFont

    drawn = image.convert("RGB").copy()
    draw = ImageDraw.Draw(drawn)
    short = min(drawn.size)
    line = max(1, round(short / 150))
    font = ImageFont.load_default(max(_SMALLEST, round(_LETTER * short)))
    for region in reversed(regions):
        box = _pixels(region, drawn.size)
        draw.rectangle(box, outline=_DARK, width=2 * line)
        draw.rectangle(box, outline=_BRIGHT, width=line)
        if region.score is not None:
            place = (box[0] + 3 * line, box[1] + 3 * line)
            label = f"{region.score:.2f}"
            left, top, right, bottom = draw.textbbox(place, label, font=font)
            draw.rectangle((left - line, top - line, right + line, bottom + line), fill=_DARK)
            draw.text(place, label, fill=_BRIGHT, font=font)
    return drawn


def _pixels(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Its first and last pixels, which are the same in a region that is narrower than one."""
    width, height = size
    left, top = int(region.left * (width - 1)), int(region.top * (height - 1))
    right, bottom = round(region.right * width) - 1, round(region.bottom * height) - 1
    return left, top, max(left, right), max(top, bottom)
