"""Pictures held against the safety prompt, the user's and those that an answer shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from PIL.Image import Image

from eta_guard.errors import log_failure
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import ImageEvaluator
from eta_guard.state import Evaluation
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)


def evaluate_images(
    evaluator: ImageEvaluator, images: Sequence[Image], policy: GuardPolicy
) -> Steps[list[Evaluation]]:
    """Scores pictures (paper, equation 2); where the evaluator fails, none of them is safe.

    Args:
        evaluator: Compares them with the safety prompt.
        images: RGB.
        policy: Has the prompt and the threshold.

    Returns:
        One evaluation a picture, in their order.
    """
    if not images:
        return []
    threshold = policy.image_threshold
    try:
        rows = yield from ask(evaluator.similarity, images, [policy.safety_prompt])
        found = [Evaluation.of_image(similarity, threshold) for (similarity,) in rows]
        if len(found) != len(images):
            raise ValueError(f"{len(found)} scores for {len(images)} images")
    except Exception as error:  # whatever an evaluator raises, the images are not safe
        log_failure(logger, "The image evaluator", error)
        found = [Evaluation.unscored(threshold, type(error).__name__)] * len(images)
    return found
