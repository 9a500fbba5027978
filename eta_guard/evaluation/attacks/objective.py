"""What an attack along gradients is to bring about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """What is descended on."""

    image: bool = False
    """CLIP's score of the picture below the threshold."""
    answer: bool = False
    """An unsafe beginning of the answer."""
    all_views: bool = False
    """The scores of all views of the policy below what they are held against, not only that of the
    published one: the mean over them is descended on."""
    clear: bool = False
    """The published view in so little doubt as well that the picture is clearly safe, and nobody
    looks at it in any other view."""
