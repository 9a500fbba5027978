"""pre_evaluate: are the images safe?"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.nodes import Node
from eta_guard.nodes.image_evaluations import evaluate_images
from eta_guard.nodes.unscored import halt_if_unscored
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine, ImageEvaluator
from eta_guard.session import GuardSession
from eta_guard.state import Evaluation, GuardState, ImageEvaluation
from eta_guard.steps import Steps


def pre_evaluate(*, engine: Engine, image_evaluator: ImageEvaluator, policy: GuardPolicy) -> Node:
    """Reads the request and scores its images against the safety prompt (paper, equation 2).

    Of several images the most unsafe counts, and one without a score counts before all others.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        pictures = session.conversation.pictures
        pixels = [picture.pixels for picture in pictures]
        found = yield from evaluate_images(image_evaluator, pixels, rules)
        images = [
            ImageEvaluation(
                **one.model_dump(),
                message=picture.message,
                block=picture.block,
                fetched=picture.fetched,
            )
            for one, picture in zip(found, pictures, strict=True)
        ]
        for block in session.conversation.unread:
            unscored = Evaluation.unscored(rules.image_threshold, block.reason)
            images.append(
                ImageEvaluation(**unscored.model_dump(), message=block.message, block=block.block)
            )
        worst = max(images, key=lambda image: image.unsafety, default=None)
        return {
            "session": session,
            "images": [image.model_dump() for image in images],
            "image": worst and worst.model_dump(),
            "halt": halt_if_unscored(worst, rules, "An image", "blocked"),
        }

    return node
