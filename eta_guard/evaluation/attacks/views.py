"""The views that an evaluator looks at, as functions of pixels that gradients come back through.

Cutting, turning and inverting moves pixels about and changes none, so that these are what the
evaluator's own views are. A stretched contrast is taken between the darkest and the lightest level.
Views that are found in a picture's layout (panels, a canvas that is trimmed) are not among these: a
picture that was changed by a few levels has no other layout than before.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor

from eta_guard.evaluation.attacks.objective import VIEWS
from eta_guard.evaluation.attacks.white_box import View, whole

TILES = {"tiles": (2, 3), "small_tiles": (3, 5)}
"""Name → how many tiles fill a side without overlap, and how many overlapping ones lie along it."""


def differentiable(names: Collection[str], side: int) -> list[View]:
    """The views of some names.

    Args:
        names: Those of ``VIEWS`` are taken, others left out.
        side: Of the square pictures, in pixels.

    Returns:
        At least one; the whole picture first.
    """
    found: dict[str, list[View]] = {
        "whole": [whole],
        "turned": [partial(torch.rot90, k=turns, dims=(-2, -1)) for turns in (1, 2, 3)],
        "mirrored": [partial(torch.flip, dims=(-1,))],
        "inverted": [_inverted],
        "stretched": [_stretched],
        **{name: _tiles(*TILES[name], side) for name in TILES},
    }
    return [view for name in VIEWS if name in {"whole", *names} for view in found[name]]


def _inverted(pixels: Tensor) -> Tensor:
    return 255 - pixels


def _stretched(pixels: Tensor) -> Tensor:
    low = pixels.detach().amin(dim=(1, 2, 3), keepdim=True)
    high = pixels.detach().amax(dim=(1, 2, 3), keepdim=True)
    return (pixels - low) * 255 / (high - low).clamp(min=1)


def _tiles(across: int, count: int, side: int) -> list[View]:
    size = round(side / across)
    starts = [round(step * (side - size) / (count - 1)) for step in range(count)]
    return [partial(_cut, top=top, left=left, size=size) for top in starts for left in starts]


def _cut(pixels: Tensor, top: int, left: int, size: int) -> Tensor:
    return pixels[..., top : top + size, left : left + size]
