"""What looking at a picture in more than the published view costs."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from eta_guard import embedded
from eta_guard.bench.models import Clip
from eta_guard.counts import counting
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.views.offsets import FILE, ViewOffsets, digest
from eta_guard.prompts import SAFETY_PROMPT
from eta_guard.protocols import Views
from eta_guard.view_names import DEFAULT_VIEWS, VIEW_NAMES

TIMES = 3


def views_cost(clip: Clip, side: int) -> dict[str, Any]:
    """Encodes and milliseconds of one picture: in the published view, in the default's, in all.

    How many a safe request has on average is a matter of scores, which random models do not have:
    it is that of the embedded CLIP, whose offsets tell.

    Args:
        clip: A random model.
        side: Of the square picture, in pixels; the chat model's own, to which it scales nothing.
    """
    every = dict.fromkeys(VIEW_NAMES, 0.0)
    offsets = ViewOffsets("random-clip", digest(SAFETY_PROMPT), -1.0, every)
    choices = {
        "published": Views(),
        "default_in_doubt": Views(DEFAULT_VIEWS, (side,)),
        "all": Views(VIEW_NAMES, (side,), always=True),
    }
    found: dict[str, Any] = {
        name: _looked(clip, offsets, views, side) for name, views in choices.items()
    }
    fitted = ViewOffsets.read(embedded.path("clip") / FILE)
    return {**found, "safe_request_encodes": fitted.encodes}


def _looked(clip: Clip, offsets: ViewOffsets, views: Views, side: int) -> dict[str, float]:
    evaluator = ClipImageEvaluator(
        clip.model,
        clip.preprocess,
        clip.tokenizer,
        fingerprint=offsets.model,
        offsets=offsets,
    )
    rng, seconds = np.random.default_rng(0), []
    for _ in range(TIMES + 1):  # the first encodes the prompt as well
        picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        begun = perf_counter()
        with counting() as tally:
            evaluator.evaluate_views([picture], SAFETY_PROMPT, views)
        seconds.append(perf_counter() - begun)
    return {"encodes": tally["clip_image_encodes"], "ms": 1000 * median(seconds[1:])}
