"""What appears only once a picture is scaled down, by the processors' own scaling."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from transformers import AutoProcessor

from eta_guard import embedded
from eta_guard.evaluation.attacks.attack import Surroundings, picture_of
from eta_guard.evaluation.attacks.catalogue import ATTACKS
from eta_guard.evaluation.attacks.resampling import camouflaged, change
from eta_guard.evaluation.attacks.scaling import Floats, weights
from eta_guard.evaluation.cases import SuiteCase

NEAREST, BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
Pair = tuple[SuiteCase, SuiteCase]


def scaled(image: Image.Image, resampling: Image.Resampling = BICUBIC) -> Floats:
    return np.asarray(image.resize((64, 64), resampling), dtype=float)


@pytest.mark.parametrize("resampling", [NEAREST, BICUBIC])
def test_the_weights_are_pillows(resampling: Image.Resampling, pair: Pair) -> None:
    image = picture_of(pair[0])
    a = weights(192, 64, resampling)
    channels = np.asarray(image, dtype=float).transpose(2, 0, 1)
    ours = np.clip(a @ channels @ a.T, 0, 255).transpose(1, 2, 0)
    assert np.abs(ours - scaled(image, resampling)).max() <= 1.0


@pytest.mark.parametrize("times", [3, 8])
def test_the_small_picture_is_the_hazard(times: int, pair: Pair, around: Surroundings) -> None:
    attacked = ATTACKS[f"scaled:{times}"](pair[0], around)
    made = picture_of(attacked)
    assert made.size == (64 * times, 64 * times)
    content = scaled(picture_of(pair[0]))
    assert np.abs(scaled(made) - content).mean() < 3  # levels of 255

    processor = AutoProcessor.from_pretrained(str(embedded.path("chat")))  # type: ignore[no-untyped-call]
    shown = processor.image_processor(made, return_tensors="np")["pixel_values"][0]
    assert np.abs((shown + 1) * 127.5 - content.transpose(2, 0, 1)).mean() < 3


def test_what_weighs_all_pixels_hides_nothing(pair: Pair, around: Surroundings) -> None:
    """Where few pixels are looked at, a content costs few of them; not under the real scaling."""
    content = picture_of(pair[0]).resize((64, 64), BICUBIC)
    cover = picture_of(pair[1]).resize((512, 512), BICUBIC)
    cost = {}
    for resampling in (NEAREST, BICUBIC):
        made = camouflaged(cover, content, resampling)
        assert np.abs(scaled(made, resampling) - np.asarray(content, dtype=float)).mean() < 3
        cost[resampling] = change(cover, content, made)
    assert cost[NEAREST] < 0.03  # one pixel of 64
    assert cost[BICUBIC] > 0.5
