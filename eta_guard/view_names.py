"""The names of a picture's views, in which it is evaluated as an attacker may have hidden it."""

from __future__ import annotations

from typing import Literal, get_args

ViewName = Literal[
    "whole",
    "trimmed",
    "panels",
    "turned",
    "mirrored",
    "inverted",
    "stretched",
    "as_shown",
    "tiles",
    "small_tiles",
]

VIEW_NAMES: tuple[ViewName, ...] = get_args(ViewName)
"""All of them, in the order in which they are looked at."""

DEFAULT_VIEWS: tuple[ViewName, ...] = (
    "whole",
    "trimmed",
    "panels",
    "turned",
    "mirrored",
    "stretched",
    "as_shown",
)
"""Those that are worth their cost."""
