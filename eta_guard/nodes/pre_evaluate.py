"""pre_evaluate: are the images safe?"""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.errors import log_failure
from eta_guard.nodes import Node
from eta_guard.nodes.unscored import halt_if_unscored
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine, ImageEvaluator
from eta_guard.request.conversation import Picture
from eta_guard.session import GuardSession
from eta_guard.state import Evaluation, GuardState, ImageEvaluation

logger = logging.getLogger(__name__)


def pre_evaluate(*, engine: Engine, image_evaluator: ImageEvaluator, policy: GuardPolicy) -> Node:
    """Reads the request and scores its images against the safety prompt (paper, equation 2).

    Of several images the most unsafe counts, and one without a score counts before all others.
    """

    def node(state: GuardState, config: RunnableConfig) -> dict[str, Any]:
        rules = policy.for_run(config)
        session = GuardSession.of(state, engine, rules, config)
        images = _evaluate(image_evaluator, session.conversation.pictures, rules)
        worst = max(images, key=lambda image: image.unsafety, default=None)
        return {
            "session": session,
            "images": [image.model_dump() for image in images],
            "image": worst and worst.model_dump(),
            "halt": halt_if_unscored(worst, rules, "An image", "blocked"),
        }

    return node


def _evaluate(
    evaluator: ImageEvaluator, pictures: list[Picture], policy: GuardPolicy
) -> list[ImageEvaluation]:
    if not pictures:
        return []
    threshold = policy.image_threshold
    try:
        rows = evaluator.similarity(
            [picture.pixels for picture in pictures], [policy.safety_prompt]
        )
        found = [Evaluation.of_image(similarity, threshold) for (similarity,) in rows]
        if len(found) != len(pictures):
            raise ValueError(f"{len(found)} scores for {len(pictures)} images")
    except Exception as error:  # whatever an evaluator raises, the images are not safe
        log_failure(logger, "The image evaluator", error)
        found = [Evaluation.unscored(threshold, type(error).__name__)] * len(pictures)
    return [
        ImageEvaluation(**evaluation.model_dump(), message=picture.message, block=picture.block)
        for evaluation, picture in zip(found, pictures, strict=True)
    ]
