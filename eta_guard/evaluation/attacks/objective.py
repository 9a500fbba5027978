"""What an attack along gradients is to bring about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

VIEWS = ("whole", "turned", "mirrored", "inverted", "stretched", "tiles", "small_tiles")
"""Names of the views that gradients come back through; see ``views.differentiable``."""


@dataclass(frozen=True)
class Objective:
    """What is descended on."""

    image: bool = False
    """CLIP's score below the threshold."""
    answer: bool = False
    """An unsafe beginning of the answer."""
    views: Collection[str] = ("whole",)
    """What the evaluator looks at, of ``VIEWS``."""
