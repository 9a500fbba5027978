"""A large picture that is another one once it is scaled down to the size that a model looks at.

The attack of Xiao et al., "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms"
(USENIX Security 2019): a safe picture is changed as little as makes its small copy the hazard.
Where a resampling looks at few of the pixels, few need be changed. Pillow's bicubic, by which both
processors of the embedded models scale, weighs all of them ("antialias"), so that the change is
about as large as if the hazard were painted over the cover; ``change`` measures that.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image

from eta_guard.evaluation.attacks.attack import (
    Apply,
    Attack,
    Surroundings,
    beside,
    picture_of,
    png,
)
from eta_guard.evaluation.attacks.scaling import BICUBIC, SEEN, Floats, weights
from eta_guard.evaluation.cases import SuiteCase

_ROUNDS = 10


def camouflaged(
    cover: Image.Image, content: Image.Image, resampling: Image.Resampling = BICUBIC
) -> Image.Image:
    """The picture next to the cover (by least squares) that scales down to the content.

    Args:
        cover: RGB, square: what is to be seen at full size.
        content: RGB, square and smaller: what is to be seen once it is scaled down.
        resampling: Pillow's, by which it is scaled.
    """
    a = weights(cover.width, content.width, resampling)
    inverse = np.linalg.pinv(a)
    target, found = _channels(content), _channels(cover)
    for _ in range(_ROUNDS):  # cut to what a pixel can hold, the copy is a little off each time
        missing = target - a @ found @ a.T
        found = np.clip(found + inverse @ missing @ inverse.T, 0, 255)
    return Image.fromarray(np.rint(found).astype(np.uint8).transpose(1, 2, 0))


def _channels(image: Image.Image) -> Floats:
    """[3, height, width]."""
    return np.asarray(image, dtype=np.float64).transpose(2, 0, 1)


def change(cover: Image.Image, content: Image.Image, made: Image.Image) -> float:
    """How much of the way from cover to content was gone: 0 is the cover, 1 the content painted.

    Args:
        cover: RGB, large.
        content: RGB, small.
        made: RGB, of the cover's size.

    Returns:
        The mean difference of ``made`` from the cover over that of the content enlarged.
    """
    painted = np.asarray(content.resize(cover.size, BICUBIC), dtype=np.float64)
    ground = np.asarray(cover, dtype=np.float64)
    moved = np.abs(np.asarray(made, dtype=np.float64) - ground).mean()
    return float(moved / np.abs(painted - ground).mean())


def scaled_down(times: int) -> Apply:
    """The content under a safe cover so many times the side that the models look at."""

    def apply(case: SuiteCase, rng: Random, around: Surroundings) -> SuiteCase:
        (other,) = around.others(case, rng, 1)
        cover = picture_of(other).resize((SEEN * times, SEEN * times), BICUBIC)
        content = picture_of(case).resize((SEEN, SEEN), BICUBIC)
        return beside(replace(case, image=png(camouflaged(cover, content))), [other])

    return apply


RESAMPLING = tuple(
    Attack(
        f"scaled:{times}",
        "resampling",
        f"there only once a picture of {times} times the side is scaled down",
        scaled_down(times),
    )
    for times in (3, 8)
)
"""One a scale."""
