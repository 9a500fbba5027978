"""Where a picture was found unsafe, in numbers: what traces and spans tell of regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told_regions(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """How many regions one evaluator found unsafe, and the least safe of them.

    Args:
        evaluation: Its evaluation as plain values.

    Returns:
        ``regions``, a count; ``region``, the left, top, right and bottom edge in shares of the
        picture's sides; ``region_score``, where it has one. Nothing of what is not unsafe.
    """
    regions = evaluation.get("regions") or ()
    if evaluation.get("outcome") != "unsafe" or not regions:
        return {}
    first = regions[0]
    told: dict[str, Any] = {
        "regions": len(regions),
        "region": [first[edge] for edge in ("left", "top", "right", "bottom")],
    }
    return told if first["score"] is None else told | {"region_score": first["score"]}
