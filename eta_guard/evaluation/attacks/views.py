"""The views that an evaluator looks at, as functions of pixels that gradients come back through.

Cutting, turning and inverting moves pixels about and changes none, so that these are what the
evaluator's own views are. A stretched contrast is taken between the darkest and the lightest level,
a tilted picture by bilinear weights and with its own edge at the corners.
Views that are found in a picture's layout (panels, a canvas that is trimmed) are not among these: a
picture that was changed by a few levels has no other layout than before.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor, nn

from eta_guard.evaluation.attacks.white_box import View, whole
from eta_guard.evaluators.views.geometry import TILES, TILTS
from eta_guard.view_names import ViewName


def differentiable(names: Collection[ViewName], side: int) -> list[tuple[ViewName, View]]:
    """The views of some names, those that gradients come back through.

    Args:
        names: Of the policy; the published one is taken in any case.
        side: Of the square pictures, in pixels.

    Returns:
        Name and view of each, the whole picture first.
    """
    found: dict[ViewName, list[View]] = {
        "whole": [whole],
        "turned": [partial(torch.rot90, k=turns, dims=(-2, -1)) for turns in (1, 2, 3)],
        "tilted": [partial(_tilted, degrees=degrees) for degrees in TILTS],
        "mirrored": [partial(torch.flip, dims=(-1,))],
        "inverted": [_inverted],
        "stretched": [_stretched],
        **{name: _tiles(*TILES[name], side) for name in TILES},
    }
    wanted = {"whole", *names}
    return [(name, view) for name, views in found.items() if name in wanted for view in views]


def _tilted(pixels: Tensor, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    )
    grid = nn.functional.affine_grid(
        turn.expand(len(pixels), 2, 3), list(pixels.shape), align_corners=False
    )
    return nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


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
